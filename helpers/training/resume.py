"""Training checkpoints as a run goes on from them: read through, told whole from torn, the newest found."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from models.bounded_files import check_regular, check_zip
from models.errors import ConfigError, WeightsError
from models.settings import shown
from models.weights.finite import check_finite
from models.weights.torch_files import FAULTS, load_torch

log = logging.getLogger(__name__)
PRECISION = "precision"  # entry of a checkpoint
CHECKPOINTS = "checkpoints"  # folder of a run folder


@dataclass(frozen=True)
class Saved:
    """A whole checkpoint.

    Attributes:
        path: of the file.
        epoch: the one that it is in, or has just ended, counted from 0.
        step: optimiser steps done.
        experiment: what its run was about, plain values by name.
        precision: that its run computed in (runtime/devices.py); None: not said.
    """

    path: Path
    epoch: int
    step: int
    experiment: Mapping[str, Any] = field(default_factory=dict)
    precision: str | None = None


def read_saved(path: str | Path) -> Saved:
    """Return what a training checkpoint says of itself; every byte of the file is checked.

    Raises ConfigError where there is none, WeightsError for one that is torn or no training checkpoint, naming the run's newest whole one.
    """
    path = Path(path)
    if not path.is_file():
        inner = path / CHECKPOINTS / "last.ckpt"
        hint = f" Its last checkpoint is ckpt_path={inner}." if inner.is_file() else _instead(path)
        raise ConfigError(f"There is no checkpoint {path} to continue from.{hint}")
    try:
        return _read(path)
    except WeightsError as error:
        raise WeightsError(f"{error}{_instead(path)}") from error


def newest(folder: Path) -> Saved | None:
    """Return the checkpoint of `folder` that has come furthest and is whole; None where there are none. Torn ones are logged.

    Raises WeightsError where all are torn.
    """
    whole, torn = whole_and_torn(folder)
    for reason in torn:
        log.warning("%s It is passed over.", reason)
    if torn and not whole:
        raise WeightsError(
            f"No checkpoint in {folder} is whole. Take them away to train from the beginning, or name another one by ckpt_path=PATH."
        )
    return whole[-1] if whole else None


def whole_and_torn(folder: Path) -> tuple[list[Saved], list[str]]:
    """Return the whole checkpoints of a folder, the furthest last, and what is wrong with the others."""
    whole, torn = [], []
    for path in sorted(folder.glob("*.ckpt")):
        try:
            whole.append(_read(path))
        except WeightsError as error:
            torn.append(str(error))
    return sorted(whole, key=lambda one: (one.step, one.path.stat().st_mtime_ns)), torn


def _instead(path: Path) -> str:
    others = [one for one in whole_and_torn(path.parent)[0] if one.path != path] if path.parent.is_dir() else []
    return (
        f" The newest whole one there is {others[-1].path} (epoch {others[-1].epoch}): ckpt_path={others[-1].path}"
        if others
        else ""
    )


def _read(path: Path) -> Saved:
    """As read_saved. A file that has not changed is read through once in a process: a start asks several times, checkpoints have gigabytes."""
    try:
        state = path.stat()
    except OSError as error:
        raise WeightsError(f"The checkpoint {path} cannot be read: {error}.") from error
    return _read_whole(path, state.st_ino, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=64)
def _read_whole(path: Path, *_identity: int) -> Saved:
    try:
        check_regular(path, WeightsError)
        with zipfile.ZipFile(path) as file:
            check_zip(file, path)
            damaged = file.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"its part {damaged} is damaged")
        content = load_torch(path, path, mmap=True)
    except FAULTS as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"The checkpoint {path} ({path.stat().st_size} bytes) is not whole: {reason}.") from error
    if not isinstance(content, Mapping) or not {"loops", "optimizer_states", "epoch", "global_step"} <= set(content):
        raise WeightsError(
            f"{path} holds weights, but not the state of a training: it cannot be continued. To begin with its weights, name it by the key "
            "`checkpoint` of the network's section."
        )
    if isinstance(state := content.get("state_dict"), Mapping):
        check_finite(state, path)
    said = [content["epoch"], content["global_step"]]
    experiment = content.get("experiment", {})
    if not all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 1 << 62 for n in said) or not isinstance(
        experiment, Mapping
    ):
        raise WeightsError(
            f"{path} says that it is of epoch {shown(said[0])}, step {shown(said[1])}: it was not written by a training."
        )
    precision = content.get(PRECISION)
    return Saved(path, said[0], said[1], experiment, precision if isinstance(precision, str) else None)
