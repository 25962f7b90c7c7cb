"""Masking of input patches in spans of a fixed grid, with noise or with other patches of the clip in their place.

Letters: B clips, T patches, P numbers of a patch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from ..errors import ConfigError

Noise = Literal["random_normal", "shuffled_input"]
NOISE_STD = 0.1


def grid_mask(chosen: Tensor, window: int, length: int) -> Tensor:
    """Which spans are masked [B, ceil(T / window)] bool -> which patches [B, T]."""
    return chosen.repeat_interleave(window, dim=1)[:, :length]


def n_spans(length: int, window: int) -> int:
    """Spans of the grid over so many patches."""
    return -(-length // window)


def mask_patches(
    patches: Tensor, window: int, prob: float, noise: Noise = "random_normal", generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Mask a batch [B, T, P] by one generator, drawn from in the published order: spans, then noise.

    window: patches of a span. prob: that a span is masked. noise: 0.1 x standard normal numbers, or the clip's own patches in one order
        for all clips.
    generator: on the CPU; None: torch's own.

    Returns: the patches with masked ones replaced, and the mask [B, T] bool. Raises ConfigError for an unknown noise.
    """
    check_noise(noise)
    batch, length, _ = patches.shape
    chosen = torch.rand(batch, n_spans(length, window), generator=generator) < prob
    mask = grid_mask(chosen, window, length).to(patches.device)
    if noise == "shuffled_input":
        order = torch.randperm(length, generator=generator).to(patches.device)
        other = patches[:, order]
    else:
        other = NOISE_STD * torch.randn(patches.shape, generator=generator).to(patches)
    return torch.where(mask[..., None], other, patches), mask


def mask_by_item(
    patches: Tensor,
    window: int,
    prob: float,
    noise: Noise,
    items: Sequence[torch.Generator],
    shared: torch.Generator,
    std: float = NOISE_STD,
) -> tuple[Tensor, Tensor]:
    """`mask_patches` with a generator per clip, on the CPU, so that a clip's mask does not depend on its batch; orders are drawn from `shared`.

    std: of the noise. A clip of which no span was drawn (a short one) has one of them masked: there is a loss of every clip.
    """
    check_noise(noise)
    length = patches.shape[1]
    spans = n_spans(length, window)
    chosen = torch.stack([torch.rand(spans, generator=item) < prob for item in items])
    for row, item in zip(chosen, items):
        if not row.any():
            row[int(torch.randint(spans, (1,), generator=item))] = True
    mask = grid_mask(chosen, window, length).to(patches.device)
    if noise == "shuffled_input":
        other = patches[:, torch.randperm(length, generator=shared).to(patches.device)]
    else:
        drawn = torch.stack([torch.randn(patches.shape[1:], generator=item) for item in items])
        other = std * drawn.to(patches)
    return torch.where(mask[..., None], other, patches), mask


def check_noise(noise: str) -> None:
    """Raise ConfigError for an unknown kind of noise."""
    if noise not in get_args(Noise):
        raise ConfigError(f"masking_noise_type is '{noise}'; choose {' or '.join(get_args(Noise))}.")
