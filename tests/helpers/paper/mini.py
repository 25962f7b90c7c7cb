"""A miniature plan of fake commands, and the driver that makes its table."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from helpers.paper.engine import Done, Engine, Failed
from helpers.paper.scale import TRAINED, Scale
from helpers.paper.scheduler import make_steps
from helpers.paper.steps import Keys, Ref, Step

FAKE = Path(__file__).parent / "fake_step.py"
ALL_WORK = sorted(
    [f"ex_maest.py:main:train-{n} epoch {i}" for n in "ab" for i in range(4)]
    + [f"ex_maest.py:extract_embeddings:extract-{n} track {i}" for n in "ab" for i in range(3)]
    + [f"ex_tl.py:main:probe-{n} heads" for n in ("a", "b", "both")]
)
SCALE = Scale(
    "demo", "demo", TRAINED, (), tracks=None, start_tracks=12, seed=0, seeds=(0,), named_configs={}, depth=4, block=2, lengths=(5.0,),
    shares=(1.0,), draws=1,
)  # fmt: skip


def scripts(folder: Path) -> Path:
    """A folder in which every command is the fake one."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("ex_maest.py", "ex_tl.py"):
        shutil.copyfile(FAKE, folder / name)
    return folder


def nested(script: str, named: Sequence[str], updates: Mapping[str, Any]) -> dict[str, Any]:
    return {"named": list(named), **updates}


def ignored(script: str, command: str) -> tuple[str, ...]:
    """Keys that no result of the fake commands depends on."""
    return ("trainer.default_root_dir", "ckpt_path")


def plan() -> dict[str, Step]:
    """Two trainings, their extractions, three probes: one of the probes takes both."""
    found: dict[str, Step] = {}
    for net in ("a", "b"):
        train = Step(f"train {net}", "ex_maest.py", "main", (), {"name": f"train-{net}"})
        extract = Step(
            f"extract {net}",
            "ex_maest.py",
            "extract_embeddings",
            (),
            {"name": f"extract-{net}", "weights": Ref(train, "checkpoint")},
        )
        probe = Step(f"probe {net}", "ex_tl.py", "main", (), {"name": f"probe-{net}", "store": Ref(extract, "0")})
        found |= {f"train {net}": train, f"extract {net}": extract, f"probe {net}": probe}
    both = {"name": "probe-both", "first": Ref(found["extract a"], "blocks"), "second": Ref(found["extract b"], "blocks")}
    return found | {"probe both": Step("probe both", "ex_tl.py", "main", (), both)}


def engine(folder: Path) -> Engine:
    return Engine(folder / "out", scripts(folder / "scripts"), Keys(nested, ignored))


def table(folder: Path, made: Mapping[Step, Any]) -> str:
    """What a table would print of the probes."""
    lines = []
    for step, outcome in made.items():
        if step.script == "ex_tl.py":
            text = "failed" if isinstance(outcome, Failed) else type(outcome).__name__
            if isinstance(outcome, Done):
                text = (outcome.output("results") / "scores.txt").read_text()
            lines.append(f"{step.title}: {text}\n")
    text = "".join(sorted(lines))
    (folder / "table.txt").write_text(text)
    return text


def drive(folder: str, jobs: int = 2) -> None:
    """Make the whole plan and its table; the job that is killed."""
    where = Path(folder)
    steps = plan()
    table(where, make_steps(engine(where), [steps["probe a"], steps["probe b"], steps["probe both"]], jobs=jobs))


def drive_counted(folder: str) -> None:
    """`drive` in a process whose environment is that of a fork server, which may be older than the test."""
    os.environ["CALLS"] = str(Path(folder).parent / "calls.txt")
    drive(folder)


def make_two(folder: str) -> None:
    """Make two steps of what stands in `scripts`, side by side."""
    where = Path(folder)
    make_steps(
        Engine(where / "out", where / "scripts", Keys(nested, ignored)),
        [Step(name, "ex_maest.py", "main", (), {"name": name}) for name in ("t", "u")],
        jobs=2,
    )


def apart(job: Callable[..., None], args: Sequence[object], env: Mapping[str, str]) -> None:
    """Run a job as its session's leader. Exit code 77: Ctrl-C."""
    os.setsid()
    os.environ.update(env)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        job(*args)
    except KeyboardInterrupt:
        os._exit(77)


def start(job: Callable[..., None], *args: object, **env: str) -> multiprocessing.Process:
    """`job(*args)` in a process and session of its own, which begins with its imports done."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.kill", "tests.helpers.paper.mini"])
    process = context.Process(target=apart, args=(job, args, env))
    process.start()
    return process
