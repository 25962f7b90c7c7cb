"""What stands before the network: clips of any length as one padded batch, each normalised by itself.

The published repository has no such thing; its card borrows that of a speech recogniser, with a tokeniser, only to normalise audio.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import AudioError, ConfigError
from ..frontend.waves import standardised
from .settings import RATE

EPSILON = 1e-7  # beside the variance


def normalized(wave: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Clips [B, N] -> (clip - mean) / sqrt(variance + 1e-7), float32; of padded ones (`lengths` [B], samples) zeros behind the end."""
    if lengths is None:
        return standardised(wave)
    wave = wave.float()
    heard = torch.arange(wave.shape[1], device=wave.device) < lengths[:, None]
    wave, count = wave * heard, lengths[:, None]
    mean = wave.sum(1, keepdim=True) / count
    centred = (wave - mean) * heard
    return centred * (centred.square().sum(1, keepdim=True) / count + EPSILON).rsqrt()


class Processor:
    """Clips -> the arguments of Music2Vec, by the names that transformers gives them."""

    sampling_rate = RATE

    @classmethod
    def from_pretrained(cls, name: str) -> Processor:
        """The processor; all music2vecs have the same. Nothing is read. name: whatever the published snippet names."""
        return cls()

    def __call__(
        self, audio: Any, sampling_rate: int | None = None, return_tensors: str = "pt", padding: bool = False
    ) -> dict[str, Tensor]:
        """{"input_values": [B, N] float32, normalised}, of several clips of unlike length also "attention_mask": [B, N] int64, 1 for samples.

        Args:
            audio: one clip [N], or a list of them.
            sampling_rate: Hz, checked where it is given.
            return_tensors: "pt".
            padding: whether clips of unlike length are padded behind their ends.

        Raises AudioError for another rate or audio that cannot be used, ConfigError for another kind of tensors.
        """
        if return_tensors != "pt":
            raise ConfigError(f"return_tensors is {return_tensors!r}; wanted 'pt', torch's tensors.")
        if sampling_rate is not None and sampling_rate != RATE:
            raise AudioError(f"The audio is at {sampling_rate} Hz, the network reads {RATE} Hz: models.audio.resample.")
        several = isinstance(audio, (list, tuple)) and len(audio) > 0 and np.ndim(audio[0]) > 0
        clips = [_clip(one) for one in (audio if several else [audio])]
        sizes = torch.tensor([len(one) for one in clips])
        if len(set(sizes.tolist())) > 1 and not padding:
            raise AudioError(f"Clips of unlike length ({int(sizes.min())} to {int(sizes.max())} samples): set padding=True.")
        batch = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)
        if len(set(sizes.tolist())) == 1:
            return {"input_values": normalized(batch)}
        mask = (torch.arange(batch.shape[1]) < sizes[:, None]).long()
        return {"input_values": normalized(batch, sizes), "attention_mask": mask}


def _clip(audio: Any) -> Tensor:
    clip = torch.as_tensor(np.asarray(audio) if isinstance(audio, Sequence) else audio)
    if clip.ndim != 1 or not clip.numel():
        raise AudioError(f"A clip is mono samples [N]; got shape {list(clip.shape)}.")
    if not clip.is_floating_point():
        raise AudioError(f"Audio is floating point in [-1, 1]; got {clip.dtype}. models.audio.to_mono_float converts PCM.")
    if not torch.isfinite(clip).all():
        raise AudioError(f"The audio {list(clip.shape)} holds NaN or infinite samples.")
    return clip.float()
