"""How far training and test are: a bar per epoch on a terminal, short lines elsewhere, and a line with the metrics as each epoch ends."""

from __future__ import annotations

import logging
import math
import time
from typing import Any

from datasets.utils.progress import SECONDS_BETWEEN_LINES, JobProgress

from ._lightning import Callback, LightningModule, Trainer
from .history import epoch_metrics

log = logging.getLogger(__name__)


class TrainingProgress(Callback):
    """A JobProgress of each epoch's batches, of validation and of test, and a line with the main metrics as an epoch ends.

    every_seconds: the shortest time between two lines where there is no terminal.
    """

    def __init__(self, every_seconds: float = SECONDS_BETWEEN_LINES):
        self.every_seconds = every_seconds
        self._progress: JobProgress | None = None

    def _begin(self, trainer: Trainer, what: str, total: float, done: int = 0) -> None:
        self._end()
        if trainer.is_global_zero:
            n = int(total) if math.isfinite(total) else 0
            self._progress = JobProgress(what, n, "batches", done, every_seconds=self.every_seconds, last_line=False)
            self._progress.__enter__()

    def _advance(self, trainer: Trainer) -> None:
        if self._progress is not None:
            shown = {k: v for k, v in trainer.progress_bar_metrics.items() if isinstance(v, float)}
            self._progress.advance(note=", ".join(f"{name} {value:.4f}" for name, value in shown.items()))

    def _end(self) -> None:
        if self._progress is not None:
            self._progress.__exit__(None, None, None)
            self._progress = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin, where a run continues within an epoch too."""
        self._epoch_began = time.monotonic()
        self._begin(trainer, _epoch(trainer), trainer.num_training_batches, trainer.fit_loop.batch_idx + 1)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin an epoch."""
        self._epoch_began = time.monotonic()
        self._begin(trainer, _epoch(trainer), trainer.num_training_batches)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Count a batch; a validation within the epoch ended its bar."""
        if self._progress is None:
            self._begin(trainer, _epoch(trainer), trainer.num_training_batches, batch_idx)
        self._advance(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the validation."""
        self._begin(trainer, "Validation", sum(trainer.num_val_batches))

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Count a batch."""
        self._advance(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the validation."""
        self._end()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the test."""
        self._begin(trainer, "Test", sum(trainer.num_test_batches))

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Count a batch."""
        self._advance(trainer)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the test."""
        self._end()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the epoch's main metrics."""
        self._end()
        metrics = epoch_metrics(trainer, pl_module)
        if trainer.is_global_zero:
            shown = {k: v for k, v in metrics.items() if k.startswith(("train_loss", "val_"))}
            text = ", ".join(f"{k} {v:.4f}" for k, v in sorted(shown.items()) if not k.endswith("_step") and "_classes" not in k)
            log.info("%s done in %.1f s: %s", _epoch(trainer), time.monotonic() - self._epoch_began, text)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Take the bar off the terminal."""
        self._end()


def _epoch(trainer: Trainer) -> str:
    return f"Epoch {trainer.current_epoch + 1} of {trainer.max_epochs}"
