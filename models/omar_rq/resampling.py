"""Windowed-sinc resampling as the networks' training data saw it, on tensors: a kernel for each phase, applied as a convolution.

The design is torchaudio's default (a low-pass of width 6 at 0.99 of the lower rate, under a squared cosine); the audio doors of models/audio use
soxr, which is better and gives other samples.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import AudioError

WIDTH = 6  # zero crossings on either side
ROLLOFF = 0.99  # of the lower Nyquist frequency


@functools.lru_cache(maxsize=16)
def _kernel(orig: int, new: int) -> tuple[np.ndarray, int]:
    """Kernel [new, 1, taps] float32 of two rates without common factor, and its half width in samples."""
    base = min(orig, new) * ROLLOFF
    width = math.ceil(WIDTH * orig / base)
    taps = np.arange(-width, width + orig)[None] / orig
    phases = -np.arange(new)[:, None] / new
    t = np.clip((phases + taps) * base, -WIDTH, WIDTH)
    kernel = np.sinc(t) * np.cos(np.pi * t / (2 * WIDTH)) ** 2 * base / orig
    return kernel.astype(np.float32)[:, None], width


def resampled_length(n: int, orig: int, new: int) -> int:
    """ceil(n * new / orig): samples that `resample` gives of n."""
    return -(-n * new // orig)


def resample(x: Tensor, orig: int, new: int) -> Tensor:
    """Resample signals [..., N] from `orig` to `new` Hz: [..., ceil(N * new / orig)], float32, differentiable.

    Raises AudioError for rates that are not whole numbers above 0.
    """
    for rate in (orig, new):
        if rate != int(rate) or rate < 1:
            raise AudioError(f"Sample rates are whole numbers of Hz above 0; got {orig} and {new}.")
    common = math.gcd(int(orig), int(new))
    o, n = int(orig) // common, int(new) // common
    if o == n:
        return x
    kernel, width = _kernel(o, n)
    length = x.shape[-1]
    flat = F.pad(x.float().reshape(-1, 1, length), (width, width + o))
    phases = F.conv1d(flat, torch.from_numpy(kernel).to(x.device), stride=o)  # [rows, n, frames]
    out = phases.transpose(1, 2).reshape(*x.shape[:-1], -1)
    return out[..., : resampled_length(length, o, n)]
