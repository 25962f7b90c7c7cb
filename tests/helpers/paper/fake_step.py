"""A miniature command that does what the suite's commands do for a plan: python ex_maest.py [COMMAND] with KEY=VALUE...

Its result is a hash of its settings and of what its inputs hold. A training counts epochs and goes on where it was ended (ckpt_path=last), an
extraction adds tracks to its output, a probe begins anew. FAULT=<command>:<moment> makes the first process that comes there kill itself (-9), or its
whole driver; `fail:` makes it end with an error. CALLS names a file that gets a line per unit of work.
"""

import ast
import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

SCRIPT = Path(sys.argv[0]).name
words = sys.argv[1:]
COMMAND = "main" if words[0] == "with" else words[0]
settings = {key: ast.literal_eval(value) for key, _, value in (word.partition("=") for word in words if "=" in word)}
runs = Path(settings.pop("trainer.default_root_dir", None) or settings.pop("out_dir"))
out = settings.pop("predict.out_dir", None)
resume = settings.pop("ckpt_path", None)
MOMENT = f"{SCRIPT}:{COMMAND}:{settings.get('name')}"


def fault(moment: str) -> None:
    """Where FAULT asks for it, and only once."""
    asked = os.environ.get("FAULT", "")
    spent = Path(os.environ.get("SPENT", "/nonexistent"))
    for kind in ("child", "driver", "error"):
        if asked == f"{kind} {MOMENT} {moment}" and not spent.exists():
            spent.touch()
            if kind == "error":
                raise SystemExit("this step was told to fail")
            if kind == "driver":
                os.kill(os.getppid(), signal.SIGKILL)
                time.sleep(30)  # it is asked to end, as its starter is gone
            os.kill(os.getpid(), signal.SIGKILL)


def work(what: str) -> None:
    with open(os.environ["CALLS"], "a") as file:
        file.write(f"{MOMENT} {what}\n")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(text)
    os.replace(part, path)


def held(value: object) -> object:
    """An input's content in place of its path."""
    if isinstance(value, str) and "/steps/" in value:
        path = Path(value)
        return "".join(p.read_text() for p in sorted(path.rglob("*.txt"))) if path.is_dir() else path.read_text()
    return value


made = hashlib.sha256(json.dumps({k: held(v) for k, v in settings.items()}, sort_keys=True).encode()).hexdigest()[:12]
there = sorted(int(p.name) for p in runs.iterdir()) if runs.is_dir() else []
training = COMMAND == "main" and SCRIPT == "ex_maest.py"
number = there[-1] if training and resume and there else (there or [0])[-1] + 1
place = runs / str(number)
again = {"resumed": ["now"]} if place.is_dir() else {}
write(place / "run.json", json.dumps({"status": "RUNNING"}))
fault("begin")
result: dict[str, str] | None = None
if training:
    progress = place / "epochs.json"
    done = json.loads(progress.read_text()) if progress.exists() else 0
    for epoch in range(done, 4):
        work(f"epoch {epoch}")
        fault(f"epoch {epoch}")
        write(progress, json.dumps(epoch + 1))
    write(place / "checkpoints" / "last.ckpt", made)
elif COMMAND == "extract_embeddings":
    for track in range(3):
        file = Path(out) / "0" / f"{track}.txt"
        if not file.exists():
            work(f"track {track}")
            fault(f"track {track}")
            write(file, f"{made} {track}\n")
    result = {"0": str(Path(out) / "0" / "0.txt")}  # a file of the block's folder, as extraction has it
else:
    work("heads")
    fault("heads")
    write(place / "scores.txt", made)
fault("end")
write(place / "run.json", json.dumps({"status": "COMPLETED", "result": result, "config": settings, **again}))
fault("after")
