"""Which process of a job this is: what its starter says. Without torch, for what every command begins with."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from models.errors import ConfigError

PLACE_VARIABLE = "MAEST_PLACE"  # rank/world/process number of the starter, for a process that was started from here
RANKS = ("LOCAL_RANK", "NODE_RANK", "RANK", "SLURM_PROCID")

on_failure: list[Callable[[str], None]] = []  # called, from another thread, with why this process is about to be ended


@dataclass(frozen=True)
class Place:
    """Which process of a job this is. starter: "torchrun", "srun" or "own"."""

    rank: int
    world: int
    starter: str
    parent: int | None = None  # process number without which this one has no business

    @property
    def starts_others(self) -> bool:
        """Return whether the other processes are this one's children."""
        return self.starter == "own" and self.rank == 0


def place() -> Place | None:
    """Return where its starter put this process; None for one that is alone. Raises ConfigError for a job that has no address to meet at."""
    env = os.environ
    if PLACE_VARIABLE in env:
        rank, world, starter = map(int, env[PLACE_VARIABLE].split("/"))
        found = Place(rank, world, "own", starter if rank else None)
    elif "TORCHELASTIC_RUN_ID" in env:
        found = Place(int(env["RANK"]), int(env["WORLD_SIZE"]), "torchrun", os.getppid())
    elif int(env.get("SLURM_STEP_NUM_TASKS", 1)) > 1:  # srun sets it, sbatch does not
        found = Place(int(env["SLURM_PROCID"]), int(env["SLURM_STEP_NUM_TASKS"]), "srun")
        if absent := [name for name in ("MASTER_ADDR", "MASTER_PORT") if name not in env]:
            raise ConfigError(
                f"srun started {found.world} processes; they meet at MASTER_ADDR:MASTER_PORT, and {' and '.join(absent)} is not set: export it "
                "in the batch script (docs/several_gpus.md)."
            )
    else:
        return None
    return found if found.world > 1 else None


def is_first_process() -> bool:
    """Return whether this is the process of a job that owns its run folder (rank 0 of every launcher's numbering)."""
    return all(os.environ.get(name, "0") == "0" for name in RANKS)


def check_world(devices: int, num_nodes: int) -> None:
    """Raise ConfigError where the processes that there are, or that can be started from here, are not devices x num_nodes."""
    here = place()
    if here is not None and here.world != devices * num_nodes:
        raise ConfigError(
            f"{here.starter} started {here.world} processes, and trainer.devices x trainer.num_nodes is {devices} x {num_nodes}: make them "
            "agree. devices counts the processes of one machine."
        )
    if here is None and num_nodes > 1:
        raise ConfigError(
            f"trainer.num_nodes is {num_nodes}: let torchrun or srun start the command on every machine (docs/several_gpus.md); only the "
            "processes of one machine can be started from here."
        )
