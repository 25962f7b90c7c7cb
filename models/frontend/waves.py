"""What networks that read samples ask of the audio they are given."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import AudioError


def check_audio(audio: object, sr: int, least: int, padding: str) -> Tensor:
    """Return a batch of clips [B, N] that a network can take; equally long clips in a list are stacked.

    sr: Hz. least: samples of one vector. padding: a clause that says why clips of unlike length are not padded into one batch.

    Raises AudioError for clips of unlike length, another shape or type, too few samples, and NaN or infinite samples.
    """
    if isinstance(audio, (list, tuple)) and audio and all(isinstance(one, Tensor) and one.ndim == 1 for one in audio):
        lengths = sorted({len(one) for one in audio})
        if len(lengths) > 1:
            raise AudioError(
                f"Clips of unlike length ({lengths[0]} to {lengths[-1]} samples) make no batch: {padding}. "
                "Give them one by one, cut them to one length, or use embed()."
            )
        audio = torch.stack(list(audio))
    if not isinstance(audio, Tensor):
        raise AudioError(f"Audio is a tensor [B, samples]; got {type(audio).__name__}. Of an array: torch.from_numpy.")
    if audio.ndim != 2:
        cure = "One clip: audio[None]." if audio.ndim == 1 else "Mono clips are wanted: average the channels, audio.mean(1)."
        raise AudioError(f"Audio is mono, [B, samples]; got shape {list(audio.shape)}. {cure}")
    if not audio.is_floating_point():
        raise AudioError(f"Audio is floating point in [-1, 1]; got {audio.dtype}. models.audio.to_mono_float converts PCM.")
    if audio.shape[0] == 0 or audio.shape[1] < least:
        raise AudioError(
            f"Audio of shape {list(audio.shape)} is too short: one vector takes {least} samples ({1000 * least / sr:.1f} ms at {sr} Hz)."
        )
    if audio.device.type != "meta" and not torch.compiler.is_compiling() and not torch.isfinite(audio).all():
        raise AudioError(f"The audio {list(audio.shape)} holds NaN or infinite samples.")
    return audio


def check_rate(said: int | None, wanted: int) -> None:
    """Raise AudioError where the rate that audio is said to be at, Hz (None: nothing is said), is not the network's."""
    if said is not None and said != wanted:
        raise AudioError(
            f"The audio is said to be at {said} Hz, the network reads {wanted} Hz: resample it (models.audio.resample), or use embed(), which does."
        )


def standardised(wave: Tensor) -> Tensor:
    """Clips [B, N] -> (clip - mean) / sqrt(variance + 1e-7) [B, N] float32, each by itself: what transformers' processors of audio do."""
    wave = wave.float()
    variance, mean = torch.var_mean(wave, dim=1, correction=0, keepdim=True)
    return (wave - mean) * (variance + 1e-7).rsqrt()
