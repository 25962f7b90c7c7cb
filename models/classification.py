"""The supervised objective of any network: labels of crops, of waveforms or of log-mels.

Letters: B items, L labels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from .errors import ConfigError
from .objective import Batch, Objective
from .randomness import Randomness

Task = Literal["multilabel", "multiclass"]
Augment = Callable[[Tensor, list[int], Randomness], Tensor]


class ClassificationObjective(Objective):
    """Labels of crops.

    net: called as net(x) -> logits [B, L], x [B, ...] as batches hold it: waveforms [B, N] or log-mels [B, F, M]. task: "multilabel" (binary
    cross-entropy, sigmoid scores) or "multiclass" (one label per track: cross-entropy, softmax scores). augment: called in training as
    augment(x, draws, rng) -> x of the same shape; draws: the items' positions in the epoch.

    Raises ConfigError for another task, and in training for a multiclass task's track with several labels or none.
    """

    def __init__(self, net: nn.Module, *, task: Task = "multilabel", augment: Augment | None = None) -> None:
        super().__init__(net)
        if task not in get_args(Task):
            raise ConfigError(f"task is '{task}'; choose {' or '.join(get_args(Task))}.")
        self.task, self.augment = task, augment

    def training_step(self, batch: Batch, rng: Randomness) -> dict[str, Tensor]:
        """{"loss"}: mean over items. Batch: x [B, ...], y [B, L], draw [B]."""
        x = batch["x"].float()
        if self.augment is not None:
            x = self.augment(x, batch["draw"].tolist(), rng)
        return {"loss": self._losses(self.net(x), batch["y"]).mean()}

    def validate(self, batch: Batch, net: nn.Module | None = None) -> dict[str, Tensor]:
        """Scores [B, L] and losses [B] of fixed windows."""
        logits = (net or self.net)(batch["x"].float()).float()
        scores = logits.sigmoid() if self.task == "multilabel" else logits.softmax(1)
        found = {"loss": self._losses(logits, batch["y"]), "scores": scores, "targets": batch["y"].float()}
        return {**{k: batch[k] for k in ("index", "window", "valid")}, **found}

    def _losses(self, logits: Tensor, y: Tensor) -> Tensor:
        """[B]."""
        logits, y = logits.float(), y.float()
        if self.task == "multilabel":
            return binary_cross_entropy_with_logits(logits, y, reduction="none").mean(1)
        if (y.sum(1) != 1).any():
            raise ConfigError(
                "A multiclass task has exactly one label per track; these tracks have none or several: choose multilabel."
            )
        return cross_entropy(logits, y.argmax(1), reduction="none")
