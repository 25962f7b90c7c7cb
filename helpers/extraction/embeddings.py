"""Embeddings of tracks, read for a probe: from a TrackStore or from a folder of `.embeddings.npy` files, into one array in
memory (or, above a size, in a memory map).

An embedding is three tokens of C values, always in the order c, d, t: the class token, the distillation token, and the mean of
all others. Stores hold [windows, 3, C] per track; the per-file layouts are [windows, 3C] and, averaged, [3, C]. Networks without tokens
leave [windows, C].
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import torch

from datasets.groundtruth.groundtruth import match
from datasets.store.track_store import TrackStore
from models.errors import ConfigError, GroundtruthError, StoreError, listed

log = logging.getLogger(__name__)
Reduce = Literal["mean", "stack"]
Rows = Literal["mean", "each", "first", "random"]
TOKENS = "cdt"
PUBLISHED_SIZE = 768  # C of the published networks
NPY_SUFFIX = ".embeddings.npy"
_BLOCK = 4_000_000  # numbers read at once
MEMORY = 8e9  # bytes of embeddings kept in memory; more stand in a memory map
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


@dataclass(frozen=True)
class Choice:
    """What of an embedding a probe sees. types, reduce: tokens, as in `select_tokens`. token_size: C, for layouts that do not show it."""

    types: str = TOKENS
    reduce: Reduce = "stack"
    token_size: int | None = None

    def __post_init__(self) -> None:
        check_types(self.types, self.reduce)

    def of(self, items: np.ndarray, size: int, where: str) -> np.ndarray:
        """The chosen tokens of many items, [R, 3, C], [R, 2, C], [R, 3C] or [R, C] -> [R, D]. size: C. Raises ConfigError for other shapes."""
        shape = items.shape[1:]
        if shape == (size,):
            return items
        if shape not in ((3, size), (2, size), (3 * size,)):
            raise ConfigError(
                f"The embeddings in {where} are {list(shape)} per window, which is not tokens of {size}: set token_size."
            )
        tokens = items.reshape(len(items), -1, size)
        if tokens.shape[1] == 2 and "d" in self.types:
            raise ConfigError(
                f"Token types are '{self.types}': {where} comes from a network with no distillation token; choose of c, t."
            )
        letters = TOKENS if tokens.shape[1] == 3 else "ct"
        picked = tokens[:, [i for i, letter in enumerate(letters) if letter in self.types]]
        return picked.reshape(len(picked), -1) if self.reduce == "stack" else picked.mean(axis=1)


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
    there = _opened(source, choice)
    numbers = np.array([there.number[name] for name in find_names(keys, there.names, there.where)], dtype=np.int64)
    lengths = there.lengths(numbers)
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
    return _opened(source, Choice()).names


def has_tokens(source: str | Path, token_size: int | None = None) -> bool:
    """Whether there are tokens to choose of in these embeddings, or single vectors. Raises StoreError where there are none."""
    return bool(_opened(source, Choice(token_size=token_size)).tokens)


def _opened(source: str | Path | TrackStore, choice: Choice) -> Any:
    """A store or a folder of files, to be read. Raises StoreError for a place without embeddings."""
    if isinstance(source, TrackStore):
        return _Store(source, choice)
    place = Path(source)
    if place.is_dir() and not any(place.glob("*.h5*")):
        if not any(place.rglob(f"*{NPY_SUFFIX}")):
            raise StoreError(_no_store(place))
        return _Files(place, choice)
    if not place.exists() and not any(place.parent.glob(f"{place.stem}*")):  # the parts of a store need not have its name
        raise StoreError(
            f"There are no embeddings at {place} (data.base_dir): `python ex_maest.py extract_embeddings` writes them. A folder of "
            f"<track>{NPY_SUFFIX} files, of any network, will do too."
        )
    return _Store(source, choice)


def _no_store(folder: Path) -> str:
    """That a folder holds no embeddings, and where some are below it."""
    below = sorted({path.parent for path in folder.rglob("embeddings*.h5*")})
    there = (
        f"there {'is one' if len(below) == 1 else 'are some'} at {', '.join(map(str, below[:3]))}: name that folder"
        if below
        else ""
    )
    made = "`python ex_maest.py extract_embeddings` writes them"
    return f"{folder} holds no store of embeddings, and no files *{NPY_SUFFIX}; {there or made}."


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


class _Store:
    """A track store, as `load_rows` reads it."""

    def __init__(self, source: str | Path | TrackStore, choice: Choice):
        self.store = source if isinstance(source, TrackStore) else TrackStore.open(source)
        self.where, self.names = str(self.store.paths[0]), self.store.names
        self.number = {name: i for i, name in enumerate(self.names)}
        shape, attrs = self.store.item_shape, self.store.attrs
        self.width = int(np.prod(shape))
        known = attrs.get("network", {}).get("embed_dim")
        flat = known or choice.token_size or PUBLISHED_SIZE
        self.size = flat if shape == (3 * flat,) and attrs.get("block") != -1 else shape[-1]
        self.tokens = shape != (self.size,)

    def lengths(self, numbers: np.ndarray) -> np.ndarray:
        return self.store.lengths[numbers]

    def read(self, numbers: np.ndarray, stop: int | None) -> np.ndarray:
        return self.store.read_many(numbers, stop)


class _Files:
    """A folder of `<key>.embeddings.npy`, where a key may hold folders, as `load_rows` reads it: every file once.

    [3, C] may be the three tokens of one average, or three windows without tokens: what the folder's other files are tells. Where all are [3, C]
    they are tokens, as in the published suite's averages; that is said where the folder has no settings.json of this suite's extraction.
    """

    def __init__(self, folder: Path, choice: Choice):
        self.where, self.folder = str(folder), folder
        self.names = [path.relative_to(folder).as_posix().removesuffix(NPY_SUFFIX) for path in folder.rglob(f"*{NPY_SUFFIX}")]
        self.number = {name: i for i, name in enumerate(self.names)}
        known = None
        if (folder / "settings.json").is_file():  # of this suite's extraction
            known = json.loads((folder / "settings.json").read_text()).get("network", {}).get("embed_dim")
        self.size, self.width = known or choice.token_size or PUBLISHED_SIZE, 3 * PUBLISHED_SIZE
        self._arrays: dict[int, np.ndarray] = {}
        self._known = known is not None

    @cached_property
    def tokens(self) -> bool:
        """Whether the arrays are of tokens; looked at when they are first read, since names alone need it not."""
        shapes = (_shape(self.folder / f"{name}{NPY_SUFFIX}") for name in self.names)
        telling = next(
            (kind for shape in shapes if (kind := _tokens(shape, self.size)) is not None), None
        )  # of the first file, mostly
        if telling is None and not self._known:
            _say_three(self.folder, self.size)
        return telling is not False

    def lengths(self, numbers: np.ndarray) -> np.ndarray:
        return np.array([len(self._array(int(i))) for i in numbers])

    def read(self, numbers: np.ndarray, stop: int | None) -> np.ndarray:
        return np.concatenate([self._array(int(i))[:stop] for i in numbers])

    def _array(self, i: int) -> np.ndarray:
        if i in self._arrays:
            return self._arrays[i]
        path, size = self.folder / f"{self.names[i]}{NPY_SUFFIX}", self.size
        try:
            array = np.load(path, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise StoreError(f"{path} cannot be read as an array: {error}. Extract it again.") from error
        if not np.isfinite(array).all():
            raise StoreError(f"{path} holds NaN or infinite values. Extract it again.")
        kind = _tokens(array.shape, size)
        if kind is None and array.shape != (3, size):
            raise ConfigError(
                f"{path} has the shape {list(array.shape)}, which is neither [windows, 3, {size}] nor [windows, {3 * size}] nor "
                f"[windows, {size}]. Set data.token_size to the network's width."
            )
        if kind is not None and kind != self.tokens:
            kinds = f"tokens, [windows, 3, {size}]", f"vectors without tokens, [windows, {size}]"
            raise StoreError(
                f"{path} has the shape {list(array.shape)}; other files of {self.folder} are {kinds[not self.tokens]}. Keep files of different "
                "networks in folders of their own."
            )
        array = array.reshape(-1, 3, size) if self.tokens else array.reshape(-1, size)
        self._arrays[i] = array
        return array


@cache
def _say_three(folder: Path, size: int) -> None:
    """Once, and not for every split."""
    log.warning(
        "All arrays in %s are [3, %d]: they are taken as three tokens (c, d, t) of one window each. If they are three windows of vectors "
        "without tokens, write them into a track store of [windows, %d].", folder, size, size,
    )  # fmt: skip


def _tokens(shape: tuple[int, ...], size: int) -> bool | None:
    """Whether an array's shape is of three tokens of `size` (True) or of vectors without; None for neither, and for [3, size], which may be both."""
    if shape == (3, size):
        return None
    if shape == (3 * size,) or (len(shape) == 2 and shape[1] == 3 * size) or (len(shape) == 3 and shape[1:] == (3, size)):
        return True
    return False if shape == (size,) or (len(shape) == 2 and shape[1] == size) else None


def _shape(path: Path) -> tuple[int, ...]:
    """Of an .npy file, by its header; () where it cannot be read: who reads the array says why."""
    try:
        with open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            return tuple(read(file)[0])
    except (OSError, ValueError):
        return ()


def find_names(keys: Sequence[str], names: Sequence[str], where: str, what: str = "embeddings") -> list[str]:
    """The stored name of every key, as `match` finds it. Raises GroundtruthError that counts and lists the absent."""
    if not keys:
        raise GroundtruthError("No tracks were asked for: the groundtruth is empty.")
    found = match(keys, names)
    if found.absent:
        raise GroundtruthError(
            f"{len(found.absent)} of {len(keys)} tracks of the groundtruth have no {what} in {where}: {listed(found.absent)}. "
            "Make them. For audio that cannot be used (failed.csv beside the prepared store says why, `python ex_maest.py check_data` "
            "lists it), leave them out by data.skip_missing=True, or out of the groundtruth."
        )
    return [names[i] for i in found.numbers]
