"""Audio effects on batches of mono sounds [B, N] float32, as functions of the sound and their settings; no randomness, on any device.

Sources: filters: windowed sinc (julius). Reverb: Schroeder's parallel combs and all-passes with the delays of Freeverb (Jezar at Dreampoint,
public domain); the map of its settings and its two channels were fitted to impulse responses of SoX's `reverb`. Pitch shift: pitch.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import ConfigError

FREEVERB_RATE = 44100  # Hz, at which the delays below are samples
COMBS = (1116, 1188, 1277, 1356, 1422, 1491, 1557, 1617)
ALL_PASSES = (225, 341, 441, 556)
SPREAD = 12  # by so many samples the second channel's delays differ from the first's: longer, shorter, longer, ...
WET = 0.015  # gain of the wet sound at 0 dB, Freeverb's
_ALIAS = 1e-3  # gain of what is folded back from behind the transform's end


def gain(x: Tensor, db: Tensor) -> Tensor:
    """Sound times 10^(db / 20), x [B, N] and db [B, 1]; clamped to [-1, 1]."""
    return (x * 10 ** (db / 20)).clamp(-1.0, 1.0)


def low_pass(x: Tensor, cutoff: float, sample_rate: int) -> Tensor:
    """The sound [N] without what lies above `cutoff` Hz (-6 dB there): a windowed sinc of 8 zero crossings, edges repeated, length kept."""
    filtered: Tensor = _julius().lowpass_filter(x, _share(cutoff, sample_rate))
    return filtered


def high_pass(x: Tensor, cutoff: float, sample_rate: int) -> Tensor:
    """The sound [N] minus its low-pass."""
    filtered: Tensor = _julius().highpass_filter(x, _share(cutoff, sample_rate))
    return filtered


def _share(cutoff: float, sample_rate: int) -> float:
    if not 0 < cutoff < sample_rate / 2:
        raise ConfigError(
            f"A filter at {cutoff} Hz is impossible at a rate of {sample_rate} Hz: it lies between 0 and {sample_rate / 2}."
        )
    return cutoff / sample_rate


def _julius() -> Any:
    try:
        import julius
    except ImportError as error:
        raise ImportError(f"CLMR's filters need julius ({error}): pip install 'maest[training]'.") from error
    return julius


def delay(x: Tensor, ms: float, sample_rate: int) -> Tensor:
    """(x + x delayed by `ms` / 2) / 2, x [B, N]: the echo at a quarter, the whole halved, zeros in front of the echo."""
    offset = int(ms * sample_rate / 1000)
    out = x * 0.5
    if offset < x.shape[-1]:
        out[..., offset:] += 0.25 * x[..., : x.shape[-1] - offset]
    return out


# ---- reverb
def reverb(
    x: Tensor,
    reverberance: Sequence[int] | np.ndarray,
    damping: Sequence[int] | np.ndarray,
    room: Sequence[int] | np.ndarray,
    sample_rate: int,
) -> Tensor:
    """Sounds [B, N] and the sound of a room around it, mono, length kept; reverberance, damping and room (its scale) [B], 0 to 100.

    The wet sound is the mean of two channels. In each, eight combs with a low-pass in their feedback, in parallel, then four all-passes in series.
    Feedback 0.3 to 0.98 (1 minus it falls exponentially with reverberance), damping 0.2 to 0.5, the combs' delays 0.1 to 1 times Freeverb's.

    The recursions are computed by their transfer function on a circle a little outside the unit circle, all items at once: what of the wet
    sound lies behind the transform's end is folded back 60 dB quieter, so that no padding is needed.
    """
    n = x.shape[-1]
    size = max(1 << (n - 1).bit_length(), 1024)
    falling = _ALIAS ** (torch.arange(n, device=x.device, dtype=torch.float32) / size)  # rho^-n
    spectrum = torch.fft.rfft(x * falling, size)
    response = room_response(reverberance, damping, room, sample_rate, size, x.device)
    return x + WET * torch.fft.irfft(spectrum * response, size)[..., :n] / falling


def room_response(
    reverberance: Sequence[int] | np.ndarray,
    damping: Sequence[int] | np.ndarray,
    room: Sequence[int] | np.ndarray,
    sample_rate: int,
    size: int,
    device: torch.device | str = "cpu",
) -> Tensor:
    """The wet sound's transfer function at the `size` // 2 + 1 points of the circle of radius rho = 1000^(1 / size), complex64 [B, F]."""
    r, d, s = (np.asarray(values, dtype=np.float64) for values in (reverberance, damping, room))
    feedback = 1 - 0.7 * (0.02 / 0.7) ** (r / 100)
    kept = 0.2 + 0.3 * d / 100
    scale = 0.1 + 0.9 * s / 100

    def column(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(device)[:, None]

    low = 1 - column(kept) * _delayed(np.array([1]), size, device)
    loop = column(feedback * (1 - kept))
    out = torch.zeros(len(r), size // 2 + 1, dtype=torch.complex64, device=device)
    for channel in (0, SPREAD):
        combs = torch.zeros_like(out)
        for samples in _spread(COMBS, channel):
            late = _delayed(_samples(samples * scale, sample_rate), size, device)
            combs += late * low / (low - loop * late)
        out += combs * _all_passes(channel, sample_rate, size).to(device)
    return out / 2


def _spread(delays: Sequence[int], offset: int) -> list[int]:
    """The delays, the first `offset` longer, the second as much shorter, and so on."""
    return [samples + (offset if k % 2 == 0 else -offset) for k, samples in enumerate(delays)]


def _samples(delays: np.ndarray, sample_rate: int) -> np.ndarray:
    """Delays in samples of Freeverb's rate as whole samples of `sample_rate`, halves upwards."""
    return np.maximum(np.floor(delays * (sample_rate / FREEVERB_RATE) + 0.5).astype(np.int64), 1)


@cache
def _all_passes(offset: int, sample_rate: int, size: int) -> Tensor:
    """A channel's all-passes in series: complex64 [1, F]; no setting changes them."""
    out = torch.ones(1, size // 2 + 1, dtype=torch.complex64)
    for samples in _spread(ALL_PASSES, offset):
        late = _delayed(_samples(np.array([samples]), sample_rate), size)
        out *= (1.5 * late - 1) / (1 - 0.5 * late)
    return out


def _delayed(samples: np.ndarray, size: int, device: torch.device | str = "cpu") -> Tensor:
    """z^-d at the circle's points for each of the delays d [B]: complex64 [B, F]."""
    places = torch.arange(size // 2 + 1, device=device, dtype=torch.int32)
    steps = torch.from_numpy(samples.astype(np.int32)).to(device)[:, None]
    at = (places * steps) & (size - 1)  # size is a power of two
    falling = torch.from_numpy((_ALIAS ** (samples / size)).astype(np.float32)).to(device)[:, None]
    return _turns(size).to(device).index_select(0, at.flatten()).view(at.shape) * falling


@cache
def _turns(size: int) -> Tensor:
    """exp(-2 pi i k / size), k = 0 .. size - 1, complex64."""
    angles = -2 * math.pi * torch.arange(size, dtype=torch.float64) / size
    return torch.polar(torch.ones_like(angles), angles).to(torch.complex64)
