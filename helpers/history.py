"""The training curves of a run, written after every epoch, and short progress lines where there is no terminal."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from .checkpointing import validated
from .files import atomic, plain

log = logging.getLogger(__name__)

LogFunction = Callable[[str, float, int], None]


class History(Callback):
    """Keeps every epoch's metrics, writes them to `path` (JSON, replaced whole) and tells `tell(name, value, step)`.

    Epoch metrics are told with the epoch as their step, `train_loss_step` and `lr` with the optimiser's step. A resumed run
    continues the file's rows.
    """

    def __init__(self, path: Path, tell: LogFunction | None = None):
        self.path, self.tell = path, tell  # not `log`: Lightning sets that on every callback
        self.rows: list[dict[str, float]] = []

    def state_dict(self) -> dict[str, Any]:
        """The rows so far."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the rows of the run that is resumed."""
        self.rows = [dict(row) for row in state_dict["rows"]]

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Tell the loss of a step now and then."""
        every = trainer.log_every_n_steps
        if self.tell is not None and trainer.is_global_zero and every and (batch_idx + 1) % every == 0:
            for name in ("train_loss_step", "lr"):
                if name in trainer.logged_metrics:
                    self.tell(name, float(trainer.logged_metrics[name]), trainer.global_step)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note when the epoch began, and its learning rate (at its end the next one's is set already)."""
        self._began = time.monotonic()
        self._lr = float(pl_module.optimizers().param_groups[0]["lr"])

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep, write and tell the epoch's metrics (the validation has run by now)."""
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items() if k not in ("train_loss_step", "lr")}
        if not validated(trainer):  # Lightning still holds those of an earlier epoch
            metrics = {k: v for k, v in metrics.items() if not k.startswith("val_")}
        row = {
            "epoch": trainer.current_epoch,
            "step": trainer.global_step,
            "lr": self._lr,
            "seconds": time.monotonic() - self._began,
        }
        self.rows.append({**row, **metrics})
        if trainer.is_global_zero:
            write_json(self.path, self.rows)
            for name, value in metrics.items():
                if self.tell is not None:
                    self.tell(name, value, trainer.current_epoch)


class ProgressLines(Callback):
    """A line every `every_seconds` and at each epoch's end, for logs and pipes where a progress bar cannot be drawn."""

    def __init__(self, every_seconds: float = 30.0):
        self.every_seconds = every_seconds

    def _start(self) -> None:
        self._began = self._told = time.monotonic()

    def _tell(self, trainer: Trainer, what: str, done: int, total: float) -> None:
        now = time.monotonic()
        if trainer.is_global_zero and now - self._told >= self.every_seconds:
            self._told = now
            rate = done / (now - self._began)
            left = f", {(total - done) / rate:.0f} s left" if math.isfinite(total) else ""
            log.info("%s, batch %d of %s: %.2f batches/s%s", what, done, total, rate, left)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clocks."""
        self._epoch_began = time.monotonic()
        self._start()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        """A line when the last one is old enough."""
        self._tell(trainer, _epoch(trainer), batch_idx + 1, trainer.num_training_batches)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._start()

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """A line when the last one is old enough."""
        self._tell(trainer, "Validation", batch_idx + 1, sum(trainer.num_val_batches))

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._start()

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """A line when the last one is old enough."""
        self._tell(trainer, "Test", batch_idx + 1, sum(trainer.num_test_batches))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The epoch's main metrics."""
        if trainer.is_global_zero:
            wanted = ("train_loss", "val_") if validated(trainer) else ("train_loss",)  # Lightning still holds older validations
            shown = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith(wanted)}
            text = ", ".join(f"{k} {v:.4f}" for k, v in sorted(shown.items()) if not k.endswith("_step") and "_classes" not in k)
            log.info("%s done in %.1f s: %s", _epoch(trainer), time.monotonic() - self._epoch_began, text)


def _epoch(trainer: Trainer) -> str:
    return f"Epoch {trainer.current_epoch + 1} of {trainer.max_epochs}"


def write_json(path: Path, content: Any) -> None:
    """`content` as JSON in `path`, replaced whole: a reader never sees half of it. NaN and infinities become null."""
    with atomic(path) as part:
        part.write_text(json.dumps(plain(content), indent=1) + "\n", encoding="utf-8")
