"""Pitch shift at constant tempo on batches of mono sounds [B, N] float32, on any device; the measure is SoX's `pitch`.

The sound is stretched in time by overlapping segments at the places where they fit best (WSOLA: Verhelst and Roelands 1993, as SoX's `tempo`),
then read that much faster, band-limited, by a transform of one size and its inverse of another. Last, its level follows the original's: segments
that are left out or said twice would move the energy of single notes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv1d, pad

from ..errors import ConfigError

MAX_CENTS = 1200
HOP, OVERLAP = 882, 150  # samples between segments, and of their cross-fade: 40 ms and 7 ms at 22 050 Hz
SEARCH = 324  # samples among which the best place of a segment is looked for, half of them before the even one: 15 ms
MARGIN = 256  # samples behind the crop, so that a transform's end does not run into its begin
ENVELOPE = 2048  # samples of the window within which the level follows: 93 ms
MAX_FOLLOW = 10 ** (4 / 20)  # gain, either way
_FLOOR = 1e-3  # share of the mean energy below which a level is not followed: noise between notes stays noise


def pitch_shift(x: Tensor, cents: Sequence[int] | np.ndarray) -> Tensor:
    """Sounds [B, N] moved by cents [B], tempo, level and length kept; an item in which that gives NaN or infinity comes back as it was.

    Within 0.5 cents of what is asked for at CLMR's 59 049 samples (1 cent at a tenth of them). What would lie above half the rate is cut off, and
    is not part of the level that is kept.

    Raises ConfigError for more than an octave.
    """
    if np.abs(cents).max(initial=0) > MAX_CENTS:
        raise ConfigError(f"Pitch is shifted by {MAX_CENTS} cents at most; got {list(map(int, cents))}.")
    n = x.shape[-1]
    sizes = [_sizes(n + MARGIN, int(c)) for c in cents]
    ratios = torch.tensor([2 ** (int(c) / 1200) for c in cents], dtype=torch.float64, device=x.device)
    stretched = stretch(x, ratios, max((size for size, _ in sizes), default=0))
    out, kept = torch.empty_like(x), torch.empty_like(x)
    for row, (size, shorter) in enumerate(sizes):
        out[row] = _resized(stretched[row, :size], shorter)[:n]
        kept[row] = _below(x[row], shorter / size)
    out *= _level(kept, out)
    return torch.where(torch.isfinite(out).all(dim=-1, keepdim=True), out, x)


def stretch(x: Tensor, ratios: Tensor, length: int) -> Tensor:
    """Sounds [B, N] in `ratios` [B] times their duration at the same pitch: [B, length], silence behind a sound's end.

    Every HOP samples begins a segment of HOP + OVERLAP of the sound, from within SEARCH / 2 samples of its even place, there where it continues
    the segment before it best (largest normalised cross-correlation over the cross-fade).
    """
    steps = max(1, math.ceil(length / HOP))
    places = torch.round(
        torch.arange(steps, device=x.device) * HOP / ratios[:, None]
    ).long()  # [B, K], earliest candidates in the padded sound
    reach = int(places.max()) + SEARCH + HOP + 2 * OVERLAP if len(x) else 0
    sound = pad(x, (SEARCH // 2, max(0, reach - x.shape[-1])))
    rows = torch.arange(len(x), device=x.device)[:, None]
    region, tail = (torch.arange(k, device=x.device) for k in (SEARCH + OVERLAP, OVERLAP))
    starts = torch.empty_like(places)
    starts[:, 0] = SEARCH // 2
    for k in range(1, steps):
        ending = sound[rows, starts[:, k - 1 : k] + HOP + tail]
        near = sound[rows, places[:, k : k + 1] + region]
        likeness = (near.unfold(1, OVERLAP, 1) @ ending[:, :, None])[:, :, 0]
        energy = pad(near.double().square().cumsum(1), (1, 0))
        energy = (energy[:, OVERLAP:] - energy[:, :-OVERLAP]).clamp_min(1e-12).sqrt().float()
        score, best = (likeness / energy).max(dim=1)
        starts[:, k] = places[:, k] + torch.where(score > 0, best, SEARCH // 2)  # silence, or nothing alike: the even place
    segments = sound[rows[:, :, None], starts[:, :, None] + torch.arange(HOP + OVERLAP, device=x.device)]
    rise = (torch.arange(OVERLAP, device=x.device, dtype=x.dtype) + 0.5) / OVERLAP
    out = segments[:, :, :HOP]
    out[:, 1:, :OVERLAP] = out[:, 1:, :OVERLAP] * rise + segments[:, :-1, HOP:] * (1 - rise)
    return out.reshape(len(x), -1)[:, :length]


@cache
def _sizes(n: int, cents: int) -> tuple[int, int]:
    """Sizes of the two transforms: (stretched, as it is heard), the second n to 1.05 n, whose ratio comes nearest the shift.

    Both have small prime factors, which makes the transforms several times faster than those of any sizes.
    """
    ratio = 2 ** (cents / 1200)
    low, high = (int(np.searchsorted(_smooth(), k)) for k in (n, 1.05 * n + 64))
    shorter = _smooth()[low:high]
    wanted = shorter * ratio
    above = np.searchsorted(_smooth(), wanted)
    pairs = [(_smooth()[at], size) for way in (above - 1, above) for at, size in zip(way, shorter)]
    longer, size = min(pairs, key=lambda pair: abs(math.log(pair[0] / pair[1] / ratio)))
    return int(longer), int(size)


@cache
def _smooth() -> np.ndarray:
    """All numbers up to 2^28 without a prime factor above 13, rising."""
    found = np.ones(1, dtype=np.int64)
    for prime in (2, 3, 5, 7, 11, 13):
        powers = prime ** np.arange(int(28 / math.log2(prime)) + 1, dtype=np.int64)
        found = (found[:, None] * powers).ravel()
        found = found[found <= 1 << 28]
    return np.sort(found)


def _resized(x: Tensor, size: int) -> Tensor:
    """The sound [N] as [size] samples, band-limited."""
    return torch.fft.irfft(torch.fft.rfft(x)[: size // 2 + 1], size) * (size / x.shape[-1])


def _below(x: Tensor, ratio: float) -> Tensor:
    """What of the sound [N] a shift keeps, which lets each frequency grow by 1 / ratio: all of it where that is 1 at most."""
    if ratio >= 1:
        return x
    spectrum = torch.fft.rfft(x)
    spectrum[int(len(spectrum) * ratio) :] = 0
    return torch.fft.irfft(spectrum, x.shape[-1])


def _level(wanted: Tensor, found: Tensor) -> Tensor:
    """The gain [B, N] with which `found` [B, N] has the level of `wanted` at every time."""
    hop = ENVELOPE // 4
    window = torch.hann_window(ENVELOPE, periodic=False, device=found.device)[None, None]
    both = [conv1d(pad(x.square()[:, None], (ENVELOPE, ENVELOPE)), window, stride=hop)[:, 0] for x in (wanted, found)]
    floor = _FLOOR * both[0].mean(dim=1, keepdim=True) + 1e-12
    gain = ((both[0] + floor) / (both[1] + floor)).sqrt().clamp(1 / MAX_FOLLOW, MAX_FOLLOW)
    at = (
        torch.arange(found.shape[-1], device=found.device) + ENVELOPE / 2
    ) / hop  # window j lies around sample j hop - ENVELOPE / 2
    before = at.long()
    share = at - before
    return gain[:, before] * (1 - share) + gain[:, (before + 1).clamp_max(gain.shape[1] - 1)] * share
