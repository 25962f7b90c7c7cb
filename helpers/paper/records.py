"""The record of a step: its folder, its outputs, and the record that says it is done.

<out_dir>/steps/<key>/ holds runs/ (the Sacred runs of its command), out/ (what an extraction wrote), log.txt (the output of its processes),
inputs.json (which build of each input it began with), and done.json, which is written last. A step whose record stands but whose files do not,
or are cut short, is not done; nor is one whose input has been made anew since.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasets.utils.files import atomic
from models.bounded_files import open_regular, read_json

from ..utils.json_values import plain
from .steps import Step

VERSION = 1
RECORD, INPUTS, LOG, LOCK = "done.json", "inputs.json", "log.txt", "lock"
RUNS, OUT = "runs", "out"


@dataclass(frozen=True)
class Done:
    """A finished step.

    Args:
        folder: of the step.
        outputs: name -> absolute path.
        result: what its command returned.
        seconds: of its command; of one that was ended and continued, those of the last try.
        megabytes: of its folder.
        commit: of the code, "+" where it was changed.
        about: the step's title, command and settings.
        build: which making this is, a random id; "": made again it is the same to the last bit.
    """

    folder: Path
    outputs: dict[str, Path]
    result: Any = None
    seconds: float = 0.0
    megabytes: float = 0.0
    commit: str = "unknown"
    about: dict[str, Any] = field(default_factory=dict)
    build: str = ""

    @property
    def continued(self) -> bool:
        """Return whether it was ended and taken up again: its seconds are not all of them."""
        return bool(self.about.get("continued"))

    def output(self, name: str) -> Path:
        """Return the path of one output. Raises KeyError for one that the step does not have."""
        return self.outputs[name]


def read_record(folder: Path) -> Done | None:
    """Read the record of a step's folder; None where there is none, it cannot be read, or a file of the results is gone or of another size."""
    try:
        content = read_json(folder / RECORD)
        if content["version"] != VERSION:
            return None
        outputs = {name: Path(os.path.normpath(folder / path)) for name, path in content["outputs"].items()}
        known = {name: content[name] for name in ("result", "seconds", "megabytes", "commit", "about")}
        sizes = {folder / name: size for name, size in dict(content.get("sizes", {})).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    whole = all(path.exists() for path in outputs.values()) and all(_size(path) == size for path, size in sizes.items())
    return Done(folder, outputs, **known, build=str(content.get("made", ""))) if whole else None


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def write_record(
    folder: Path, step: Step, run: Mapping[str, Any], outputs: Mapping[str, Path], seconds: float, commit: str
) -> Done:
    """Flush the step's files to the disk, then write that it is done.

    Args:
        folder: of the step.
        step: whose record it is.
        run: record of its Sacred run.
        outputs: name -> path.
        seconds: of its command.
        commit: of the code.
    """
    sizes = {
        path: path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (LOCK, RECORD, INPUTS)
    }
    for path in sizes:
        with open_regular(path) as file:
            os.fsync(file.fileno())
    inside = {name: os.path.relpath(path, folder) if path.is_relative_to(folder) else str(path) for name, path in outputs.items()}
    about = {
        "title": step.title, "script": step.script, "command": step.command, "named": list(step.named), "settings": run.get("config"),
        "estimated_seconds": step.estimate.seconds, "continued": bool(run.get("resumed")),
    }  # fmt: skip
    checked = set(outputs.values()) if step.trains else {*sizes} - {folder / LOG}  # of a training older checkpoints may go
    content = {
        "version": VERSION, "outputs": inside, "sizes": {os.path.relpath(path, folder): size for path, size in sizes.items() if path in checked},
        "result": run.get("result"), "seconds": round(seconds, 2), "megabytes": sum(sizes.values()) / 1e6, "commit": commit, "about": about,
        "made": "" if step.deterministic else uuid.uuid4().hex,
    }  # fmt: skip
    with atomic(folder / RECORD) as part:
        part.write_text(json.dumps(plain(content), indent=1) + "\n", encoding="utf-8")
    done = read_record(folder)
    assert done is not None  # its outputs were looked for before
    return done


def read_build(folder: Path) -> str | None:
    """Read which build the record of a folder is of, also where files of it are gone; None where there is no record."""
    try:
        return str(read_json(folder / RECORD).get("made", ""))
    except (OSError, ValueError, AttributeError):
        return None


def read_inputs(folder: Path) -> dict[str, str] | None:
    """Read, by key of each input, which build of it the step began with; None where it has not begun."""
    try:
        found = read_json(folder / INPUTS)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def prepare_folder(folder: Path, inputs: Mapping[str, str]) -> None:
    """Make a step's folder ready to begin, or to go on, with `inputs` as in `read_inputs`. The record goes last: a kill in between changes nothing.

    Where a file of the record is gone, its runs go, so that it is made anew (an extraction's tracks stay, to go on from); where an input is another,
    all that came of it.
    """
    before = read_inputs(folder)
    other = before is not None and before != inputs
    if other and (folder / OUT).exists():
        shutil.rmtree(folder / OUT)
    if other or ((folder / RECORD).exists() and read_record(folder) is None):
        if (folder / RUNS).exists():
            shutil.rmtree(folder / RUNS)
        (folder / RECORD).unlink(missing_ok=True)
    if before != inputs:
        with atomic(folder / INPUTS) as part:
            part.write_text(json.dumps(dict(inputs), indent=1) + "\n", encoding="utf-8")


def finished_run(folder: Path, step: Step) -> tuple[dict[str, Any], dict[str, Path]] | None:
    """Read what the newest run of a step that came to its end has recorded, and find its outputs; None where none has, or an output is gone."""
    runs = folder / RUNS
    numbers = (
        sorted((int(p.name) for p in runs.iterdir() if p.is_dir() and p.name.isdigit()), reverse=True) if runs.is_dir() else []
    )
    for number in numbers:
        place = runs / str(number)
        try:
            run = read_json(place / "run.json")
        except (OSError, ValueError):
            continue
        if run.get("status") != "COMPLETED":
            continue
        outputs = outputs_of(step, place, run.get("result"))
        if outputs and all(path.exists() for path in outputs.values()):
            return run, outputs
    return None


def outputs_of(step: Step, place: Path, result: Any) -> dict[str, Path]:
    """Return name -> path of what a finished run has left in its folder `place`, or where its result says.

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
