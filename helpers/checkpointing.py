"""Which checkpoints a run keeps, and how they reach the disk: whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from models.errors import ConfigError


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the wanted file, then replaces it: a crash leaves the old checkpoint. (Lightning's own goes through the system's temporary
    folder, from where a move to another disk is a copy.)
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | os.PathLike, storage_options: Any | None = None) -> None:
        """Write `checkpoint` to `path`."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        try:
            with part.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)


class _BestCheckpoint(ModelCheckpoint):
    """Lightning's, but at rest after epochs without a validation."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if validated(trainer):
            super().on_train_epoch_end(trainer, pl_module)


def validated(trainer: pl.Trainer) -> bool:
    """Whether the present epoch ends with a validation."""
    return sum(trainer.num_val_batches) > 0 and (trainer.current_epoch + 1) % trainer.check_val_every_n_epoch == 0


def best_and_last(folder: Path, monitor: str, mode: str) -> tuple[ModelCheckpoint, ModelCheckpoint]:
    """Callbacks that keep best.ckpt (by `monitor`, "min" or "max") and last.ckpt (after every epoch) in `folder`.

    Two callbacks, because `save_last` would follow the best one's rules. Raises ConfigError for an unknown mode.
    """
    if mode not in ("min", "max"):
        raise ConfigError(f"monitor_mode is '{mode}'; choose min or max.")
    common = {
        "dirpath": folder,
        "save_on_train_epoch_end": True,
        "enable_version_counter": False,
        "auto_insert_metric_name": False,
    }
    last = ModelCheckpoint(filename="last", save_top_k=1, monitor=None, every_n_epochs=1, **common)
    return _BestCheckpoint(filename="best", save_top_k=1, monitor=monitor, mode=mode, **common), last
