"""What MAEST accepts as input, brought to one form: a batch of normalised mels [B, F, M] and the valid frames of each.

A wave of rank 1 and a mel of rank 2 are cut into windows of the model's length by the rule of models/windows.py; batches are taken as they are.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..errors import AudioError
from ..windows import left_padding, plan_windows
from .patchout import PATCH
from .stored import StoredMels

WANTED = "wave [N] or [B, N] at 16 kHz, mel [{f}, M] with melspectrogram_input=True, mel [B, {f}, M] or [B, 1, {f}, M]; float"


def as_mel(model: StoredMels, x: Tensor | np.ndarray, melspectrogram_input: bool) -> tuple[Tensor, Tensor]:
    """Any accepted input -> normalised mel [B, F, M] on the model's device, and valid frames [B] int64. The caller's x stays untouched.

    Raises AudioError naming what came and what is wanted.
    """
    x = _checked(model, x, melspectrogram_input)
    if x.ndim == 1:
        return _cut(model, model.melspectrogram(x[None])[0])
    if x.ndim == 2 and melspectrogram_input:
        return _cut(model, _bands(model, x))
    if x.ndim == 2:
        mel = model.melspectrogram(x)
    else:
        mel = _bands(model, x if x.ndim == 3 else x[:, 0])
    _fits(model, mel.shape[-1])
    return mel.to(model.cls_token.dtype), torch.full((len(mel),), mel.shape[-1], dtype=torch.int64, device=mel.device)


def _checked(model: StoredMels, x: Tensor | np.ndarray, melspectrogram_input: bool) -> Tensor:
    wanted = WANTED.format(f=model.input_f)
    if isinstance(x, np.ndarray):
        if x.dtype.byteorder not in "=|<":
            x = x.astype(x.dtype.newbyteorder("="))
        x = torch.from_numpy(np.ascontiguousarray(x))
    if not isinstance(x, Tensor):
        raise AudioError(f"Got a {type(x).__name__}; wanted a tensor or numpy array: {wanted}.")
    shape = list(x.shape)
    if not x.is_floating_point():
        raise AudioError(
            f"Got {str(x.dtype).removeprefix('torch.')} samples {shape}; wanted float in [-1, 1]: divide integer PCM by its full scale."
        )
    if not 1 <= x.ndim <= 4 or (x.ndim == 4 and x.shape[1] != 1) or (melspectrogram_input and x.ndim == 1):
        raise AudioError(f"Got input of shape {shape}; wanted {wanted}.")
    if x.numel() == 0:
        raise AudioError(f"Got empty input of shape {shape}; wanted {wanted}.")
    if not torch.isfinite(x).all():
        raise AudioError(f"Got input {shape} with NaN or infinite values; check the decoder, or replace them.")
    return x.to(model.cls_token.device)


def _bands(model: StoredMels, mel: Tensor) -> Tensor:
    if mel.shape[-2] != model.input_f:
        raise AudioError(
            f"Got a mel with {mel.shape[-2]} bands {list(mel.shape)}; this model wants {model.input_f}: [..., {model.input_f}, frames]."
        )
    return mel


def _fits(model: StoredMels, frames: int) -> None:
    seconds = model.hop / model.sample_rate
    if frames < PATCH:
        raise AudioError(
            f"Got {frames} mel frames ({frames * seconds:.2f} s); the shortest input is {PATCH} frames ({PATCH * seconds:.2f} s). Pad it."
        )
    if frames > model.max_frames:
        raise AudioError(
            f"Got {frames} mel frames ({frames * seconds:.1f} s) in a batch; this model takes {model.input_t} frames ({model.max_seconds:.1f} s). "
            "Give the wave as [N] (or the mel as [bands, frames] with melspectrogram_input=True) to have it cut into windows."
        )


def _cut(model: StoredMels, mel: Tensor) -> tuple[Tensor, Tensor]:
    """Normalised mel [F, n] -> windows [W, F, input_t] and their valid frames [W]; padding is silence."""
    spans = plan_windows(mel.shape[-1], model.input_t)
    windows = mel.new_full((len(spans), mel.shape[0], model.input_t), model.silence)
    for window, (start, stop) in zip(windows, spans.tolist()):
        left = left_padding(stop - start, model.input_t)
        window[:, left : left + stop - start] = mel[:, start:stop]
    valid = torch.from_numpy(spans[:, 1] - spans[:, 0]).to(mel.device)
    return windows.to(model.cls_token.dtype), valid
