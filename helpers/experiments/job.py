"""What a command has of its run: the folder, where metrics go, and the job of processes that run it together."""

from __future__ import annotations

import contextlib
import datetime
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from sacred.observers import FileStorageObserver
from sacred.run import Run

from ..runtime.devices import Machines, count_devices, resolve_accelerator, resolve_devices
from ..runtime.processes import check_world, first_goes_first, is_first_process, join, on_failure, place, share
from .run_folder import RunFolder, record_orphaned

Found = TypeVar("Found")
SEED_VARIABLE, FOLDER_VARIABLE = "MAEST_RUN_SEED", "MAEST_RUN_FOLDER"  # of the run that started this process
START_VARIABLE = "MAEST_RUN_CHECKPOINT"  # that it goes on from; empty: none


class JobSettings(Machines, Protocol):
    """What a config's section `trainer` says of a job."""

    @property
    def default_root_dir(self) -> str:
        """Folder of the run folders."""


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


def enter_job(
    run: Run, trainer: JobSettings, seed: int, find: Callable[[Path], Found], start: Path | None = None
) -> tuple[Found, Path, int, Path | None]:
    """Return what `find(folder)` finds, the run's folder, its seed and the checkpoint that it goes on from: the first process's, in all processes
    of the job.

    Processes that torchrun or srun started meet here; those that training will start are left word of them. The first process finds (and
    prepares) first.

    Args:
        run: Sacred's.
        trainer: the config's section: which processes the job has, and where run folders are.
        seed: of the run.
        find: looks for the run's tracks; it is given the run's folder.
        start: the checkpoint that the run goes on from.

    Raises ConfigError where the numbers do not fit, JobError when not all come.
    """
    env = os.environ
    accelerator = resolve_accelerator(trainer.accelerator, trainer.devices)
    check_world(count_devices(resolve_devices(trainer.devices, accelerator)), trainer.num_nodes)
    if FOLDER_VARIABLE in env and not is_first_process():
        folder, seed, begin = env[FOLDER_VARIABLE], int(env[SEED_VARIABLE]), env.get(START_VARIABLE, "")
    else:
        folder = str(run_folder(run, trainer.default_root_dir)) if is_first_process() else ""
        begin = "" if start is None else str(start)
        if place() is not None:
            join(accelerator == "gpu")
            shared: tuple[str, int, str] = share((folder, seed, begin))
            folder, seed, begin = shared
        env |= {SEED_VARIABLE: str(seed), FOLDER_VARIABLE: folder, START_VARIABLE: begin}
    return first_goes_first(lambda: find(Path(folder))), Path(folder), seed, Path(begin) if begin else None
