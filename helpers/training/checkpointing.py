"""Which checkpoints a run keeps, when, and how they reach the disk: whole or not at all."""

from __future__ import annotations

import logging
import os
import shutil
import time
from pathlib import Path
from typing import Any

import torch

from datasets.utils.files import atomic, remove_parts
from models.errors import CheckpointError, ConfigError

from ..runtime.interrupts import StopRequest
from ._lightning import Checkpoint, ModelCheckpoint, TorchCheckpointIO, pl

log = logging.getLogger(__name__)
LAST, BEST = "last.ckpt", "best.ckpt"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the wanted file, then replaces it: a crash or a full disk leaves the old checkpoint. (Lightning's own goes through the
    system's temporary folder, from where a move to another disk is a copy.)
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | os.PathLike, storage_options: Any | None = None) -> None:
        """Write `checkpoint` to `path`. Raises CheckpointError when the file cannot be written."""
        path = Path(path)
        try:
            with atomic(path) as part, part.open("wb") as file:
                torch.save(checkpoint, file)
            _sync_folder(path.parent)
        except (OSError, RuntimeError) as error:  # RuntimeError: how torch's writer tells of a file that takes no more
            cause = error if isinstance(error, OSError) else error.__context__ or error
            if not path.parent.is_dir():
                raise CheckpointError(f"The checkpoint {path} cannot be written: its folder was removed meanwhile.") from error
            free = shutil.disk_usage(path.parent).free / 1e6
            kept = f" {path} is as it was." if path.exists() else ""
            whole = any(path.parent.glob("*.ckpt"))
            cure = (
                "with ckpt_path=last continues from the last checkpoint that is whole"
                if whole
                else "begins anew, since none was written before"
            )
            raise CheckpointError(
                f"The checkpoint {path} cannot be written: {cause}. {free:.0f} MB are free there.{kept} Make room; the same command {cure}."
            ) from error


def _sync_folder(folder: Path) -> None:
    """Bring a folder's names to the disk, where the system can."""
    if os.name == "posix":
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


