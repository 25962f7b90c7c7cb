"""How the published extraction cuts a recording into overlapping chunks, and how its embeddings are joined for a probe."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from ..errors import ConfigError

Layers = Literal["mean", "max", "sum", "concat", "none"]
Granularity = Literal["frame", "chunk", "clip"]
Time = Literal["mean", "max"]


def chunk_lengths(sr: int, n_seconds: float = 30.0, overlap: float = 0.5) -> tuple[int, int]:
    """Return the samples of a chunk, and those from the beginning of one to the next.

    Raises ConfigError for lengths and shares that make no chunks.
    """
    if sr < 1 or not n_seconds > 0 or not 0 <= overlap < 1 or round(n_seconds * sr) < 1:
        raise ConfigError(
            f"Chunks have a length above 0 and an overlap in [0, 1); got {n_seconds} s at {sr} Hz, overlapping by {overlap}."
        )
    return round(n_seconds * sr), max(round(n_seconds * sr * (1 - overlap)), 1)


def chunk_offsets(
    num_samples: int, sr: int, n_seconds: float = 30.0, overlap: float = 0.5, last_chunk_ratio: float = 0.1
) -> list[int]:
    """Return the first sample of each chunk: full ones every n_seconds * (1 - overlap), and a last one, to be padded with zeros, where more than
    `last_chunk_ratio` of a chunk is left behind them.

    Raises ConfigError for lengths and shares that make no chunks.
    """
    length, hop = chunk_lengths(sr, n_seconds, overlap)
    if num_samples < 1 or not last_chunk_ratio >= 0:
        raise ConfigError(
            f"A recording has samples, and last_chunk_ratio is 0 or more; got {num_samples} samples and {last_chunk_ratio}."
        )
    full = 1 + max(0, (num_samples - length) // hop)
    offsets = [k * hop for k in range(full)]
    left = num_samples - (offsets[-1] + length)
    if left > last_chunk_ratio * length:
        offsets.append(full * hop)
    return offsets


def aggregate_embeddings(emb: Tensor, layers: Layers = "mean", granularity: Granularity = "chunk", time: Time = "mean") -> Tensor:
    """Join embeddings [L, N chunks, T, C]: over layers, then per frame [N * T, D], per chunk [N, D] or per clip [1, D]; D is C, or L * C of "concat".

    layers: "none" takes embeddings of one layer. time: over a chunk's frames, and of a clip over all frames.

    Raises ConfigError for an unknown word, other shapes, and several layers under "none".
    """
    for name, word, known in (
        ("layers", layers, get_args(Layers)), ("granularity", granularity, get_args(Granularity)), ("time", time, get_args(Time)),
    ):  # fmt: skip
        if word not in known:
            raise ConfigError(f"{name} is '{word}'; choose {', '.join(known)}.")
    if emb.ndim != 4 or (layers == "none" and emb.shape[0] != 1):
        raise ConfigError(f"Embeddings are [L, N, T, C], of one layer under layers='none'; got shape {list(emb.shape)}.")
    if layers == "concat":
        joined = emb.permute(1, 2, 0, 3).flatten(2)
    elif layers == "none":
        joined = emb[0]
    else:
        joined = emb.amax(0) if layers == "max" else getattr(torch, layers)(emb, 0)
    if granularity == "frame":
        return joined.flatten(0, 1)
    frames = joined if granularity == "chunk" else joined.flatten(0, 1)[None]
    return frames.amax(1) if time == "max" else frames.mean(1)
