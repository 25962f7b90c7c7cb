"""Augmentation of log-mel batches on their own device: roll, masking, mixup. Nothing here changes its input.

Shapes: x [B, F, T] (F mel bands, T frames), targets [B, L]. What is drawn, is drawn per item from streams that depend on the
item's draw only (models/randomness.py), so that the number of devices changes nothing.

Masking follows SpecAugment (arXiv 1904.08779) with several masks per axis, mixup arXiv 1710.09412 with one lambda per item.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import ConfigError
from ..randomness import Randomness


@dataclass(frozen=True)
class Roll:
    """Circular shift along an axis: by `shift` places, or (none) by a random -shift_range..shift_range, drawn per item.

    axis: -1 time (frames), -2 mel bands.
    """

    do: bool = False
    axis: int = -1
    shift: int | None = None
    shift_range: int = 50

    def __post_init__(self) -> None:
        if self.axis not in (-1, -2):
            raise ConfigError(f"roll.axis is {self.axis}; choose -1 (time) or -2 (mel bands).")
        if self.shift_range < 0:
            raise ConfigError(f"roll.shift_range is {self.shift_range} places; it must be 0 or more.")


@dataclass(frozen=True)
class Masking:
    """Zero-filled masks on the normalised log-mel.

    time_masks of 0..time_mask_param - 1 frames each, as torchaudio draws them, and within the share `p` of the clip; freq_masks of
    0..freq_mask_param - 1 bands each. iid_masks: drawn per item (else once per step, for all items alike).
    """

    do: bool = True
    time_masks: int = 20
    time_mask_param: int = 8
    freq_masks: int = 8
    freq_mask_param: int = 5
    p: float = 0.2
    iid_masks: bool = True

    def __post_init__(self) -> None:
        numbers = {k: getattr(self, k) for k in ("time_masks", "time_mask_param", "freq_masks", "freq_mask_param")}
        if negative := [f"masking.{k} is {v}" for k, v in numbers.items() if v < 0]:
            raise ConfigError(f"{', '.join(negative)}; counts and widths are 0 or more.")
        if not 0.0 <= self.p <= 1.0:
            raise ConfigError(f"masking.p is {self.p}; it is a share of the clip, 0 to 1.")


def roll(x: Tensor, settings: Roll, draws: Sequence[int], rng: Randomness) -> Tensor:
    """`x` [B, F, T], each item shifted circularly along one axis by its own number of places (positive: towards the end)."""
    if settings.shift is not None:
        shifts = [settings.shift] * len(x)
    else:
        span = settings.shift_range
        shifts = [int(g.integers(-span, span + 1)) for g in rng.items(draws, "roll")]
    rolled = torch.empty_like(x)
    for item, shift in enumerate(shifts):  # B copies of whole rows: several times faster than one gather of single values
        rolled[item] = x[item].roll(shift, settings.axis)
    return rolled


def mask(x: Tensor, settings: Masking, draws: Sequence[int], rng: Randomness) -> Tensor:
    """`x` [B, F, T], normalised, with zeros in random stretches of frames and of bands."""
    bands, frames = x.shape[1:]
    streams = rng.items(draws, "masking") if settings.iid_masks else [rng.batch("masking")]
    widest = min(settings.time_mask_param, int(settings.p * frames))
    times, bins = [], []
    for g in streams:
        times.append(_stretches(g, settings.time_masks, widest, frames))
        bins.append(_stretches(g, settings.freq_masks, min(settings.freq_mask_param, bands), bands))
    shown_frames = ~_covered(np.stack(times), frames, x.device)
    shown_bands = ~_covered(np.stack(bins), bands, x.device)
    # products, not masked fills: ten times faster on a CPU, and a NaN stays one, to be found
    return (x * shown_frames[:, None, :]).mul_(shown_bands[:, :, None])


def _stretches(g: np.random.Generator, count: int, widest: int, size: int) -> np.ndarray:
    """`count` stretches [count, 2] = (start, stop): widths uniform on 0..widest - 1, starts on all places where it fits."""
    widths = g.integers(0, max(widest, 1), size=count)
    starts = np.floor(g.random(count) * (size - widths + 1)).astype(np.int64)
    return np.stack([starts, starts + widths], axis=1)


def _covered(stretches: np.ndarray, size: int, device: torch.device) -> Tensor:
    """Places [B, size] that lie in any of the stretches [B, M, 2]."""
    start, stop = torch.from_numpy(stretches).to(device).unbind(-1)
    one = torch.ones_like(start)
    opened = torch.zeros(len(start), size + 1, dtype=start.dtype, device=device)
    opened.scatter_add_(1, start, one).scatter_add_(1, stop, -one)
    return opened.cumsum(1)[:, :-1] > 0


@dataclass(frozen=True)
class Mix:
    """How a batch is mixed: item b becomes lam[b] * item b + (1 - lam[b]) * item partner[b]."""

    lam: Tensor  # [B] float32, in 0.5..1
    partner: Tensor  # [B] int64, places in the batch

    def __call__(self, x: Tensor) -> Tensor:
        """`x` [B, ...] mixed along its first axis, a new tensor of the same floating type (inputs and targets alike)."""
        lam = self.lam.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1))
        return torch.lerp(x[self.partner], x, lam)


def draw_mix(alpha: float, draws: Sequence[int], rng: Randomness, group: int | None, device: torch.device) -> Mix:
    """Lambdas and partners of one batch.

    lambda ~ Beta(alpha, alpha), made max(lambda, 1 - lambda), per item. Partners: a random permutation within groups of draws {g
    * group .. (g + 1) * group - 1}; None: of the whole batch. Where each device's batch consists of whole groups, the same items
    meet whatever the number of devices; the draws of a group that are not in this batch take no part.
    """
    lam = [g.beta(alpha, alpha) for g in rng.items(draws, "mixup")]
    order = np.asarray(draws, dtype=np.int64)
    groups = np.zeros(len(order), dtype=np.int64) if group is None else order // group
    partner = np.empty(len(order), dtype=np.int64)
    for g in np.unique(groups):
        members = np.flatnonzero(groups == g)
        members = members[np.argsort(order[members], kind="stable")]  # by draw: the order in the batch does not matter
        partner[members] = rng.group(int(order[members[0]]), "partner").permutation(members)
    lam_high = np.maximum(lam, 1.0 - np.asarray(lam)).astype(np.float32)
    return Mix(torch.from_numpy(lam_high).to(device), torch.from_numpy(partner).to(device))
