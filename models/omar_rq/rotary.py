"""Rotary positions (arXiv 2104.09864) over interleaved pairs (2j, 2j + 1) of a head, computed in float32 whatever the precision around."""

from __future__ import annotations

import torch
from torch import Tensor, nn

BASE = 10000.0


class Rotary(nn.Module):
    """Turns queries and keys [B, H, T, d] by their positions 0 .. T - 1. `freqs` [d / 2] stands in checkpoints and is not trained.

    Published networks were trained in bfloat16 with positions in that type too (above 256 rounded); positions here are exact, as in published
    float32 inference.
    """

    freqs: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("freqs", BASE ** (-torch.arange(0, dim, 2, dtype=torch.float32) / dim))

    def angles(self, length: int) -> tuple[Tensor, Tensor]:
        """Cosines and sines [T, d / 2] of so many positions."""
        angles = torch.arange(length, dtype=torch.float32, device=self.freqs.device)[:, None] * self.freqs.float()
        return angles.cos(), angles.sin()

    def forward(self, x: Tensor) -> Tensor:
        """[..., T, d], turned; in the type of x."""
        cos, sin = self.angles(x.shape[-2])
        even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
        turned = torch.stack([even * cos - odd * sin, odd * cos + even * sin], dim=-1)
        return turned.flatten(-2).to(x.dtype)
