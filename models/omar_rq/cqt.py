"""Constant-Q spectra as the published tokens were made from: octave after octave, each at half the rate of the one above.

Exact to the published numbers where librosa.cqt is not (another resampler): a frequency-domain filter bank on a rectangular STFT whose ends are
padded with zeros, the signal halved in rate by the windowed sinc of resampling.py as long as the hop is even.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..errors import ConfigError
from .representations import Draws, Representation, log_compress
from .resampling import resample

HALVED = math.sqrt(0.5)  # a signal at half its rate is divided by this


@functools.lru_cache(maxsize=8)
def octave_filters(sr: int, hop: int, per_octave: int, n_bins: int, f_min: float) -> tuple[tuple[int, int, np.ndarray], ...]:
    """Return (halvings before it, hop, filters [bins, fft // 2 + 1] complex64) of every octave, the highest one first.

    Raises ConfigError where the highest filter lies above half the rate.
    """
    f = f_min * 2.0 ** (np.arange(n_bins) / per_octave)
    step = np.log2(f)
    resolution = np.empty(n_bins)
    resolution[0], resolution[-1] = 1 / (step[1] - step[0]), 1 / (step[-1] - step[-2])
    resolution[1:-1] = 2 / (step[2:] - step[:-2])
    alpha = (2 ** (2 / resolution) - 1) / (2 ** (2 / resolution) + 1)
    if f[-1] > sr / 2:
        raise ConfigError(f"CQT: {n_bins} bins from {f_min} Hz reach {f[-1]:.0f} Hz, above half of {sr} Hz: fewer bins.")
    octaves, rate, halvings, top = [], float(sr), 0, n_bins
    while top > 0:
        low = (top - 1) // per_octave * per_octave  # octaves are counted from the lowest bin: the highest one may have fewer
        lengths = rate / (alpha[low:top] * f[low:top])
        n_fft = 1 << (int(lengths.max()) - 1).bit_length()
        filters = np.zeros((top - low, n_fft), dtype=np.complex128)
        for row, (length, hz) in enumerate(zip(lengths, f[low:top])):
            n = np.arange(math.floor(-length / 2), math.floor(length / 2), dtype=np.float64)
            window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(len(n)) / len(n))
            wave = np.exp(2j * np.pi * hz * n / rate) * window
            start = (n_fft - len(n)) // 2
            filters[row, start : start + len(n)] = wave / np.abs(wave).sum() * length / n_fft
        spectra = np.fft.fft(filters)[:, : n_fft // 2 + 1] * math.sqrt(sr / rate)
        octaves.append((halvings, hop, spectra.astype(np.complex64)))
        if hop % 2 == 0:
            rate, hop, halvings = rate / 2, hop // 2, halvings + 1
        top = low
    return tuple(octaves)


class CQT(Representation):
    """Constant-Q power spectra, log10(1 + 10000 x), z-norm. Frame i is centred on sample hop * i.

    power: exponent of the magnitude. magnitude: whether phases are dropped (they are). logC: whether it is compressed.

    The published computation stops for lengths with 257 to 319 samples behind the last hop, where octaves differ by a frame; here they are cut to
    the shortest.
    """

    default_patch = (144, 4)

    def __init__(
        self,
        sr: int = 24000,
        hop_len: int = 320,
        power: float = 2,
        bins_per_octave: int = 24,
        n_bins: int = 188,
        f_min: float = 32.703,
        magnitude: bool = True,
        logC: bool = True,
        norm_mean: float | None = 5.175809567648937,
        norm_std: float | None = 1.9251926999183888,
        patch_size: Sequence[int] | None = None,
    ) -> None:
        if not magnitude:
            raise ConfigError("CQT.magnitude is False: complex spectra are no input or target. Set it to True.")
        if n_bins < 2 or bins_per_octave < 1 or not f_min > 0 or not power > 0:
            raise ConfigError("CQT: 2 bins or more, 1 per octave or more, from a frequency above 0 Hz, at a power above 0.")
        self.power, self.compressed = float(power), bool(logC)
        self.bins = (int(sr), int(hop_len), int(bins_per_octave), int(n_bins), float(f_min))
        super().__init__(sr, hop_len, n_bins, patch_size, norm_mean, norm_std)

    def constants(self) -> dict[str, np.ndarray]:
        """See Representation."""
        return {f"octave_{k}": filters for k, (_, _, filters) in enumerate(octave_filters(*self.bins))}

    def features(self, wave: Tensor, draws: Draws | None) -> Tensor:
        """See Representation."""
        octaves, halved, found = octave_filters(*self.bins), 0, []
        for k, (halvings, hop, filters) in enumerate(octaves):
            if halvings > halved:
                wave, halved = resample(wave, 2, 1) / HALVED, halvings
            n_fft = 2 * (filters.shape[1] - 1)
            box = torch.ones(n_fft, device=wave.device)
            spectrum = torch.stft(wave, n_fft, hop, window=box, center=True, pad_mode="constant", return_complex=True)
            found.append(getattr(self, f"octave_{k}") @ spectrum)
        shortest = min(x.shape[-1] for x in found)
        spectra = torch.cat([x[..., :shortest] for x in reversed(found)], dim=1)
        power = spectra.real.square() + spectra.imag.square()
        if self.power != 2:
            power = power ** (self.power / 2)
        return log_compress(power) if self.compressed else power
