"""Short progress lines of training and test, where there is no terminal to draw a bar on."""

from __future__ import annotations

import logging
import math
import time
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from .history import epoch_metrics

log = logging.getLogger(__name__)


class ProgressLines(Callback):
    """A line every `every_seconds` and at each epoch's end, for logs and pipes where a progress bar cannot be drawn."""

    def __init__(self, every_seconds: float = 30.0):
        self.every_seconds = every_seconds

    def _start(self, done: int = 0) -> None:
        self._began = self._shown = time.monotonic()
        self._done = done

    def _show(self, trainer: Trainer, what: str, done: int, total: float) -> None:
        now = time.monotonic()
        if trainer.is_global_zero and now - self._shown >= self.every_seconds:
            self._shown = now
            rate = (done - self._done) / (now - self._began)
            left = f", {(total - done) / rate:.0f} s left" if math.isfinite(total) else ""
            log.info("%s, batch %d of %s: %.2f batches/s%s", what, done, total, rate, left)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clocks, where a run continues within an epoch too."""
        self._epoch_began = time.monotonic()
        self._start(trainer.fit_loop.batch_idx + 1)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clocks."""
        self._epoch_began = time.monotonic()
        self._start()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        """A line when the last one is old enough."""
        self._show(trainer, _epoch(trainer), batch_idx + 1, trainer.num_training_batches)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._start()

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """A line when the last one is old enough."""
        self._show(trainer, "Validation", batch_idx + 1, sum(trainer.num_val_batches))

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._start()

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """A line when the last one is old enough."""
        self._show(trainer, "Test", batch_idx + 1, sum(trainer.num_test_batches))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The epoch's main metrics."""
        metrics = epoch_metrics(trainer, pl_module)
        if trainer.is_global_zero:
            shown = {k: v for k, v in metrics.items() if k.startswith(("train_loss", "val_"))}
            text = ", ".join(f"{k} {v:.4f}" for k, v in sorted(shown.items()) if not k.endswith("_step") and "_classes" not in k)
            log.info("%s done in %.1f s: %s", _epoch(trainer), time.monotonic() - self._epoch_began, text)


def _epoch(trainer: Trainer) -> str:
    return f"Epoch {trainer.current_epoch + 1} of {trainer.max_epochs}"
