"""MAEST's mel front end: waveform to log-mel frames, as the published weights saw them.

Conventions: mono float waveforms at 16 kHz, nominally in [-1, 1]; hop 256 samples (16 ms), so 62.5 frames per second; frame i is
centred on sample 256 i. Two treatments of a signal's ends exist:

* "essentia": what the training corpus was made with. Zeros before and behind, ceil(N / 256) + 1 frames, symmetric Hann window.
  Within 1.1e-5 of Essentia's own output (1e-4 beside loud tones, where Essentia's float32 rounds); its filter bank is matched bit
  for bit.
* "torch": what the published code computes from waveforms. Mirrored ends, floor(N / 256) + 1 frames, periodic Hann window. Near
  an end it is off the other by up to 1.3, inside by up to 0.16.

Sources: MAEST (arXiv 2309.16418), section 3; Essentia's `TensorflowInputMusiCNN` settings; the Slaney mel scale (Auditory
Toolbox, 1998).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import AudioError, nearest
from .mel_settings import MAEST, Edges, MelSettings, essentia_filterbank, slaney_filterbank


def normalise(mel: Tensor, settings: MelSettings = MAEST) -> Tensor:
    """Raw log-mel (silence is 0) to what the network takes. Any shape; a new tensor."""
    return (mel - settings.mean) / settings.std_divisor


@functools.cache
def _window_and_bank(settings: MelSettings) -> tuple[np.ndarray, np.ndarray]:
    """Hann window [n_fft] and filter bank [n_fft // 2 + 1, n_mels], float32: periodic and librosa's, or symmetric and Essentia's."""
    periodic = settings.edges == "torch"
    k = np.arange(settings.n_fft)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * k / (settings.n_fft if periodic else settings.n_fft - 1))
    return window.astype(np.float32), slaney_filterbank(settings) if periodic else essentia_filterbank(settings)


