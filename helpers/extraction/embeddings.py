"""Embeddings of tracks, read for a probe: from a TrackStore or from a folder of `.embeddings.npy` files, into one array in
memory (or, above a size, in a memory map).
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from datasets.groundtruth.groundtruth import match
from datasets.store.track_store import TrackStore
from models.errors import ConfigError, GroundtruthError, StoreError, listed

from .embedding_sources import open_embeddings
from .tokens import TOKENS, Choice, Reduce

Rows = Literal["mean", "each", "first", "random"]
_BLOCK = 4_000_000  # numbers read at once
MEMORY = 8e9  # bytes of embeddings kept in memory; more stand in a memory map


def load_embeddings(
    source: str | Path | TrackStore,
    keys: Sequence[str],
    types: str = TOKENS,
    reduce: Reduce = "stack",
    token_size: int | None = None,
    windows: TrackStore | None = None,
) -> np.ndarray:
    """One vector per track: the mean over its windows, then the chosen tokens; float32 [N, D] in the order of `keys`.

    source: a TrackStore (opened, or its path or folder), or a folder of `<key>.embeddings.npy`.
    keys: the wanted tracks; a key that is not there exactly is looked for without its suffix.
    token_size: width C of one token, for layouts that do not show it: files, and stores of [windows, 3C] (default: 768).
    windows: the extraction's `windows` store ([windows, 2], start and stop frame): means are then weighted by valid frames.
        Without it every window counts the same, as in MAEST's probe.

    Raises GroundtruthError that counts and lists the keys without embeddings, before any is read; StoreError for arrays that do
    not fit.
    """
    return load_rows(source, keys, Choice(types, reduce, token_size), "mean", windows=windows)[0]


def load_rows(
    source: str | Path | TrackStore,
    keys: Sequence[str],
    choice: Choice,
    rows: Rows = "mean",
    seed: int = 0,
    windows: TrackStore | None = None,
    memory: float = MEMORY,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Embeddings of tracks as a probe sees them: (float32 [R, D], int [R] the track of each row, or None where row i is track i).

    rows: "mean": one row per track, the mean over its windows; "each": every window; "first": each track's first window; "random": one window of
        each track, drawn once by `seed`. Everything else as `load_embeddings`. memory: bytes above which the result is a memory map over a file
        that has no name and goes with it.
    """
    if rows not in get_args(Rows):
        raise ConfigError(f"Windows are taken as '{rows}'; choose one of {', '.join(get_args(Rows))}.")
    there = open_embeddings(source, choice)
    numbers = np.array([there.number[name] for name in find_names(keys, there.names, there.where)], dtype=np.int64)
    lengths = there.lengths(numbers)
    if empty := [there.names[i] for i in numbers[np.asarray(lengths) < 1]]:
        raise StoreError(
            f"{len(empty)} of {len(numbers)} tracks in {there.where} are empty, they have no window: {listed(empty)}. Extract them again."
        )
    counts = lengths if rows == "each" else np.ones(len(numbers), dtype=np.int64)
    picked = (np.random.default_rng(seed).random(len(numbers)) * lengths).astype(np.int64) if rows == "random" else None
    weights = None if windows is None else _valid_frames(windows, [there.names[i] for i in numbers], lengths)
    ends, out = np.cumsum(counts), None
    for first, last in _blocks(lengths if rows != "first" else counts, there.width):
        block, part = slice(first, last), lengths[first:last]
        items = there.read(numbers[block], 1 if rows == "first" else None)
        starts = np.cumsum(part) - part
        if rows == "mean" and (len(items) > len(part) or weights is not None):
            share = part.astype(np.float64)
            if weights is not None:
                valid = np.concatenate(weights[first:last])
                items, share = items * valid.reshape(-1, *[1] * (items.ndim - 1)), np.add.reduceat(valid, starts)
            items = np.add.reduceat(items, starts, axis=0, dtype=np.float64)
            items /= share.reshape(-1, *[1] * (items.ndim - 1))
        elif picked is not None:
            items = items[starts + picked[block]]
        vectors = choice.of(items, there.size, there.where)
        out = _room((int(ends[-1]), vectors.shape[1]), memory) if out is None else out
        out[ends[first] - counts[first] : ends[last - 1]] = vectors
    assert out is not None
    return out, np.repeat(np.arange(len(counts)), counts) if rows == "each" else None


def embedding_names(source: str | Path) -> Sequence[str]:
    """The names of all tracks that have embeddings there. Raises StoreError where there are none."""
    return open_embeddings(source, Choice()).names


def has_tokens(source: str | Path, token_size: int | None = None) -> bool:
    """Whether there are tokens to choose of in these embeddings, or single vectors. Raises StoreError where there are none."""
    return bool(open_embeddings(source, Choice(token_size=token_size)).tokens)


def _room(shape: tuple[int, ...], memory: float) -> np.ndarray:
    """An empty float32 array, in memory or over a nameless file."""
    if np.prod(shape, dtype=np.float64) * 4 <= memory:
        return np.empty(shape, dtype=np.float32)
    return np.memmap(tempfile.TemporaryFile(), dtype=np.float32, mode="w+", shape=shape)


def _blocks(lengths: np.ndarray, width: int) -> list[tuple[int, int]]:
    """Consecutive tracks [first, last) that hold about _BLOCK numbers together."""
    filled = np.cumsum(lengths) * width // _BLOCK
    edges = [0, *(np.flatnonzero(np.diff(filled)) + 1).tolist(), len(lengths)]
    return [(a, b) for a, b in pairwise(edges) if b > a]


def _valid_frames(windows: TrackStore, names: Sequence[str], lengths: np.ndarray) -> list[np.ndarray]:
    spans = windows.read_many(np.array([windows.index(name) for name in names]))
    return np.split((spans[:, 1] - spans[:, 0]).astype(np.float64), np.cumsum(lengths)[:-1])


def find_names(keys: Sequence[str], names: Sequence[str], where: str, what: str = "embeddings") -> list[str]:
    """The stored name of every key, as `match` finds it. Raises GroundtruthError that counts and lists the absent."""
    if not keys:
        raise GroundtruthError("No tracks were asked for: the groundtruth is empty.")
    found = match(keys, names)
    if found.absent:
        raise GroundtruthError(
            f"{len(found.absent)} of {len(keys)} tracks of the groundtruth have no {what} in {where}: {listed(found.absent)}. "
            "Make them. For audio that cannot be used (failed.csv beside the prepared store says why, the command check_data lists "
            "it), leave them out by data.skip_missing=True, or out of the groundtruth."
        )
    return [names[i] for i in found.numbers]
