"""Audio effects on batches of mono sounds [B, N] float32, as functions of the sound and their settings; no randomness, on any device.

Sources: filters: windowed sinc (julius). Pitch: phase vocoder (Flanagan and Golden 1966; Laroche and Dolson 1999). Reverb: Schroeder's
parallel combs and all-passes with the delays of Freeverb (Jezar at Dreampoint, public domain), its settings mapped as SoX's are.
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

MAX_CENTS = 1200
WINDOW, HOP = 1024, 256  # samples, of the phase vocoder: 46 ms every 12 ms at 22 050 Hz
FREEVERB_RATE = 44100  # Hz, at which the delays below are samples
COMBS = (1116, 1188, 1277, 1356, 1422, 1491, 1557, 1617)
ALL_PASSES = (225, 341, 441, 556)
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


# ---- pitch
def pitch_shift(x: Tensor, cents: Sequence[int] | np.ndarray) -> Tensor:
    """Sounds [B, N] moved by cents [B], tempo and length kept; an item in which that gives NaN or infinity comes back as it was.

    Phase vocoder: frames keep their places in time, their phases advance `ratio` times as fast, and each comes back from a transform
    that is as much shorter, which moves its content up. The ratio is WINDOW over a whole number: within 0.9 cents for up to an octave
    (1.7 above it). What would lie above half the rate is cut off.

    Raises ConfigError for more than an octave.
    """
    if np.abs(cents).max(initial=0) > MAX_CENTS:
        raise ConfigError(f"Pitch is shifted by {MAX_CENTS} cents at most; got {list(map(int, cents))}.")
    n = x.shape[-1]
    sizes = [round(WINDOW * 2 ** (-int(c) / 1200)) for c in cents]
    padded = torch.nn.functional.pad(x, (0, max(0, WINDOW - n)))  # what is shorter than a window has one frame at least
    window = torch.hann_window(WINDOW, device=x.device)
    spectrum = torch.stft(padded, WINDOW, HOP, window=window, center=True, pad_mode="constant", return_complex=True)  # [B, F, T]
    magnitude, phase = spectrum.abs(), spectrum.angle()
    expected = 2 * math.pi * HOP / WINDOW * torch.arange(spectrum.shape[1], device=x.device, dtype=torch.float32)[:, None]
    advance = phase.diff(dim=-1) - expected
    advance = expected + advance - 2 * math.pi * torch.round(advance / (2 * math.pi))  # principal value: the bin's own frequency
    ratio = torch.tensor([WINDOW / size for size in sizes], device=x.device)[:, None, None]
    advance = torch.remainder(advance * ratio, 2 * math.pi)  # so that the sum stays small enough for float32
    moved = torch.polar(magnitude, torch.cat([phase[..., :1], advance], dim=-1).cumsum(dim=-1))
    out = torch.stack([_overlap(frames, size, padded.shape[-1]) for frames, size in zip(moved, sizes)])[..., :n]
    return torch.where(torch.isfinite(out).all(dim=-1, keepdim=True), out, x)


def _overlap(frames: Tensor, size: int, n: int) -> Tensor:
    """Frames [F, T] of WINDOW samples as [n] samples, each back from a transform of `size` samples."""
    bins = size // 2 + 1
    cut = frames[:bins] if bins <= len(frames) else torch.nn.functional.pad(frames, (0, 0, 0, bins - len(frames)))
    window = torch.hann_window(size, device=frames.device)
    return torch.istft(cut * (size / WINDOW), size, HOP, window=window, center=True, length=n)


# ---- reverb
def reverb(
    x: Tensor,
    reverberance: Sequence[int] | np.ndarray,
    damping: Sequence[int] | np.ndarray,
    room: Sequence[int] | np.ndarray,
    sample_rate: int,
) -> Tensor:
    """Sounds [B, N] and the sound of a room around it, mono, length kept; reverberance, damping and room (its scale) [B], 0 to 100.

    Eight combs with a low-pass in their feedback, in parallel, then four all-passes in series. Feedback 0.7 to 0.98 (exponential in
    reverberance), damping 0.2 to 0.5, delays 0.1 to 1 times Freeverb's.

    The recursions are computed by their transfer function on a circle a little outside the unit circle, all items at once: what of the wet
    sound lies behind the transform's end is folded back 60 dB quieter, so that no padding is needed.
    """
    n = x.shape[-1]
    size = max(1 << (n - 1).bit_length(), 1024)
    falling = _ALIAS ** (torch.arange(n, device=x.device, dtype=torch.float32) / size)  # rho^-n
    spectrum = torch.fft.rfft(x * falling, size)
    response = room_response(reverberance, damping, room, sample_rate, size, x.device)
    return x + WET * torch.fft.irfft(spectrum * response, size)[..., :n] / falling


@cache
def _turns(size: int) -> Tensor:
    """exp(-2 pi i k / size), k = 0 .. size - 1, complex64."""
    angles = -2 * math.pi * torch.arange(size, dtype=torch.float64) / size
    return torch.polar(torch.ones_like(angles), angles).to(torch.complex64)


def room_response(
    reverberance: Sequence[int] | np.ndarray,
    damping: Sequence[int] | np.ndarray,
    room: Sequence[int] | np.ndarray,
    sample_rate: int,
    size: int,
    device: torch.device | str = "cpu",
) -> Tensor:
    """The wet sound's transfer function at the `size` // 2 + 1 points of the circle of radius rho = 1000^(1 / size), complex64 [B, F]."""
    turns = _turns(size).to(device)
    places = torch.arange(size // 2 + 1, device=device, dtype=torch.int32)
    r, d, s = (np.asarray(values, dtype=np.float64) for values in (reverberance, damping, room))
    feedback = 1 - 0.3 * (0.02 / 0.3) ** (r / 100)
    kept = 0.2 + 0.3 * d / 100
    scale = (0.1 + 0.9 * s / 100) * sample_rate / FREEVERB_RATE

    def column(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(device)[:, None]

    def delayed(samples: int) -> Tensor:
        """z^-d of each item [B, F]."""
        late = np.maximum(np.round(samples * scale).astype(np.int64), 1)
        steps = torch.from_numpy(late.astype(np.int32)).to(device)[:, None]
        at = (places * steps) & (size - 1)  # size is a power of two
        return turns.index_select(0, at.flatten()).view(at.shape) * column(_ALIAS ** (late / size))

    z = turns[: len(places)] * _ALIAS ** (1 / size)
    low = 1 - column(kept) * z
    loop = column(feedback * (1 - kept))
    out = torch.zeros(len(r), len(places), dtype=torch.complex64, device=device)
    for samples in COMBS:
        late = delayed(samples)
        out += late * low / (low - loop * late)
    for samples in ALL_PASSES:
        late = delayed(samples)
        out *= (1.5 * late - 1) / (1 - 0.5 * late)
    return out
