"""The training curves of a run: kept, written and told as they come, and continued by a resumed run as if it had not stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from datasets.utils.files import atomic

from ..reports.training_charts import HISTOGRAMS
from ..utils.json_values import plain
from ._lightning import Callback, LightningModule, Trainer
from .checkpointing import validated
from .event_file import EventFile, Histogram, Scalar

LogFunction = Callable[[str, float, int], None]
_STEPWISE = ("train_loss_step", "lr")


class _Logged(NamedTuple):
    """One number: its step by the run's metrics (the epoch, for epoch metrics), by TensorBoard (always the optimiser's), and when."""

    name: str
    value: float
    step: int
    global_step: int
    at: float


class History(Callback):
    """Keeps every epoch's metrics in `path` (JSON, replaced whole), TensorBoard's file in `events`, and calls `log_metric(name, value, step)`.

    Epoch metrics are logged with the epoch as their step, `train_loss_step` and `lr` with the optimiser's step. Checkpoints hold all that
    was logged. A resumed run writes and logs it again, and goes on from there: what a run did behind its last checkpoint leaves no trace.
    """

    def __init__(self, path: Path, events: Path, log_metric: LogFunction | None = None):
        self.path, self.events, self.log_metric = path, events, log_metric  # not `log`: Lightning sets that on every callback
        self.rows: list[dict[str, float]] = []
        self._logged: list[_Logged] = []
        self._histograms: list[Histogram] = []
        self._file: EventFile | None = None
        self._before = 0.0  # s that the present epoch took before the run was resumed
        self._lr = float("nan")

    def state_dict(self) -> dict[str, Any]:
        """Rows, and what was logged, so far."""
        names = sorted({one.name for one in self._logged})
        numbers = [[names.index(one.name), one.step, one.global_step] for one in self._logged]
        return {
            "rows": self.rows,
            "names": names,
            "numbers": torch.tensor(numbers, dtype=torch.int64).reshape(-1, 3),
            "values": torch.tensor([[one.value, one.at] for one in self._logged], dtype=torch.float64).reshape(-1, 2),
            "histograms": [(one.tag, torch.tensor(one.counts), one.step, one.at) for one in self._histograms],
            "seconds": self._seconds(),
            "lr": self._lr,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the run that is resumed."""
        self.rows = [dict(row) for row in state_dict["rows"]]
        names, values = state_dict["names"], state_dict["values"].tolist()
        self._logged = [
            _Logged(names[name], value, step, global_step, at)
            for (name, step, global_step), (value, at) in zip(state_dict["numbers"].tolist(), values)
        ]
        kept = state_dict.get("histograms", [])  # older checkpoints have none
        self._histograms = [Histogram(tag, counts.tolist(), step, at) for tag, counts, step, at in kept]
        self._before, self._lr = state_dict["seconds"], state_dict["lr"]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write and log what the resumed run had."""
        self._began = time.monotonic()
        if not trainer.is_global_zero:
            return
        if self.rows:
            write_json(self.path, self.rows)
        scalars = [Scalar(one.name, one.value, one.global_step, one.at) for one in self._logged]
        self._file = EventFile(self.events, [*scalars, *self._histograms])
        self._write_histograms()
        for one in self._logged:
            if self.log_metric is not None and one.name != "epoch":
                self.log_metric(one.name, one.value, one.step)

    def _add(self, trainer: Trainer, name: str, value: float, step: int) -> None:
        one = _Logged(name, float(value), step, trainer.global_step, time.time())
        self._logged.append(one)
        if self._file is not None:
            self._file.add(Scalar(name, one.value, one.global_step, one.at))
        if self.log_metric is not None and trainer.is_global_zero and name != "epoch":
            self.log_metric(name, one.value, step)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Log the loss of a step now and then."""
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]  # Lightning's logger connector sets it
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0 or trainer.is_last_batch
        if every and stepped and trainer.global_step % every == 0:
            for name in _STEPWISE:
                if name in trainer.logged_metrics:
                    self._add(trainer, name, float(trainer.logged_metrics[name]), trainer.global_step)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note when the epoch began, and its learning rate (at its end the next one's is set already)."""
        self._began, self._before = time.monotonic(), 0.0
        self._lr = float(trainer.optimizers[0].param_groups[0]["lr"])

    def _seconds(self) -> float:
        return self._before + time.monotonic() - self._began

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep, write and log the epoch's metrics (the validation has run by now)."""
        metrics = {k: v for k, v in epoch_metrics(trainer, pl_module).items() if k not in _STEPWISE}
        row = {"epoch": trainer.current_epoch, "step": trainer.global_step, "lr": self._lr, "seconds": self._seconds()}
        self.rows.append({**row, **metrics})
        if trainer.is_global_zero:
            write_json(self.path, self.rows)
        for name, value in {**metrics, "epoch": float(trainer.current_epoch)}.items():
            self._add(trainer, name, value, trainer.current_epoch)
        self._add_histograms(trainer, pl_module)

    def _add_histograms(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep and write the histograms that are not as they were: of fixed targets they never change."""
        last = {one.tag: one.counts for one in self._histograms}
        found: dict[str, Any] = pl_module.histograms  # type: ignore[assignment]  # of LitObjective
        new = [(name, counts.tolist()) for name, counts in found.items() if last.get(name) != counts.tolist()]
        for name, counts in new:
            self._histograms.append(Histogram(name, counts, trainer.global_step, time.time()))
            if self._file is not None:
                self._file.add(self._histograms[-1])
        if new and trainer.is_global_zero:
            self._write_histograms()

    def _write_histograms(self) -> None:
        if self._histograms:
            write_json(self.path.with_name(HISTOGRAMS), {one.tag: one.counts for one in self._histograms})

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Close the event file."""
        if self._file is not None:
            self._file.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """The same: Lightning calls no teardown then."""
        self.teardown(trainer, pl_module, "fit")


def epoch_metrics(trainer: Trainer, pl_module: LightningModule) -> dict[str, float]:
    """Return what the present epoch has logged; validation metrics only where it was validated (Lightning still holds those of an earlier epoch)."""
    logged = {k: float(v) for k, v in trainer.callback_metrics.items()} | pl_module.train_means()  # type: ignore[operator]  # of LitObjective
    return {k: logged[k] for k in sorted(logged) if validated(trainer) or not k.startswith("val_")}


def write_json(path: Path, content: Any) -> None:
    """`content` as JSON in `path`, replaced whole: a reader never sees half of it. NaN and infinities become null."""
    with atomic(path) as part:
        part.write_text(json.dumps(plain(content), indent=1) + "\n", encoding="utf-8")
