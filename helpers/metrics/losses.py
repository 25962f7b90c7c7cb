"""The losses that probes are trained with, by name."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

BOUNDARY_SHARE = 0.9  # of a boundary's output in the loss bce_boundary; the other outputs share the rest


def boundary_weights(n_outputs: int) -> np.ndarray:
    """Weights float32 [L], of mean 1, of the outputs in the loss bce_boundary."""
    others = max(n_outputs - 1, 1)
    weights = np.full(n_outputs, (1 - BOUNDARY_SHARE) * n_outputs / others, dtype=np.float32)
    weights[-1] = BOUNDARY_SHARE * n_outputs
    return weights


def loss_of(name: str, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Mean loss of logits [..., L] against y float [..., L]: "bce", "ce" (y holds one 1 per row), "mse", or "bce_boundary", binary cross-entropy of
    which the last output, a boundary's, has nine tenths.
    """
    if name == "bce_boundary":
        weights = torch.from_numpy(boundary_weights(logits.shape[-1])).to(logits)
        return (F.binary_cross_entropy_with_logits(logits, y, reduction="none") * weights).mean()
    if name == "bce":
        return F.binary_cross_entropy_with_logits(logits, y)
    if name == "ce":
        return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), y.reshape(-1, y.shape[-1]).argmax(-1))
    return F.mse_loss(logits, y)
