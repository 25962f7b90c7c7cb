"""Which checkpoint a run goes on from: whole ones only, of the same experiment, and by one process at a time."""

from __future__ import annotations

import json
import logging
import os
import pickle
import socket
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from models.errors import ConfigError, WeightsError

from ..utils.typed_config import flat

log = logging.getLogger(__name__)
CHECKPOINTS = "checkpoints"  # folder of a run folder
LOCK = ".lock"

# Keys that no trained number depends on. Where data and first weights lie is not compared either: the data themselves are, and the weights are in
# the checkpoint.
FREE = (
    "ckpt_path", "predict.", "report.", "export.", "hear.", "trainer.max_epochs", "trainer.default_root_dir", "trainer.save_every_n_steps",
    "trainer.save_every_minutes", "trainer.keep_checkpoints", "trainer.num_sanity_val_steps", "trainer.reload_dataloaders_every_n_epochs",
    "datamodule.num_workers", "datamodule.batch_size_test", "datamodule.audio_dir", "datamodule.base_dir", "datamodule.groundtruth",
    "datamodule.label_column", "datamodule.split_seed", "datamodule.demo_tracks", "datamodule.teacher_student.teacher_target_base_dir",
)  # fmt: skip
FREE_ENDS = (".checkpoint", ".head_checkpoint", ".checkpoint_swa_weights")  # of a family's section
# Keys of the machine, and of what is logged: changing them is legitimate, and said.
SAID = (
    "trainer.accelerator", "trainer.devices", "trainer.num_nodes", "trainer.strategy", "trainer.precision", "trainer.sync_batchnorm",
    "trainer.log_every_n_steps", "trainer.check_val_every_n_epoch", "trainer.limit_val_batches", "datamodule.batch_size_train",
)  # fmt: skip
BATCH = "items per batch, over all processes"
DATA = "tracks and labels"
ABOUT_DATA = "data: "  # begins keys that say what the data are, where those differ; they are not compared by themselves


@dataclass(frozen=True)
class Saved:
    """A whole checkpoint. epoch: the one that it is in, or has just ended. experiment: what its run was about, by name."""

    path: Path
    epoch: int
    step: int
    experiment: Mapping[str, Any] = field(default_factory=dict)


# ---- checkpoints
def read_saved(path: str | Path) -> Saved:
    """What a training checkpoint says of itself; every byte of the file is checked.

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
    """The checkpoint of `folder` that has come furthest and is whole; None where there are none. Torn ones are said.

    Raises WeightsError where all are torn.
    """
    whole, torn = _all(folder)
    for reason in torn:
        log.warning("%s It is passed over.", reason)
    if torn and not whole:
        raise WeightsError(
            f"No checkpoint in {folder} is whole. Take them away to train from the beginning, or name another one by ckpt_path=PATH."
        )
    return whole[-1] if whole else None


def _all(folder: Path) -> tuple[list[Saved], list[str]]:
    """The whole ones, the furthest last, and what is wrong with the others."""
    whole, torn = [], []
    for path in sorted(folder.glob("*.ckpt")):
        try:
            whole.append(_read(path))
        except WeightsError as error:
            torn.append(str(error))
    return sorted(whole, key=lambda one: (one.step, one.path.stat().st_mtime_ns)), torn


def _instead(path: Path) -> str:
    others = [one for one in _all(path.parent)[0] if one.path != path] if path.parent.is_dir() else []
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
    import torch

    try:
        with zipfile.ZipFile(path) as file:
            damaged = file.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"its part {damaged} is damaged")
        content = torch.load(path, mmap=True, map_location="cpu", weights_only=True)
    except (zipfile.BadZipFile, pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"The checkpoint {path} ({path.stat().st_size} bytes) is not whole: {reason}.") from error
    if not isinstance(content, Mapping) or not {"loops", "optimizer_states", "epoch", "global_step"} <= set(content):
        raise WeightsError(
            f"{path} holds weights, but not the state of a training: it cannot be continued. To begin with its weights: maest.checkpoint={path}."
        )
    return Saved(path, int(content["epoch"]), int(content["global_step"]), content.get("experiment", {}))


# ---- the same experiment
def experiment_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a command's config, by their dotted names, that a continuation is compared by."""
    keys = flat(json.loads(json.dumps(config)))
    return {key: value for key, value in keys.items() if not key.startswith(FREE) and not key.endswith(FREE_ENDS)}


def about_data(config: Mapping[str, Any], summary: Mapping[str, int | str]) -> dict[str, Any]:
    """What a run says of its data, to be told apart from others': the settings that name them, and their `summary`."""
    named = {
        key: value
        for key, value in flat(json.loads(json.dumps({"datamodule": config["datamodule"]}))).items()
        if key.startswith(FREE) and key not in ("datamodule.num_workers", "datamodule.batch_size_test")
    }
    return {ABOUT_DATA + key: value for key, value in {**summary, **named}.items()}


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """'key: was, is now' of what differs: what would make it another training, and what is only to be said."""
    refused, said = [], []
    for key in sorted(set(before) & set(now)):
        if before[key] == now[key] or key.startswith(ABOUT_DATA):
            continue
        if key == DATA:
            refused.append(_other_data(before, now))
        else:
            (said if key in SAID else refused).append(f"{key} was {before[key]!r}, is {now[key]!r}")
    return refused, said


