"""Trainings that diverge end, and say so: a loss, a weight or an answer that is not finite is never logged as a number, or saved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor


def check_loss(loss: Tensor, batch: Mapping[str, Any], epoch: int, number: int) -> None:
    """Raise FloatingPointError, naming the batch's tracks, for a loss that is NaN or infinite."""
    if not torch.isfinite(loss):
        tracks = ", ".join(map(str, batch.get("key", batch.get("index", ()))))
        raise FloatingPointError(
            f"The loss is {float(loss.detach())} at epoch {epoch}, batch {number}. Its tracks: {tracks}. Look for broken "
            "features among them (check_data), or lower the learning rate, or train in precision 32."
        )


def check_reported(named: Mapping[str, float], whole: Mapping[str, np.ndarray], suffix: str, epoch: int) -> None:
    """Raise FloatingPointError for a loss of a validation or test that is not finite, and for such scores of windows."""
    wrong = [f"{name}{suffix}" for name, value in named.items() if name.endswith("loss") and not np.isfinite(value)]
    wrong += [f"{name}{suffix}" for name, values in whole.items() if name.startswith("scores") and not np.isfinite(values).all()]
    if wrong:
        raise FloatingPointError(
            f"Not finite at epoch {epoch}: {', '.join(wrong)}. The network's answers overflow. Look for broken features among the tracks "
            "(check_data), or lower the learning rate, or compute in precision 32."
        )


def check_weights(parameters: Iterable[tuple[str, Tensor]], step: int) -> None:
    """Raise FloatingPointError for weights that are not finite: they shall not replace good ones."""
    for name, weights in parameters:
        if not torch.isfinite(weights).all():
            raise FloatingPointError(
                f"After step {step} the weights {name} are no longer finite: the gradient was infinite. The last checkpoint "
                "stays as it was. Lower the learning rate, clip the gradient (trainer.gradient_clip_val), or train in precision 32."
            )
