"""The HEAR 2021 interface (https://hearbenchmark.com/hear-api.html): `load_model`, `get_scene_embeddings`, `get_timestamp_embeddings`.

For any AudioEncoder. Audio is a batch of equally long mono sounds [n_sounds, samples] at `model.sample_rate`, float in [-1, 1], of 0.1 s to as long
as memory holds. Embeddings are of one layer: for a scene what extraction keeps of a window, joined (mean over the windows), for a moment the layer's
vector at that time. How a sound is cut, and the times: `AudioEncoder.pieces`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .encoder import AudioEncoder, Piece
from .errors import AudioError
from .registry import default_model
from .registry import load_model as load_network

log = logging.getLogger(__name__)
RATES = (16000, 22050, 32000, 44100, 48000)  # Hz that HEAR offers


class HearModel(nn.Module):
    """A network with the attributes that HEAR asks for.

    sample_rate: Hz: the network's, or where HEAR does not offer that (24 kHz) a multiple or the next higher one that it does: sounds are resampled
        inside. scene_embedding_size: of what extraction keeps of a window, joined. timestamp_embedding_size: C. layer: 0-based.

    net: any AudioEncoder. layer: negatives from the end; None: the network's `transfer_layer`, or the last of one with fewer. Raises ValueError for a
    layer that is not there.
    """

    def __init__(self, net: AudioEncoder, layer: int | None = None):
        super().__init__()
        self.net = net
        if layer is None:  # a small network of fewer blocks gives its last one
            layer = min(net.transfer_layer, net.depth - 1)
        self.layer = net.resolve_layers([layer])[0]
        shape = net.summary_shapes([self.layer])[self.layer]
        self.sample_rate = _offered(net.sample_rate)
        self.scene_embedding_size = math.prod(shape)
        self.timestamp_embedding_size = shape[-1]
        if self.sample_rate != net.sample_rate:
            log.info(
                "This %s reads %d Hz, which HEAR does not offer: it asks for %d Hz and resamples.",
                type(net).__name__,
                net.sample_rate,
                self.sample_rate,
            )


def _offered(rate: int) -> int:
    """Return a rate that HEAR's tasks come in: this one, a multiple of it, the next higher one, or the highest."""
    higher = [one for one in RATES if one >= rate] or [RATES[-1]]
    return next((one for one in higher if one % rate == 0), higher[0])


def load_model(model_file_path: str = "", layer: int | None = None) -> HearModel:
    """The model, in eval mode.

    model_file_path: weights in any form that this package reads, or a registered name; "": the default model.
    layer: 0-based, negatives from the end; None: the one that the network's authors take for transfer.

    Raises what models.load_model raises.
    """
    return HearModel(load_network(model_file_path or default_model()), layer).eval()


def get_timestamp_embeddings(audio: Tensor, model: HearModel) -> tuple[Tensor, Tensor]:
    """Embeddings [n_sounds, T, C] float32, and their times [n_sounds, T] float32: centres, in ms from the sound's start.

    A sound that is shorter than one vector's share has one embedding. Raises AudioError for audio of another shape or type.
    """
    vectors, times = [], []
    for piece in _pieces(audio, model, scene=False):
        vectors.append(piece.values)
        times.append(piece.times)
    ms = torch.cat(times).to(audio.device)
    return torch.cat(vectors, dim=1), ms.expand(len(audio), -1).contiguous()


def get_scene_embeddings(audio: Tensor, model: HearModel) -> Tensor:
    """One embedding per sound, [n_sounds, scene_embedding_size] float32: the weighted mean over its pieces. Raises as above."""
    total: Any = 0.0
    weight = 0
    for piece in _pieces(audio, model, scene=True):
        total = total + piece.values * piece.weight
        weight += piece.weight
    scene: Tensor = (total / weight).flatten(1)
    return scene


@torch.no_grad()
def _pieces(audio: Tensor, model: HearModel, scene: bool) -> Iterator[Piece]:
    net = model.net
    if not isinstance(audio, Tensor) or audio.ndim != 2 or not audio.numel() or not audio.is_floating_point():
        came = f"{audio.dtype} {list(audio.shape)}" if isinstance(audio, Tensor) else type(audio).__name__
        raise AudioError(f"HEAR's audio is a float tensor [n_sounds, samples] at {model.sample_rate} Hz, in [-1, 1]; got {came}.")
    if model.sample_rate != net.sample_rate:
        audio = _resampled(audio, model.sample_rate, net.sample_rate)
    was_training = net.training
    net.eval()
    try:
        yield from net.pieces(audio, model.layer, scene)
    finally:
        net.train(was_training)


def _resampled(audio: Tensor, rate_in: int, rate_out: int) -> Tensor:
    from .audio import resample  # here for start-up time: its decoders take a while to load

    sounds = audio.detach().float().cpu().numpy()
    return torch.from_numpy(np.stack([resample(one, rate_in, rate_out) for one in sounds])).to(audio.device)