class MaestMel(nn.Module):
    """Waveforms [B, N] at 16 kHz to log-mel [B, 96, T], float32 even under autocast, on the waveform's device, differentiable.

    edges: "essentia" (default, what the weights saw) or "torch" (parity with the published waveform path).
    normalize: True gives what the network takes, False the raw log-mel that stores keep.
    settings: the constants; `edges` replaces theirs.

    Raises AudioError for audio that is empty, not floating point, not [B, N], not finite, or (edges "torch") too short to be
    mirrored.
    """

    window: Tensor
    bank: Tensor

    def __init__(self, edges: Edges = "essentia", normalize: bool = True, settings: MelSettings = MAEST):
        super().__init__()
        if edges not in get_args(Edges):
            raise AudioError(f"edges is '{edges}'; choose essentia or torch.{nearest(str(edges), get_args(Edges))}")
        self.settings = replace(settings, edges=edges)
        self.normalize = normalize
        self._constants(torch.device("cpu"))

    def _constants(self, device: torch.device) -> None:
        """Window and bank as float32 on `device`. From numpy: also a model that is built on the meta device has them."""
        window, bank = _window_and_bank(self.settings)
        self.register_buffer("window", torch.from_numpy(window.copy()).to(device), persistent=False)
        self.register_buffer("bank", torch.from_numpy(bank.copy()).to(device), persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> MaestMel:
        """Moves to a device, but stays exact float32 inside a model that is made half or bfloat16, or emptied (`to_empty`)."""
        super()._apply(fn, recurse)
        self._constants(self.window.device)
        return self

    def extra_repr(self) -> str:
        return f"edges='{self.settings.edges}', normalize={self.normalize}"

    def n_frames(self, n_samples: int) -> int:
        """Frames that `n_samples` give."""
        return self.settings.n_frames(n_samples)

    def forward(self, wave: Tensor) -> Tensor:
        self._check(wave)
        with torch.autocast(device_type=wave.device.type, enabled=False):
            n = wave.shape[-1]
            return self.of_frames(self._pad(wave.float(), *self.padding(n)), self.n_frames(n))

    def padding(self, n_samples: int) -> tuple[int, int]:
        """Samples that are put before and behind a signal of `n_samples`."""
        left = self.settings.n_fft // 2
        return left, (self.n_frames(n_samples) - 1) * self.settings.hop + left - n_samples

    def _pad(self, wave: Tensor, left: int, right: int) -> Tensor:
        if self.settings.edges == "essentia":
            return F.pad(wave, (left, right))
        return F.pad(wave.unsqueeze(1), (left, max(right, 0)), mode="reflect").squeeze(1)

    def of_frames(self, padded: Tensor, n_frames: int) -> Tensor:
        """Log-mel [B, n_mels, n_frames] of signals [B, N'] float32 with their ends on: frame i covers [hop i, hop i + n_fft)."""
        s = self.settings
        frames = padded.unfold(-1, s.n_fft, s.hop)[:, :n_frames] * self.window
        spectrum = torch.fft.rfft(frames)
        power = spectrum.real.square() + spectrum.imag.square()  # one pass; abs() would take a root first
        mel = torch.log10(1 + s.compression * apply_bank(power, self.bank)).transpose(1, 2)
        return normalise(mel, s) if self.normalize else mel

    def _check(self, wave: Tensor) -> None:
        shape = list(wave.shape)
        if wave.ndim != 2:
            raise AudioError(f"The mel front end takes waveforms [B, N]; got shape {shape}. One waveform: wave[None].")
        if not wave.is_floating_point():
            raise AudioError(
                f"The mel front end takes floating point in [-1, 1]; got {wave.dtype}. models.audio.to_mono_float converts PCM."
            )
        if wave.shape[1] == 0 or wave.shape[0] == 0:
            raise AudioError(f"The waveform is empty: shape {shape}.")
        least = self.settings.n_fft // 2 + 1
        if self.settings.edges == "torch" and wave.shape[1] < least:
            raise AudioError(
                f"edges='torch' mirrors the signal's ends and needs {least} samples; got {wave.shape[1]}. 'essentia' takes any."
            )
        if not torch.compiler.is_compiling() and not torch.isfinite(wave).all():
            raise AudioError(f"The waveform {shape} holds NaN or infinite samples.")


def apply_bank(power: Tensor, bank: Tensor) -> Tensor:
    """Power times bank, summed in double where the device has it (30 % of the front end's time).

    So a frame's value depends neither on how many frames are computed with it nor on `torch.set_float32_matmul_precision`, whose
    TF32 and bfloat16 would cost three digits.
    """
    if power.device.type == "mps" or torch.compiler.is_compiling():
        return power @ bank
    return (power.double() @ bank.double()).float()


def mel_blocks(frontend: MaestMel, blocks: Iterable[Tensor], frames_per_block: int = 512) -> Iterator[Tensor]:
    """Log-mel of a long signal that arrives in pieces, in bounded memory: the pieces' frames joined are `frontend`'s answer for
    the whole, bit for bit.

    blocks: consecutive pieces [n] of one waveform, of any sizes.
    frames_per_block: frames computed at once: 512 (8 s) fits a core's cache.

    Yields [n_mels, T'] pieces, T' <= frames_per_block.

    Raises AudioError as the front end does; a signal without samples is one of these.
    """
    s = frontend.settings
    left = s.n_fft // 2
    need = left + 1 if s.edges == "torch" else 1  # samples from which the left end can be made
    kept: Tensor | None = None  # what later frames or the mirrored end still need, left end included
    waiting: list[Tensor] = []
    n = n_waiting = done = 0  # samples seen, samples in `waiting`, frames given

    def computed(kept: Tensor, until: int) -> Iterator[Tensor]:
        """Frames done..until; `kept` begins where frame `done` does."""
        for first in range(done, until, frames_per_block):
            count = min(frames_per_block, until - first)
            offset = (first - done) * s.hop
            with torch.autocast(device_type=kept.device.type, enabled=False):
                yield frontend.of_frames(kept[None, offset : offset + (count - 1) * s.hop + s.n_fft], count)[0]

    for block in blocks:
        if block.ndim != 1:
            raise AudioError(f"Blocks of one waveform are [n]; got shape {list(block.shape)}.")
        if len(block) == 0:
            continue
        if not block.is_floating_point() or not torch.isfinite(block).all():
            frontend._check(block[None])
        waiting.append(block.float())
        n, n_waiting = n + len(block), n_waiting + len(block)
        if n_waiting < frames_per_block * s.hop or n < need:
            continue
        joined = torch.cat(waiting)
        kept = frontend._pad(joined[None], left, 0)[0] if kept is None else torch.cat([kept, joined])
        waiting, n_waiting = [], 0
        # The last n_fft samples stay: the mirrored right end is made of them.
        until = max(done, (n - s.n_fft) // s.hop)
        yield from computed(kept, until)
        kept, done = kept[(until - done) * s.hop :], until
    if kept is None:
        whole = torch.cat(waiting) if waiting else torch.zeros(0)
        frontend._check(whole[None])
        kept = frontend._pad(whole[None], left, 0)[0]
    elif waiting:
        kept = torch.cat([kept, *waiting])
    right = frontend.padding(n)[1]
    yield from computed(frontend._pad(kept[None], 0, right)[0], frontend.n_frames(n))
