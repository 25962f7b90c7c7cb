"""The HEAR 2021 interface (https://hearbenchmark.com/hear-api.html): `load_model`, `get_scene_embeddings`, `get_timestamp_embeddings`.

Audio is a batch of equally long mono sounds [n_sounds, samples] at `model.sample_rate`, float in [-1, 1], from 0.1 s to as long as memory
holds (20 minutes of one sound: its samples, 77 MB, and its mel, 29 MB). Embeddings are of one block (default 7, MAEST's own choice for
transfer): for a scene CLS, DIST and mean token [3C], for a moment the mean of a time column's patches [C]. Long sounds are cut so that the
columns of all pieces lie on one even grid.

Times: mel frame i is centred on sample 256 i, a column holds 16 frames and begins every 10: column j's centre is (10 j + 7.5) * 16 ms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .errors import AudioError
from .frontend import mel_blocks
from .maest import MAEST, load_maest
from .maest.patchout import PATCH
from .windows import left_padding

DEFAULT = "discogs-maest-30s-pw-129e"
LAYER = 7
BATCH = 8  # pieces per pass
_BLOCK = 1 << 19  # samples whose mel is computed at once


class HearModel(nn.Module):
    """A MAEST with the attributes that HEAR asks for.

    sample_rate: Hz. scene_embedding_size: 3C (CLS, DIST, mean; 2C without DIST). timestamp_embedding_size: C. layer: block, 0-based.
    """

    def __init__(self, net: MAEST, layer: int | None = None):
        super().__init__()
        self.net = net
        # a small network of fewer blocks gives its last one
        self.layer = net.resolve_layers([min(LAYER, net.depth - 1) if layer is None else layer])[0]
        self.sample_rate = net.sample_rate
        self.scene_embedding_size = (net.n_extra + 1) * net.embed_dim
        self.timestamp_embedding_size = net.embed_dim


def load_model(model_file_path: str = "", layer: int | None = None) -> HearModel:
    """The model, in eval mode.

    model_file_path: weights in any form that this package reads, or a registered name; "": the published 30 s network.
    layer: 0-based block; None: 7, or the last of a network with fewer.

    Raises what `load_maest` raises.
    """
    return HearModel(load_maest(model_file_path or DEFAULT), layer).eval()


def get_timestamp_embeddings(audio: Tensor, model: HearModel) -> tuple[Tensor, Tensor]:
    """Embeddings [n_sounds, T, C] float32 every 160 ms, and their times [n_sounds, T] float32: centres, in ms from the sound's start.

    A sound that is shorter than one column (0.25 s) has one embedding. Raises AudioError for audio of another shape or type.
    """
    vectors, times = [], []
    for piece in _pieces(audio, model, tokens=False):
        vectors.append(piece.values)
        times.append(piece.times)
    ms = torch.cat(times).to(audio.device)
    return torch.cat(vectors, dim=1), ms.expand(len(audio), -1).contiguous()


def get_scene_embeddings(audio: Tensor, model: HearModel) -> Tensor:
    """One embedding per sound, [n_sounds, 3C] float32: the mean over its pieces, weighted by their columns. Raises as above."""
    total: Any = 0.0
    columns = 0
    for piece in _pieces(audio, model, tokens=True):
        total = total + piece.values * len(piece.times)
        columns += len(piece.times)
    scene: Tensor = (total / columns).flatten(1)
    return scene


@dataclass(frozen=True)
class _Piece:
    values: Tensor  # [n_sounds, T, C], or tokens [n_sounds, 3, C]
    times: Tensor  # [T] float32, ms


@torch.no_grad()
def _pieces(audio: Tensor, model: HearModel, tokens: bool) -> Iterator[_Piece]:
    """The sounds piece by piece: as many columns as the network takes at once, then what is left."""
    net = model.net
    if not isinstance(audio, Tensor) or audio.ndim != 2 or not len(audio):
        shape = list(audio.shape) if isinstance(audio, Tensor) else type(audio).__name__
        raise AudioError(f"HEAR's audio is a tensor [n_sounds, samples] at {net.sample_rate} Hz; got {shape}.")
    was_training = net.training
    net.eval()
    try:
        sounds = (mel_blocks(net.melspectrogram, sound.to(net.device).split(_BLOCK)) for sound in audio)
        mel = torch.stack([torch.cat(list(blocks), dim=-1) for blocks in sounds])
        shift = left_padding(mel.shape[-1], PATCH)  # frames of silence before a sound that fills no column
        if mel.shape[-1] < PATCH:
            mel = functional.pad(mel, (shift, PATCH - mel.shape[-1] - shift), value=net.silence)
        f, per_pass = net.grid(net.input_t)
        stride, n_columns = net.stride[1], net.grid(mel.shape[-1])[1]
        frame_ms = 1000 * net.hop / net.sample_rate
        for first in range(0, n_columns, per_pass):
            count = min(per_pass, n_columns - first)
            frames = mel[..., first * stride : (first + count - 1) * stride + PATCH]
            kept = net.patchout.keep(f, count, training=False)[1].unique()
            run = (lambda x: net.embed_blocks(x, [model.layer])[0]) if tokens else (lambda x: net.encode_mel(x, [model.layer])[0])
            values = torch.cat([run(part) for part in frames.split(BATCH)]).float().to(audio.device)
            yield _Piece(values, ((first + kept) * stride + (PATCH - 1) / 2 - shift) * frame_ms)
    finally:
        net.train(was_training)
