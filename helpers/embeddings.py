"""Embeddings of tracks, read for a probe: from a TrackStore or from a folder of `.embeddings.npy` files, into one array in
memory.

An embedding is three tokens of C values, always in the order c, d, t: the class token, the distillation token, and the mean of
all others. Stores hold [windows, 3, C] per track; the per-file layouts are [windows, 3C] and, averaged, [3, C].
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeVar, get_args

import numpy as np
import torch

from datasets.groundtruth import listed, match
from datasets.store import TrackStore
from models.errors import ConfigError, GroundtruthError, StoreError
from models.randomness import stream

Reduce = Literal["mean", "stack"]
TOKENS = "cdt"
PUBLISHED_SIZE = 768  # C of the published networks
NPY_SUFFIX = ".embeddings.npy"
Array = TypeVar("Array", np.ndarray, torch.Tensor)


def check_types(types: str, reduce: str) -> list[int]:
    """The chosen tokens' positions in c, d, t order. Raises ConfigError for anything that is not a choice of them."""
    if not types or set(types) - set(TOKENS) or len(set(types)) != len(types):
        raise ConfigError(
            f"Token types are '{types}'; wanted one or more different letters of c (class), d (distillation), t (others' mean)."
        )
    if reduce not in get_args(Reduce):
        raise ConfigError(f"reduce is '{reduce}'; choose one of {', '.join(get_args(Reduce))}.")
    return [i for i, letter in enumerate(TOKENS) if letter in types]


def select_tokens(embeddings: Array, types: str = TOKENS, reduce: Reduce = "mean", token_size: int = PUBLISHED_SIZE) -> Array:
    """One vector for a track's embeddings: the mean over its windows, then the chosen tokens averaged [C] ("mean") or joined [kC]
    ("stack").

    embeddings: of one track, [windows, 3, C] or [windows, 3C], or already averaged, [3, C] or [3C]; single vectors per window
        ([windows, C] or [C], as block -1 gives) have nothing to choose and are only averaged. numpy or torch; the same kind comes
        back.
    types: letters of c (class), d (distillation), t (mean of the others), in any order; always taken as c, d, t.
    token_size: C. It tells the layouts apart: [3, C] are the three tokens of one average, never three windows of single vectors.

    Raises ConfigError for types, a reduction or a shape that do not fit.
    """
    chosen = check_types(types, reduce)
    shape = tuple(embeddings.shape)
    if shape in ((3 * token_size,), (3, token_size)):
        tokens = embeddings.reshape(3, token_size)
    elif (len(shape) == 2 and shape[1] == 3 * token_size) or (len(shape) == 3 and shape[1:] == (3, token_size)):
        tokens = embeddings.reshape(-1, 3, token_size).mean(0)
    elif shape == (token_size,):
        return embeddings
    elif len(shape) == 2 and shape[1] == token_size:
        return embeddings.mean(0)
    else:
        raise ConfigError(
            f"A track's embeddings of shape {list(shape)} are neither [windows, 3, {token_size}] nor "
            f"[windows, {3 * token_size}] nor [windows, {token_size}]. Set token_size to the network's width."
        )
    picked = tokens[chosen]
    return picked.reshape(len(chosen) * token_size) if reduce == "stack" else picked.mean(0)


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
    check_types(types, reduce)
    if not isinstance(source, TrackStore) and Path(source).is_dir() and not any(Path(source).glob("*.h5*")):
        return _from_files(Path(source), keys, types, reduce, token_size or PUBLISHED_SIZE)
    store = source if isinstance(source, TrackStore) else TrackStore.open(source)
    names = find_names(keys, store.names, str(store.paths[0]))
    shape = store.item_shape
    flat = token_size or PUBLISHED_SIZE
    size = flat if shape == (3 * flat,) and store.attrs.get("block") != -1 else shape[-1]
    two = shape == (2, size)  # a network without a distillation token
    if two and "d" in types:
        raise ConfigError(
            f"Token types are '{types}': {store.paths[0]} comes from a network with no distillation token; choose of c, t."
        )
    out: np.ndarray | None = None
    for i, name in enumerate(names):
        weights = None
        if windows is not None:
            span = windows.read(name)
            weights = (span[:, 1] - span[:, 0]).astype(np.float64)
        vector = np.average(store.read(name).astype(np.float64), axis=0, weights=weights)
        if two:
            vector = np.insert(vector, 1, 0.0, axis=0)  # in the place of d, which is not chosen
        vector = select_tokens(vector, types, reduce, size)
        out = np.empty((len(names), len(vector)), dtype=np.float32) if out is None else out
        out[i] = vector
    assert out is not None
    return out


def window_embeddings(
    source: str | Path | TrackStore,
    keys: Sequence[str],
    pick: Literal["one", "all"],
    seed: int = 0,
    types: str = TOKENS,
    reduce: Reduce = "stack",
    token_size: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """One vector per window, [W, D] float32, and the track of each, [W] int64 (places in `keys`): CLMR's linear evaluation.

    pick: "one" window of each track, drawn from `seed` and the track's name, or "all". Other arguments and errors as `load_embeddings`, which
    also reads folders of files; here it is a TrackStore.
    """
    check_types(types, reduce)
    store = source if isinstance(source, TrackStore) else TrackStore.open(source)
    size = token_size if token_size and store.item_shape == (3 * token_size,) else store.item_shape[-1]
    vectors, owner = [], []
    for i, name in enumerate(find_names(keys, store.names, str(store.paths[0]))):
        windows = store.read(name).astype(np.float64)
        rows = range(len(windows)) if pick == "all" else [int(stream(seed, "probe window", name).integers(len(windows)))]
        vectors += [select_tokens(windows[row], types, reduce, size) for row in rows]
        owner += [i] * len(rows)
    return np.stack(vectors).astype(np.float32), np.asarray(owner, dtype=np.int64)


def _from_files(folder: Path, keys: Sequence[str], types: str, reduce: Reduce, token_size: int) -> np.ndarray:
    """The same from `<key>.embeddings.npy`, where a key may hold folders."""
    there = [path.relative_to(folder).as_posix().removesuffix(NPY_SUFFIX) for path in folder.rglob(f"*{NPY_SUFFIX}")]
    rows = []
    for name in find_names(keys, there, str(folder)):
        path = folder / f"{name}{NPY_SUFFIX}"
        try:
            array = np.load(path, allow_pickle=False).astype(np.float64)
        except (ValueError, EOFError) as error:
            raise StoreError(f"{path} cannot be read as an array: {error}. Extract it again.") from error
        if not np.isfinite(array).all():
            raise StoreError(f"{path} holds NaN or infinite values. Extract it again.")
        rows.append(select_tokens(array, types, reduce, token_size))
    return np.stack(rows).astype(np.float32)


def find_names(keys: Sequence[str], names: Sequence[str], where: str, what: str = "embeddings") -> list[str]:
    """The stored name of every key, as `datasets.groundtruth.match` finds it. Raises GroundtruthError that counts and lists the absent."""
    if not keys:
        raise GroundtruthError("No tracks were asked for: the groundtruth is empty.")
    found = match(keys, names)
    if found.absent:
        raise GroundtruthError(
            f"{len(found.absent)} of {len(keys)} tracks of the groundtruth have no {what} in {where}: {listed(found.absent)}. "
            "Make them, or leave them out of the groundtruth."
        )
    return [names[i] for i in found.numbers]
