"""Settings of a training, with the names that the section `trainer` of the scripts' configs has."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from models.errors import ConfigError

from ..runtime.devices import Hardware


@dataclass(frozen=True)
class HardwareSettings:
    """What a training or a test computes on.

    Attributes:
        devices: processes on each machine, "auto", or GPU numbers.
        num_nodes: machines.
        accelerator: "auto", "cpu" or "gpu".
        precision: "auto" or Lightning's names.
        strategy: "auto", "ddp" or Lightning's names of its variants.
    """

    devices: int | str | list[int] = 1
    num_nodes: int = 1
    accelerator: str = "auto"
    precision: str | int = "auto"
    strategy: str = "auto"


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(HardwareSettings):
    """How `fit` trains. Defaults are those of a plain run; the recipe's are the config's.

    Attributes:
        out_dir: folder that everything is written to.
        max_epochs: epochs to train, 1 or more.
        seed: of augmentation, patchout and weights drawn from now on; data order is the data module's.
        resume_from: checkpoint whose run is continued to `max_epochs` as if it had never stopped, within an epoch too.
        sync_batchnorm: batch statistics over all processes.
        limit_train_batches, limit_val_batches: number of batches (int) or share of them (float); None: all.
        num_sanity_val_steps: validation batches before training.
        check_val_every_n_epoch: epochs between two validations, 1 or more.
        log_every_n_steps: steps between two logged training losses.
        reload_dataloaders_every_n_epochs: epochs after which loaders are made anew; 0: never.
        accumulate_grad_batches: batches per optimiser step.
        gradient_clip_val: largest norm of the gradient; None: not clipped.
        monitor, monitor_mode: metric by which best.ckpt is chosen, and "min" or "max".
        early_stopping: validations without a better `monitor` after which training ends; None: it goes on to max_epochs.
        save_every_n_steps, save_every_minutes: distance of two checkpoints within an epoch; None: not so.
        keep_checkpoints: newest checkpoints that are kept.
        show_progress: a bar on a terminal, lines elsewhere.
    """

    out_dir: Path
    max_epochs: int
    seed: int = 0
    resume_from: Path | None = None
    sync_batchnorm: bool = False
    limit_train_batches: int | float | None = None
    limit_val_batches: int | float | None = None
    num_sanity_val_steps: int = 0
    check_val_every_n_epoch: int = 1
    log_every_n_steps: int = 50
    reload_dataloaders_every_n_epochs: int = 0
    accumulate_grad_batches: int = 1
    gradient_clip_val: float | None = None
    monitor: str = "val_loss"
    monitor_mode: str = "min"
    early_stopping: int | None = None
    save_every_n_steps: int | None = None
    save_every_minutes: float | None = None
    keep_checkpoints: int = 1
    show_progress: bool = True

    def __post_init__(self) -> None:
        """Raise ConfigError for numbers that cannot be."""
        for name in ("max_epochs", "check_val_every_n_epoch"):
            if getattr(self, name) < 1:
                raise ConfigError(f"trainer.{name} is {getattr(self, name)}; it must be 1 or more.")

    @classmethod
    def of(cls, trainer: Hardware, **more: Any) -> TrainingSettings:
        """Return the settings that a config's section `trainer` (a dataclass) has fields for, and `more` of them: out_dir, seed, ..."""
        known = {f.name for f in fields(cls)} - set(more)
        return cls(**{name: getattr(trainer, name) for name in known if hasattr(trainer, name)}, **more)