class Stop(BaseException):
    """Ends Lightning's loops behind a saved checkpoint. Not an Exception: nobody is to handle it on the way."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


class LastCheckpoints(Checkpoint):
    """Keeps last.ckpt in `folder`, the run's newest state: from each epoch's end, and from within epochs where that is asked for.

    keep: checkpoints that are kept; the ones before last.ckpt as step-N.ckpt. every_n_steps: optimiser's steps between two. every_minutes: time
    between two. request: once it has received a signal, training saves behind the batch at hand (of training or of validation) and stops.
    resumed_from: the checkpoint that the run continues from.

    Within an epoch it saves behind whole optimiser steps only: gradients in flight are not part of a checkpoint.
    """

    def __init__(
        self,
        folder: Path,
        *,
        keep: int = 1,
        every_n_steps: int | None = None,
        every_minutes: float | None = None,
        request: StopRequest | None = None,
        resumed_from: Path | None = None,
    ):
        if keep < 1:
            raise ConfigError(f"keep_checkpoints is {keep}; a run keeps 1 or more.")
        for name, value in {"save_every_n_steps": every_n_steps, "save_every_minutes": every_minutes}.items():
            if value is not None and not value > 0:
                raise ConfigError(f"{name} is {value}; it is above 0, or none: checkpoints at the epochs' ends only.")
        self.folder, self.keep, self.every_n_steps, self.every_minutes = folder, keep, every_n_steps, every_minutes
        self.request = request or StopRequest()
        self._resumed = resumed_from is not None and resumed_from.resolve() == self.path.resolve()
        self._step: int | None = None  # of last.ckpt, where it belongs to this run and is whole

    @property
    def path(self) -> Path:
        """Return where the newest one is."""
        return self.folder / LAST

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remove what a killed run had not finished."""
        if trainer.is_global_zero:
            remove_parts(self.folder)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen (Lightning has its own handlers in place by now), and start the clock."""
        self.request.install()
        self._saved_at, self._step = time.monotonic(), trainer.global_step if self._resumed else None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save where it is due. The epoch's last batch is left to what follows it."""
        if trainer.is_last_batch or (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        by_time = self.every_minutes is not None and time.monotonic() - self._saved_at >= 60.0 * self.every_minutes
        asked = self._agreed(trainer, by_time or self.request.received is not None)
        if asked or (self.every_n_steps is not None and trainer.global_step % self.every_n_steps == 0):
            self._save(trainer)
        if asked:
            self._stop(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find out how many batches all processes have: where their numbers differ, they cannot agree behind each."""
        count = torch.tensor(sum(trainer.num_val_batches), device=trainer.strategy.root_device)
        if trainer.world_size > 1:
            torch.distributed.all_reduce(count, torch.distributed.ReduceOp.MIN)
        self._common = int(count)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Validation is not continued, but begun again; the training before it is not lost."""
        if trainer.sanity_checking or batch_idx >= self._common:
            return
        if self._agreed(trainer, self.request.received is not None):
            self._save(trainer)
            self._stop(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save."""
        self._save(trainer)
        self._stop(trainer)

    def _agreed(self, trainer: pl.Trainer, wish: bool) -> bool:
        """Return whether any process wants it: all must save together."""
        return trainer.strategy.reduce_boolean_decision(wish, all=False) if trainer.world_size > 1 else wish

    def _stop(self, trainer: pl.Trainer) -> None:
        if self._agreed(trainer, self.request.received is not None):
            if trainer.is_global_zero:
                log.warning("A signal asks the run to end: %s is saved.", self.path)
            raise Stop(self.request.received or 0)

    def _save(self, trainer: pl.Trainer) -> None:
        if trainer.is_global_zero and self.keep > 1 and self._step not in (None, trainer.global_step):
            older = self.folder / f"step-{self._step:08d}.ckpt"
            older.unlink(missing_ok=True)
            try:
                os.link(self.path, older)  # last.ckpt is there at every moment
            except OSError:  # a file system without hard links
                self.path.rename(older)
        trainer.save_checkpoint(self.path, weights_only=False)
        self._saved_at, self._step = time.monotonic(), trainer.global_step
        if trainer.is_global_zero:
            for older in sorted(self.folder.glob("step-*.ckpt"))[: -(self.keep - 1) or None]:
                older.unlink()


class _BestCheckpoint(ModelCheckpoint):
    """Lightning's, but at rest after epochs without a validation, and at home in a run folder that was moved."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if validated(trainer):
            super().on_train_epoch_end(trainer, pl_module)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        here = str(Path(str(self.dirpath)) / BEST)
        if not Path(here).is_file():
            if state_dict["best_model_path"]:
                log.info("%s will be the best of the epochs from here on.", here)
            return
        if state_dict["best_k_models"]:
            known = {here: next(iter(state_dict["best_k_models"].values()))}
            moved = {"dirpath": self.dirpath, "best_model_path": here, "kth_best_model_path": here, "best_k_models": known}
            super().load_state_dict({**state_dict, **moved})


def validated(trainer: pl.Trainer) -> bool:
    """Return whether the present epoch ends with a validation."""
    return sum(trainer.num_val_batches) > 0 and (trainer.current_epoch + 1) % (trainer.check_val_every_n_epoch or 1) == 0


def best_checkpoint(folder: Path, monitor: str, mode: str) -> ModelCheckpoint:
    """Return the callback that keeps best.ckpt, by `monitor` ("min" or "max"), in `folder`. Raises ConfigError for an unknown mode."""
    if mode not in ("min", "max"):
        raise ConfigError(f"monitor_mode is '{mode}'; choose min or max.")
    return _BestCheckpoint(
        dirpath=folder,
        filename=Path(BEST).stem,
        save_top_k=1,
        monitor=monitor,
        mode=mode,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
        auto_insert_metric_name=False,
    )
