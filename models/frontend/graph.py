"""The mel front end as runtimes want it: products and other plain operators only, no Fourier transform, which browsers' runtimes lack."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import WeightsError
from .mel import MaestMel


class MelGraph(nn.Module):
    """Waveform [B, frames * hop] -> log-mel [B, F, frames], `MaestMel`'s to rounding.

    Raises WeightsError for a front end whose frames are not two hops long.
    """

    dft: Tensor
    bank: Tensor

    def __init__(self, front_end: MaestMel, frames: int):
        super().__init__()
        s = front_end.settings
        if s.n_fft != 2 * s.hop:
            raise WeightsError(f"The ONNX front end needs frames of two hops; this one has {s.n_fft} and {s.hop} samples.")
        self.settings, self.frames = s, frames
        bins, samples = torch.arange(s.n_fft // 2 + 1), torch.arange(s.n_fft)
        angle = 2 * math.pi * ((bins[None] * samples[:, None]) % s.n_fft).double() / s.n_fft
        parts = torch.cat([angle.cos(), angle.sin()], dim=1) * front_end.window.double().cpu()[:, None]
        self.register_buffer("dft", parts.float())  # [n_fft, 2 * bins], the window in it
        self.register_buffer("bank", front_end.bank.detach().cpu().clone())

    @property
    def n_samples(self) -> int:
        """Samples of one window: all its frames and no more."""
        return self.frames * self.settings.hop

    def forward(self, wave: Tensor) -> Tensor:
        s = self.settings
        hops = functional.pad(wave, (s.hop, s.hop)).unflatten(1, (-1, s.hop))
        frames = torch.cat([hops[:, :-1], hops[:, 1:]], dim=-1)[:, : self.frames]  # half-overlapping: n_fft is twice the hop
        real, imaginary = (frames @ self.dft).chunk(2, dim=-1)
        power = real * real + imaginary * imaginary
        mel = torch.log10(1 + s.compression * (power @ self.bank))
        return ((mel - s.mean) / s.std_divisor).transpose(1, 2)
