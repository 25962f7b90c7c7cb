"""The processes that run one command together: they meet, and agree on its folder, seed and checkpoint. Apart from job.py, since it needs torch."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from sacred.run import Run

from ..runtime.devices import Machines, count_devices, resolve_accelerator, resolve_devices
from ..runtime.place import check_world, is_first_process, place
from ..runtime.processes import first_goes_first, join, share
from .job import FOLDER_VARIABLE, SEED_VARIABLE, START_VARIABLE, run_folder

Found = TypeVar("Found")


class JobSettings(Machines, Protocol):
    """What a config's section `trainer` says of a job."""

    @property
    def default_root_dir(self) -> str:
        """Folder of the run folders."""


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
