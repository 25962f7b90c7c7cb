"""The losses that probes are trained with, by name."""

from __future__ import annotations

import torch
from torch.nn import functional as F


def loss_of(name: str, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Mean loss of logits [..., L] against y float [..., L]: "bce", "ce" (y holds one 1 per row) or "mse"."""
    if name == "bce":
        return F.binary_cross_entropy_with_logits(logits, y)
    if name == "ce":
        return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), y.reshape(-1, y.shape[-1]).argmax(-1))
    return F.mse_loss(logits, y)