def _other_data(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What is known of the difference between two data."""
    known = [key for key in before if key.startswith(ABOUT_DATA) and key in now]
    other = [key for key in known if before[key] != now[key]]
    differ = [f"{key.removeprefix(ABOUT_DATA)} was {before[key]!r}, is {now[key]!r}" for key in other]
    if all(key.startswith(f"{ABOUT_DATA}datamodule.") for key in other):  # no figure does
        differ.append("names of tracks, or which labels they have" if known else "names, lengths or labels")
    return f"the {DATA} are others: " + "; ".join(differ)


def check_same(saved: Saved, experiment: Mapping[str, Any], max_epochs: int, say: bool = True) -> None:
    """Raise ConfigError where continuing `saved` would be another training; `say` what may make it differ slightly."""
    refused, said = changes(saved.experiment, experiment)
    if refused:
        raise ConfigError(
            f"{saved.path} belongs to another training; to continue it would be neither this one nor that:\n  "
            + "\n  ".join(refused)
            + "\nSet these back; or leave ckpt_path out and begin anew, with the old weights if you like (maest.checkpoint=PATH)."
        )
    for change in said if say else ():
        log.warning("Going on with another setting: %s. Results may differ slightly from an unbroken run's.", change)
    if saved.epoch + 1 > max_epochs:
        raise ConfigError(
            f"{saved.path} has come to epoch {saved.epoch + 1}, counted from 1, and trainer.max_epochs is {max_epochs}: raise it to go on."
        )


# ---- run folders
def run_to_continue(root: str | Path, command: str, config: Mapping[str, Any], named: Sequence[str] | None = None) -> Path | None:
    """The newest run folder under `root` whose run had this command and config; None where there is none, and a first run begins.

    named: the named configs of the command. Raises ConfigError where their newest run had other settings, listing them.
    """
    now, places = experiment_of(config), _places(config)
    same: list[tuple[bool, int, Path]] = []
    other: tuple[Path, list[str]] | None = None
    for folder in _numbered(root):
        known = _known(folder)
        if known is None or known.command != command:
            continue
        refused, _ = changes(experiment_of(known.config), now)
        if not refused:
            same.append((_places(known.config) == places, int(folder.name), folder))
        elif other is None and named is not None and known.named == list(named):
            other = folder, refused
    if other is not None and not same:
        raise ConfigError(
            f"{other[0]} is the newest run of this config, and had other settings:\n  "
            + "\n  ".join(other[1])
            + "\nSet these back to continue it, or begin anew: without ckpt_path, or under another trainer.default_root_dir."
        )
    return max(same)[-1] if same else None


def run_of(path: str | Path) -> Path | None:
    """The run folder whose newest whole checkpoint is `path`: a run that goes on from there goes on in it. None for any other file."""
    path = Path(path).resolve()
    folder = path.parent.parent
    if path.parent.name != CHECKPOINTS or _known(folder) is None:
        return None
    whole, _ = _all(path.parent)
    return folder if whole and whole[-1].path.resolve() == path else None


def seed_of(folder: Path) -> int | None:
    """The seed of a run folder's run: Sacred draws one where the command gives none, and who continues it goes on with that."""
    known = _known(folder)
    return None if known is None else known.config.get("seed")


@dataclass(frozen=True)
class _Known:
    command: str
    named: list[str]
    config: dict[str, Any]


def _known(folder: Path) -> _Known | None:
    try:
        run, config = (json.loads((folder / name).read_text(encoding="utf-8")) for name in ("run.json", "config.json"))
        return _Known(run["command"], list(run["meta"].get("named_configs", [])), config)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _numbered(root: str | Path) -> list[Path]:
    root = Path(root)
    found = [p for p in root.iterdir() if p.is_dir() and p.name.isdigit()] if root.is_dir() else []
    return sorted(found, key=lambda p: int(p.name), reverse=True)


def _places(config: Mapping[str, Any]) -> list[Any]:
    data = config.get("datamodule", {})
    return [data.get(key) for key in sorted(data) if key.startswith(("audio_dir", "base_dir", "groundtruth", "demo_tracks"))]


class RunLock:
    """Keeps a run folder to one process as long as that lives. A process that is killed leaves no lock behind."""

    def __init__(self, folder: Path):
        """Raises ConfigError where another process works in `folder`."""
        self.path = folder / LOCK
        self._file: Any = None
        try:
            import fcntl
        except ImportError:  # Windows
            return
        file = self.path.open("a+")
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            file.seek(0)
            owner = file.read().strip()
            file.close()
            raise ConfigError(
                f"{folder} is being written by {owner or 'another process'}: wait for it, or end it first."
            ) from error
        except OSError as error:  # a file system without locks
            log.info("%s cannot be locked (%s): see to it that one run at a time works there.", folder, error)
            file.close()
            return
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        self._file = file

    def release(self) -> None:
        """Let others in."""
        if self._file is not None:
            self._file.truncate(0)
            self._file.close()
            self._file = None
