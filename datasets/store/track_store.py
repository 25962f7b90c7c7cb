"""TrackStore: ragged arrays of many tracks, name -> array [n, *item_shape].

Mel spectrograms [frames, 96], waveforms [samples], embeddings [windows, 3, 768] and logits [windows, L] are all track stores;
the attributes say what one holds (kind, front_end, sample_rate, hop, model, layer, checkpoint, code version, ...).

Conventions: a name is the audio file's path relative to its folder, with "/" and with its suffix ("a/b.flac"); it is data, never
used as a path unchecked. A store `mels.h5` is that file (sealed) or, while it grows, `mels.h5.part` + `mels.h5.journal`; several
writers may each make a shard of it, `mels.shard-00000.h5`, and opening `mels.h5` opens them all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from models.bounded_files import check_regular, open_regular
from models.errors import StoreError, StoreMismatchError, nearest

from ..utils.names import Names, compact, finder
from . import files
from .maps import Maps
from .writer import StoreWriter

SUFFIX = ".h5"
_MAKE = "`python -m datasets.prepare AUDIO_DIR OUT` makes one of audio."
_SHARD = re.compile(r"\.shard-\d{5,}$")
_HINT_LIMIT = 20_000  # looking for a similar name among more takes seconds


def shard_path(path: str | Path, shard: int | None) -> Path:
    """Return where a store's shard stands: `a/mels.h5`, 3 -> `a/mels.shard-00003.h5`; None is the store itself."""
    path = Path(path)
    if path.suffix != SUFFIX:
        raise StoreError(f"A track store's name ends in {SUFFIX}; got {path.name!r}.")
    if shard is None:
        return path
    if shard < 0:
        raise StoreError(f"shard is {shard}; shards count from 0.")
    return path.with_name(f"{path.stem}.shard-{shard:05d}{SUFFIX}")


def _there(path: Path) -> bool:
    return path.is_file() or files.journal_path(path).is_file()


def _find(source: str | Path) -> list[Path]:
    """The files of one source: a store, sealed or not, with its shards, or a folder of stores."""
    path = Path(source)
    if path.is_dir():
        found = {p for p in path.iterdir() if p.suffix == SUFFIX and p.is_file()}
        found |= {p.with_name(p.name.removesuffix(".journal")) for p in path.iterdir() if p.name.endswith(f"{SUFFIX}.journal")}
        if not found:
            raise StoreError(f"The folder {path} holds no track store (*{SUFFIX}). {_MAKE}")
        return sorted(found)
    found = {path} if _there(path) else set()
    if path.suffix == SUFFIX and path.parent.is_dir():
        for other in path.parent.iterdir():
            store = other.with_name(other.name.removesuffix(".journal"))
            if store.suffix == SUFFIX and _SHARD.search(store.stem) and _SHARD.sub("", store.stem) == path.stem:
                found.add(store)
    if not found:
        raise StoreError(f"There is no track store at {path}. {_MAKE}")
    return sorted(found)


