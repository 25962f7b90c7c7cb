"""What is left of a step: its folder, its outputs, and the record that says it is done.

<out_dir>/steps/<key>/ holds runs/ (the Sacred runs of its command), out/ (what an extraction wrote), log.txt (all that its processes said), and
done.json, which is written last. A step whose record stands but whose outputs do not is not done.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..files import atomic, plain
from .steps import Step

VERSION = 1
RECORD, LOG, LOCK = "done.json", "log.txt", "lock"
RUNS, OUT = "runs", "out"


@dataclass(frozen=True)
class Done:
    """A finished step. outputs: name -> absolute path. result: what its command returned. seconds: of its command; of one that was ended and
    continued, those of the last try. commit: of the code, "+" where it was changed.
    """

    folder: Path
    outputs: dict[str, Path]
    result: Any = None
    seconds: float = 0.0
    megabytes: float = 0.0
    commit: str = "unknown"
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def continued(self) -> bool:
        """Whether it was ended and taken up again: its seconds are not all of them."""
        return bool(self.about.get("continued"))

    def output(self, name: str) -> Path:
        """The path of one output. Raises KeyError for one that the step does not have."""
        return self.outputs[name]


def read_record(folder: Path) -> Done | None:
    """The record of a step's folder; None where there is none, it cannot be read, or an output (or a file of a step's results) is gone."""
    try:
        content = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if content["version"] != VERSION:
            return None
        outputs = {name: Path(os.path.normpath(folder / path)) for name, path in content["outputs"].items()}
        known = {name: content[name] for name in ("result", "seconds", "megabytes", "commit", "about")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    wanted = [*outputs.values(), *(folder / name for name in content.get("files", ()))]
    return Done(folder, outputs, **known) if all(path.exists() for path in wanted) else None


def write_record(
    folder: Path, step: Step, run: Mapping[str, Any], outputs: Mapping[str, Path], seconds: float, commit: str
) -> Done:
    """Flush the step's files to the disk, then write that it is done."""
    size, files = 0, sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in (LOCK, RECORD))
    for path in files:
        with open(path, "rb") as file:
            os.fsync(file.fileno())
        size += path.stat().st_size
    inside = {name: os.path.relpath(path, folder) if path.is_relative_to(folder) else str(path) for name, path in outputs.items()}
    about = {
        "title": step.title, "script": step.script, "command": step.command, "named": list(step.named), "settings": run.get("config"),
        "estimated_seconds": step.estimate.seconds, "continued": bool(run.get("resumed")),
    }  # fmt: skip
    results = [] if step.trains else [path for path in files if path.name != LOG]  # of a training older checkpoints may go
    content = {
        "version": VERSION, "outputs": inside, "files": [os.path.relpath(path, folder) for path in results], "result": run.get("result"),
        "seconds": round(seconds, 2), "megabytes": size / 1e6, "commit": commit, "about": about,
    }  # fmt: skip
    with atomic(folder / RECORD) as part:
        part.write_text(json.dumps(plain(content), indent=1) + "\n", encoding="utf-8")
    done = read_record(folder)
    assert done is not None  # its outputs were looked for before
    return done


def forget_incomplete(folder: Path, step: Step) -> None:
    """Of a step whose record stands while a file of it is gone: what would count as its result, so that it is made anew. A training's checkpoints
    and an extraction's tracks stay, to go on from.
    """
    if (folder / RECORD).exists() and read_record(folder) is None:
        (folder / RECORD).unlink()
        if not step.trains:
            shutil.rmtree(folder / RUNS, ignore_errors=True)


def finished_run(folder: Path, step: Step) -> tuple[dict[str, Any], dict[str, Path]] | None:
    """What the newest run of a step that came to its end has recorded, and its outputs; None where none has, or an output is gone."""
    runs = folder / RUNS
    numbers = (
        sorted((int(p.name) for p in runs.iterdir() if p.is_dir() and p.name.isdigit()), reverse=True) if runs.is_dir() else []
    )
    for number in numbers:
        place = runs / str(number)
        try:
            run = json.loads((place / "run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if run.get("status") != "COMPLETED":
            continue
        outputs = outputs_of(step, place, run.get("result"))
        if outputs and all(path.exists() for path in outputs.values()):
            return run, outputs
    return None


def outputs_of(step: Step, place: Path, result: Any) -> dict[str, Path]:
    """Name -> path of what a finished run has left in its folder `place`, or where its result says.

    checkpoint: of a training, the best epoch's. Of an extraction: the block's number ("embeddings" where it is one), "blocks" for the folder above,
    or "logits". Of a command of ex_paper.py: the names of its result. results: the run's folder itself, of all others.
    """
    if step.trains:
        best, last = (place / "checkpoints" / name for name in ("best.ckpt", "last.ckpt"))
        return {"checkpoint": best if best.is_file() else last, "run": place}
    if step.command.startswith("extract_") and isinstance(result, Mapping):
        stores = {str(name): Path(str(path)).resolve() for name, path in result.items()}
        found = {name: path if path.is_dir() else path.parent for name, path in stores.items()}
        single = {"embeddings": next(iter(found.values()))} if len(found) == 1 else {}
        return {**found, **single, "blocks": next(iter(found.values())).parent} if found else {}
    if step.script == "ex_paper.py" and isinstance(result, Mapping):
        paths = {str(k): Path(v).resolve() for k, v in result.items() if isinstance(v, str)}
        return {**paths, "results": place}
    return {"results": place}
