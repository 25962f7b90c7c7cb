"""MusicFM's front end: log-mels of 24 kHz audio in dB, normalised by one mean and one deviation (arXiv 2311.03318).

Letters: B clips, N samples, F bands, M frames. Always float32; the names of its buffers are those of the published checkpoints.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..frontend.mel import apply_bank

N_FFT = 2048
FLOOR = 1e-10  # power below which all is -100 dB
PIECE, BLOCKS = 64, 8  # frames at a time, and parts of the bank
LEAST_SAMPLES = N_FFT // 2 + 1  # that mirrored ends need


def htk_filterbank(rate: int, n_fft: int, n_mels: int) -> np.ndarray:
    """Triangles of height 1 on the HTK mel scale from 0 Hz to half the rate, [n_fft // 2 + 1, F] float32."""
    top = 2595.0 * math.log10(1.0 + rate / 2 / 700.0)
    hz = 700.0 * (10.0 ** (np.linspace(0.0, top, n_mels + 2) / 2595.0) - 1.0)
    bins = np.linspace(0, rate / 2, n_fft // 2 + 1)[:, None]
    rise, fall = (bins - hz[:-2]) / (hz[1:-1] - hz[:-2]), (hz[2:] - bins) / (hz[2:] - hz[1:-1])
    return np.maximum(np.minimum(rise, fall), 0).astype(np.float32)


class _Constant(nn.Module):
    """One buffer under the name that it has in checkpoints."""

    def __init__(self, name: str, values: np.ndarray) -> None:
        super().__init__()
        self.register_buffer(name, torch.from_numpy(values))  # from numpy: also a network that is built on the meta device has it


class MelDecibels(nn.Module):
    """Audio [B, N] -> log-mels [B, F, N // hop] in dB: power spectrum of 2048 samples, periodic Hann, centred with mirrored ends, HTK triangles.

    The last of the 1 + N // hop centred frames is left out. rate: Hz. hop: samples per frame. n_mels: F.
    """

    def __init__(self, rate: int, hop: int, n_mels: int) -> None:
        super().__init__()
        self.hop = hop
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)
        self.mel_stft = nn.ModuleDict(
            {
                "spectrogram": _Constant("window", window.astype(np.float32)),
                "mel_scale": _Constant("fb", htk_filterbank(rate, N_FFT, n_mels)),
            }
        )

    def forward(self, wave: Tensor) -> Tensor:
        with torch.autocast(wave.device.type, enabled=False):
            window, bank = (
                self.mel_stft["spectrogram"].get_buffer("window").float(),
                self.mel_stft["mel_scale"].get_buffer("fb").float(),
            )
            padded = functional.pad(wave.float()[:, None], (N_FFT // 2, N_FFT // 2), mode="reflect")[:, 0]
            frames = padded.unfold(-1, N_FFT, self.hop)[:, : wave.shape[-1] // self.hop]  # [B, M, samples]
            if wave.device.type == "cpu" and not torch.compiler.is_compiling():
                mels = torch.stack([_in_pieces(one, window, _triangles(bank)) for one in frames])
            else:
                mels = apply_bank(_power(frames, window), bank)
            return 10 * torch.log10(mels.clamp_min(FLOOR)).transpose(1, 2)


def _power(frames: Tensor, window: Tensor) -> Tensor:
    """Frames [..., samples] -> power [..., bins]."""
    spectrum = torch.fft.rfft(frames * window)
    return torch.addcmul(spectrum.real.square(), spectrum.imag, spectrum.imag)


def _triangles(bank: Tensor) -> list[tuple[int, int, Tensor]]:
    """The bank [bins, F] as blocks of neighbouring bands: (first bin, bin behind the last one, block of these bins float64)."""
    found = []
    for block in bank.split(-(-bank.shape[1] // BLOCKS), dim=1):
        heard = block.any(dim=1).nonzero()[:, 0]
        first, behind = (int(heard[0]), int(heard[-1]) + 1) if len(heard) else (0, 1)
        found.append((first, behind, block[first:behind].double()))
    return found


def _in_pieces(frames: Tensor, window: Tensor, blocks: Sequence[tuple[int, int, Tensor]]) -> Tensor:
    """Frames [M, samples] of a clip -> mels [M, F]: what is computed stays in the processor's cache, and zeros of the bank are left out.

    A third of the time of whole tensors. Summed in double, as there (apply_bank).
    """
    found = []
    for piece in frames.split(PIECE):
        power = _power(piece, window).double()
        found.append(torch.cat([power[:, first:behind] @ block for first, behind, block in blocks], dim=1).float())
    return torch.cat(found)