class TrackStore:
    """Read side. Opens its files on first use in each process, so it can be pickled and sent to workers."""

    def __init__(self, paths: Sequence[Path], counts: Sequence[int] | None = None):
        self._paths = list(paths)
        self._load(counts)

    def __repr__(self) -> str:
        kind = f"{self.attrs['kind']}, " if "kind" in self.attrs else ""
        files = f"{self._paths[0]}" + (f" and {len(self._paths) - 1} more" if len(self._paths) > 1 else "")
        return f"TrackStore({files}: {kind}{len(self)} tracks, [n{''.join(f', {k}' for k in self.item_shape)}])"

    # -- making and opening

    @staticmethod
    def create(
        path: str | Path, item_shape: Sequence[int], dtype: DTypeLike, attrs: dict, shard: int | None = None
    ) -> StoreWriter:
        """Begin a store, or go on with one that was begun with the same settings.

        Parameters: path of the store (NAME.h5); shape of one item, () for single numbers; numpy type; attributes that say what
        it holds (plain values); the shard to write when several processes share the work.

        Raises StoreError when it is sealed already, was begun with other settings, or another process is writing it.
        """
        return StoreWriter(shard_path(path, shard), files.Header.make(tuple(item_shape), dtype, attrs))

    @classmethod
    def open(cls, source: StoreSource) -> TrackStore:
        """Open a store (sealed or still growing, with its shards), a folder of stores, or a list of either, as one; return an open store as it is.

        Raises StoreError when nothing is there, a file is damaged, shards differ in what they hold, or a name stands in two of
        them.
        """
        if isinstance(source, TrackStore):
            return source
        sources = [source] if isinstance(source, str | Path) else list(source)
        if not sources:
            raise StoreError("No track store was named.")
        return cls(list(dict.fromkeys(path for one in sources for path in _find(one))))

    @staticmethod
    def state(path: str | Path, shard: int | None = None) -> str:
        """Return 'sealed', 'parts' (can be resumed) or 'absent'."""
        path = shard_path(path, shard)
        return "sealed" if path.is_file() else "parts" if files.journal_path(path).is_file() else "absent"

    def _load(self, counts: Sequence[int] | None) -> None:
        shards: list[files.Index] = []
        for path in self._paths:
            index = files.read_sealed(path) if path.is_file() else None
            if index is None:
                try:
                    index = files.read_parts(path)
                except FileNotFoundError:
                    if not path.is_file():
                        raise StoreError(f"There is no track store at {path} (any more).") from None
                    index = files.read_sealed(path)  # sealed between the two looks
            if index is not None:
                shards.append(index)
        if not shards:
            raise StoreError(f"{self._paths[0]} has only just been begun: it holds no track yet.")
        if counts is not None:  # as many as when it was pickled: a growing store may have grown since
            shards = [index.head(n) for index, n in zip(shards, counts)]
        first = shards[0]
        for other in shards[1:]:
            if other.header != first.header:
                raise StoreError(_unlike(first, other))
        self._shards = shards
        self._header = first.header
        self.names: Sequence[str] = compact([name for index in shards for name in index.names])
        self.lengths = np.concatenate([index.lengths for index in shards]).astype(np.int64)
        self._bounds = np.cumsum([0, *(len(index.names) for index in shards)])
        self._starts = np.concatenate([index.offsets for index in shards]).astype(np.int64)
        self._shard_of = np.repeat(np.arange(len(shards)), np.diff(self._bounds))
        self._numbers: dict[str, int] | Names | None = None
        self._map = Maps(self._mapped)
        if len(shards) > 1:
            self._refuse_duplicates()
        for index in shards:
            index.names.clear()  # they stand in self.names, once

    def _refuse_duplicates(self) -> None:
        if not self.names.twice() if isinstance(self.names, Names) else len(set(self.names)) == len(self.names):
            return
        seen: dict[str, int] = {}
        twice = []
        for i, name in enumerate(self.names):
            if seen.setdefault(name, i) != i:
                twice.append((name, seen[name], i))
        name, a, b = twice[0]
        where = " and ".join(str(self._shards[self._shard_of[i]].path) for i in (a, b))
        raise StoreError(f"{len(twice)} names stand in more than one store, such as {name!r} in {where}. Open only one of them.")

    def __getstate__(self) -> dict:
        return {"paths": self._paths, "counts": np.diff(self._bounds).tolist()}

    def __setstate__(self, state: dict) -> None:
        self._paths = list(state["paths"])
        self._load(state["counts"])

    # -- what it holds

    @property
    def attrs(self) -> dict:
        """What the store says of itself. A copy."""
        return json.loads(json.dumps(self._header.attrs))

    @property
    def item_shape(self) -> tuple[int, ...]:
        """Shape of one item: (96,) for mel frames, () for samples."""
        return self._header.item_shape

    @property
    def dtype(self) -> np.dtype:
        """Type of the items."""
        return self._header.dtype

    @property
    def paths(self) -> list[Path]:
        """The files it is made of."""
        return list(self._paths)

    @property
    def _number(self) -> dict[str, int] | Names:
        if self._numbers is None:
            self._numbers = finder(self.names)
        return self._numbers

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self._number

    def index(self, name: str) -> int:
        """Return the number of a track. Raises StoreError when there is none of that name."""
        where = self._number
        found = where.find(name) if isinstance(where, Names) else where.get(name, -1)
        if found < 0:
            hint = nearest(name, self.names) if len(self) <= _HINT_LIMIT else ""
            raise StoreError(f"There is no track {name!r} in {self._paths[0]} ({len(self)} tracks).{hint}")
        return found

    def require(self, attrs: Mapping[str, object] | None = None, *, cure: str | None = None, **wanted: object) -> None:
        """Refuse a store that was made for something else: `store.require(kind="mel", front_end="maest-essentia")`.

        Raises StoreMismatchError naming each attribute that differs, both values, and the cure.
        """
        have = self._header.attrs
        plain = json.loads(json.dumps({**(attrs or {}), **wanted}))  # tuples are lists in a store
        absent = object()
        differing = [key for key, value in plain.items() if have.get(key, absent) != value]
        wrong = [f"{key} is {files.short(have.get(key))}, {files.short(plain[key])} is wanted" for key in differing]
        if wrong:
            cure = cure or "Make it again for this model (`python -m datasets.prepare`), or choose the model it fits."
            raise StoreMismatchError(f"{self._paths[0]} does not fit: {'; '.join(wrong)}. {cure}", differing)

    # -- reading

    def _mapped(self, shard: int) -> np.ndarray:
        """All items of one file [N, *item_shape], mapped, not read."""
        index = self._shards[shard]
        shape = (int((index.offsets + index.lengths).max(initial=0)), *self.item_shape)
        try:
            check_regular(index.data_path, StoreError)
            raw = np.memmap(index.data_path, dtype=self.dtype, mode="r", offset=index.data_offset, shape=shape)
        except FileNotFoundError:  # the parts became a sealed file since
            index = self._shards[shard] = files.read_sealed(index.path).head(len(index.lengths))
            index.names.clear()
            raw = np.memmap(index.data_path, dtype=self.dtype, mode="r", offset=index.data_offset, shape=shape)
        return np.asarray(raw)  # a plain array: slicing a memmap object costs microseconds more

    def read(self, track: str | int, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return items [start, stop) of a track (name or number), a copy, [stop - start, *item_shape].

        Raises StoreError for an unknown track and for a range that does not lie within it.
        """
        i = self.index(track) if isinstance(track, str) else int(track)
        if not 0 <= i < len(self):
            raise StoreError(f"There is no track number {i} in {self._paths[0]} ({len(self)} tracks).")
        length = int(self.lengths[i])
        stop = length if stop is None else int(stop)
        if not 0 <= start < stop <= length:
            raise StoreError(f"Track {self.names[i]!r} has items 0 to {length}; [{start}, {stop}) was asked for.")
        first = int(self._starts[i])
        return self._map(int(self._shard_of[i]))[first + start : first + stop].copy()

    def read_windows(
        self, tracks: np.ndarray, starts: np.ndarray, stops: np.ndarray, length: int, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Read many ranges at once, each centred between zeros in `length` items: [B, length, *item_shape].

        tracks, starts, stops [B]: numbers of the tracks and the range of each; 0 <= start < stop <= its length, stop - start <=
        length. Where the padding is odd, the greater half stands behind. `out` is filled when given.

        Raises StoreError when a range does not lie within its track.
        """
        tracks, starts, stops = (np.asarray(values, dtype=np.int64) for values in (tracks, starts, stops))
        valid = stops - starts
        if len(tracks) and (tracks.min() < 0 or tracks.max() >= len(self)):
            raise StoreError(f"Track numbers from {tracks.min()} to {tracks.max()} were asked for; there are {len(self)} tracks.")
        if ((starts < 0) | (valid < 1) | (valid > length) | (stops > self.lengths[tracks])).any():
            raise StoreError(f"A window does not lie within its track, or is longer than {length}.")
        if out is None:
            out = np.empty((len(tracks), length, *self.item_shape), dtype=self.dtype)
        firsts = (self._starts[tracks] + starts).tolist()
        lefts = ((length - valid) // 2).tolist()
        for row, (shard, first, n, left) in enumerate(zip(self._shard_of[tracks].tolist(), firsts, valid.tolist(), lefts)):
            data = self._map(shard)
            if n == length:
                out[row] = data[first : first + n]
            else:
                out[row, :left] = 0
                out[row, left : left + n] = data[first : first + n]
                out[row, left + n :] = 0
        return out

    def read_many(self, tracks: np.ndarray, stop: int | None = None) -> np.ndarray:
        """Return the items of many tracks, one track after the other, [sum of their lengths, *item_shape], without a loop over tracks.

        tracks: their numbers. stop: only so many first items of each. Raises StoreError for numbers that are not there.
        """
        tracks = np.asarray(tracks, dtype=np.int64)
        if len(tracks) and (tracks.min() < 0 or tracks.max() >= len(self)):
            raise StoreError(f"Track numbers from {tracks.min()} to {tracks.max()} were asked for; there are {len(self)} tracks.")
        counts = self.lengths[tracks] if stop is None else np.minimum(self.lengths[tracks], stop)
        within = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        rows, shard = np.repeat(self._starts[tracks], counts) + within, np.repeat(self._shard_of[tracks], counts)
        out = np.empty((len(rows), *self.item_shape), dtype=self.dtype)
        for number in np.unique(shard):
            here = shard == number
            out[here] = self._map(int(number))[rows[here]]
        return out

    def verify(self) -> None:
        """Read everything and compare checksums. Raises StoreError naming the first damaged track."""
        for first, index in zip(self._bounds.tolist(), self._shards):
            with open_regular(index.data_path, StoreError) as file:
                for i in range(len(index.lengths)):
                    name = self.names[first + i]
                    if not files.check_track(index, i, file, name):
                        raise StoreError(
                            f"Track {name!r} in {index.data_path} is damaged on disk (its checksum differs). Make it again."
                        )


StoreSource = str | Path | Iterable[str | Path] | TrackStore  # what TrackStore.open takes


def _unlike(a: files.Index, b: files.Index) -> str:
    parts = []
    for key in ("item_shape", "dtype"):
        if getattr(a.header, key) != getattr(b.header, key):
            parts.append(f"{key} {getattr(a.header, key)} and {getattr(b.header, key)}")
    for key in sorted({*a.header.attrs, *b.header.attrs}):
        if a.header.attrs.get(key) != b.header.attrs.get(key):
            parts.append(f"{key} {a.header.attrs.get(key)!r} and {b.header.attrs.get(key)!r}")
    return f"{a.path} and {b.path} cannot be opened as one store: they have {'; '.join(parts)}."
