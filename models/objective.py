"""What training asks of any objective: one base class, one loss per step, one way to validate.

An objective is a plain module that holds its network as `net` (its names in checkpoints start with "net.") and knows how a batch
becomes a loss. Optimiser, schedule, logging, metrics and averaging belong to whoever trains it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

from .randomness import Randomness

Batch = Mapping[str, Any]


class Objective(nn.Module):
    """Base of all objectives. A family's own class gives `training_step` and `validate`, and changes the rest where it must.

    net: the network that is trained, validated, averaged and exported. frozen: names of submodules that are not trained: no
    gradients, and always in eval mode, whatever `train()` says. unsaved_modules: names of submodules that checkpoints leave out,
    because they are rebuilt from elsewhere (a frozen target extractor).
    """

    net: nn.Module
    frozen: tuple[str, ...] = ()
    unsaved_modules: tuple[str, ...] = ()

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def training_step(self, batch: Batch, rng: Randomness) -> dict[str, Tensor]:
        """Loss of one batch: {"loss": scalar with gradient, further scalars to log}. Changes nothing in `batch`."""
        raise NotImplementedError(f"{type(self).__name__} does not say how a batch becomes a loss.")

    def validate(self, batch: Batch, net: nn.Module | None = None) -> dict[str, Tensor]:
        """What one batch contributes to validation or test, every entry with the batch's length B.

        net: the weights to validate (the averaged ones); none: the trained ones.

        Returns index [B] and window [B] (together: the item's identity), valid [B] (its frames that are not padding), and what
        `summarise` needs: by default loss [B] (its own loss). Where there are labels also targets [B, L] and scores [B, L]
        (probabilities). A further entry "scores_X" is a second set of scores, reported apart under that name.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how it is validated.")

    def summarise(self, whole: dict[str, np.ndarray]) -> dict[str, float]:
        """Scalars of a whole validation, "loss" among them; scores are scored by who validates.

        whole: the entries of `validate` over all batches of all processes, each item once, in the order of (index, window).
        """
        return {"loss": float(whole["loss"].mean(dtype=np.float64))}

    def histograms(self, whole: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Counts [n] of whole numbers 0..n-1 by name, of a whole validation as `summarise` gets it: kept beside the curves. By default none."""
        return {}

    def param_groups(self) -> list[dict[str, Any]]:
        """Parameter groups for the optimiser: here one, all that is trained, with the optimiser's own settings."""
        return [{"params": [p for p in self.parameters() if p.requires_grad]}]

    def after_optimizer_step(self, step: int) -> None:
        """Called after each optimiser step with the number of steps taken, from 1 on (a teacher that follows its student)."""

    def freeze(self, names: Iterable[str]) -> None:
        """Take the submodules `names` out of training for good."""
        self.frozen = (*self.frozen, *names)
        for name in self.frozen:
            self.get_submodule(name).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Objective:
        """As nn.Module.train, but what is frozen stays in eval mode."""
        super().train(mode)
        for name in self.frozen:
            self.get_submodule(name).eval()
        return self
