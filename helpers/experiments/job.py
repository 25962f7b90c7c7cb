"""What a command has of its run: the folder, where metrics go, and what is written down when another process of its job fails."""

from __future__ import annotations

import contextlib
import datetime
import os
import sys
from collections.abc import Callable
from pathlib import Path

from sacred.observers import FileStorageObserver
from sacred.run import Run

from ..runtime.place import is_first_process, on_failure
from .run_folder import RunFolder, record_orphaned

SEED_VARIABLE, FOLDER_VARIABLE = "MAEST_RUN_SEED", "MAEST_RUN_FOLDER"  # of the run that started this process
START_VARIABLE = "MAEST_RUN_CHECKPOINT"  # that it goes on from; empty: none


def run_folder(run: Run, root: str | Path) -> Path:
    """Return where a run puts its files: the folder of its file-storage observer, else <root>/unobserved-<start>."""
    for observer in run.observers:
        if isinstance(observer, FileStorageObserver) and observer.dir:
            return Path(observer.dir)
    folder = Path(root) / f"unobserved-{run.start_time:%Y%m%d-%H%M%S}-{os.getpid()}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def note_folder(_run: Run) -> None:
    """Note in the run's info, which every observer stores, where its files are."""
    for observer in _run.observers:
        if isinstance(observer, FileStorageObserver) and observer.dir:
            _run.info["folder"] = str(Path(observer.dir).resolve())


def metric_logger(run: Run, prefix: str = "") -> Callable[[str, float, int], None]:
    """Return log(name, value, step), which writes `prefix` + name to all of the run's observers, on the first process only."""

    def log_metric(name: str, value: float, step: int) -> None:
        if is_first_process():
            run.log_scalar(prefix + name, float(value), int(step))

    return log_metric


def record_failures(_run: Run) -> None:
    """Where another process takes the job down and this one hangs, the observers are told all the same (from another thread)."""

    def record(why: str) -> None:
        for observer in _run.observers:
            observer.failed_event(fail_time=datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None), fail_trace=[why])
        record_for_the_first(why)

    on_failure.append(record)


def record_for_the_first(why: str) -> None:
    """Where the first process was killed, another one writes down that the run has failed."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder and not is_first_process():
        words = f"The first process of this job was killed. {why}"
        with contextlib.suppress(OSError, ValueError):
            if record_orphaned(Path(folder), words):
                sys.stderr.write(f"{words}\n")


def work_begins(run: Run) -> None:
    """Note that a command's checks have passed: whatever ends it from now on, its run folder stays.

    Before that, a command that is refused (REFUSALS) and has left nothing in its folder leaves no folder either.
    """
    for observer in run.observers:
        if isinstance(observer, RunFolder):
            observer.begun = True
