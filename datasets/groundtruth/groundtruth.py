"""Groundtruth: which labels each track has.

Conventions: a key names a track by its audio file's path relative to the audio folder; labels are columns, in a fixed order; the
matrix is boolean and packed, eight labels to a byte (3.3 million tracks of 400 labels: 165 MB). Files of labels are read by
`Groundtruth.read` (read.py).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from models.errors import GroundtruthError, listed

from ..utils.names import Names, chosen, compact, finder, positions
from .groups import Groups
from .repeats import kinds, twice
from .split_names import CHECK, SPLITS, split_names

MOST_LABELS = 1_000_000  # beyond it a file is damaged, or meant to exhaust the memory
MOST_MATRIX = 1 << 30  # bytes of the packed matrix: ten million tracks with 800 labels
BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).astype(
    np.int64
)  # which labels a packed byte holds [256, 8]
_AUDIO_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,5}$")


class Groundtruth:
    """Keys, label names and the packed matrix, with optional splits and groups.

    keys: [N] names of tracks. labels: [L] names of columns. packed: [N, ceil(L / 8)] uint8, np.packbits of the boolean rows.
    split: [N] 'train', 'val' or 'test'. group: [N] what must not be torn apart by a split (artist, album).
    checked: no track or label stands twice, as the caller knows. faulty: taken as it is, for those who look for faults (datasets/collection): tracks
    may stand twice, and a split may be anything.

    Raises GroundtruthError for no tracks, keys or labels that stand twice, and parts that do not fit one another.
    """

    read: ClassVar[Callable[..., Groundtruth]]  # datasets.groundtruth.read.read; attached by the package, which knows both

    def __init__(
        self,
        keys: Sequence[str],
        labels: Sequence[str],
        packed: np.ndarray,
        split: Sequence[str] | None = None,
        group: Sequence[str] | None = None,
        checked: bool = False,
        faulty: bool = False,
    ):
        self.keys: Sequence[str] = compact(keys)
        self.labels = list(labels)
        self.packed = packed
        if not self.keys:
            raise GroundtruthError("The groundtruth is empty: it names no track.")
        if packed.shape != (len(self.keys), (len(self.labels) + 7) // 8) or packed.dtype != np.uint8:
            raise GroundtruthError(
                f"{len(self.keys)} tracks and {len(self.labels)} labels do not fit a packed matrix of {packed.shape} {packed.dtype}."
            )
        for what, values in (("split", split), ("group", group)):
            if values is not None and len(values) != len(self.keys):
                raise GroundtruthError(f"{len(self.keys)} tracks, but {len(values)} values of {what}.")
        for what, names in () if checked else (("tracks", self.keys), ("labels", self.labels)):
            if not (faulty and what == "tracks") and (again := twice(names)):
                found = f"{len(again)} {what} stand more than once in the groundtruth: {listed(again)}"
                if what == "tracks":
                    found += f" ({kinds(self.keys, again, lambda i, j: bool((packed[i] == packed[j]).all()), split)}). {CHECK}"
                raise GroundtruthError(found if what == "tracks" else f"{found}.")
        self.group = None if group is None else Groups(group)
        self.split = None if split is None else split_names(split, self.keys, faulty)

    # -- making

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, object], labels: Sequence[str] | None = None) -> Groundtruth:
        """Make it from {key: labels}. All values alike: 0/1 vectors [L] (numpy or lists), or lists or tuples of label names, or of label
        numbers.

        Lists of numbers count as vectors when all have the same length, two or more, and hold 0 and 1 only; as label numbers
        otherwise. `labels` names the columns; without it names are sorted, and columns known by number only are named "0", "1",
        ...

        Raises GroundtruthError naming the track that does not fit.
        """
        if not mapping:
            raise GroundtruthError("The groundtruth is empty: it names no track.")
        values = list(mapping.values())
        return cls.from_rows(list(mapping), values, labels)

    @classmethod
    def from_rows(
        cls,
        keys: Sequence[str],
        values: Sequence[object],
        labels: Sequence[str] | None = None,
        split: Sequence[str] | None = None,
        group: Sequence[str] | None = None,
        faulty: bool = False,
    ) -> Groundtruth:
        """Make it as from_mapping does, with keys and values apart. faulty: as of Groundtruth."""
        labels = None if labels is None else list(labels)
        values = [[value] if isinstance(value, str) else value for value in values]
        if _are_vectors(values, labels):
            labels, packed = _pack_vectors(keys, values, labels)
        else:
            labels, packed = _pack_lists(keys, values, labels)
        if not labels:
            raise GroundtruthError("The groundtruth has no labels.")
        return cls(keys, labels, packed, split, group, faulty=faulty)

    @classmethod
    def unlabelled(cls, keys: Sequence[str], split: Sequence[str] | None = None) -> Groundtruth:
        """Return tracks without labels (L = 0), for training that needs none."""
        return cls(keys, [], np.zeros((len(keys), 0), dtype=np.uint8), split)

    # -- reading it

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def n_labels(self) -> int:
        """L."""
        return len(self.labels)

    def _unpack(self, rows: np.ndarray) -> np.ndarray:
        return np.unpackbits(rows, axis=-1, count=self.n_labels)

    def matrix(self) -> np.ndarray:
        """Return all rows, bool [N, L]."""
        return self._unpack(self.packed).astype(bool)

    def row(self, i: int) -> np.ndarray:
        """Return one track's labels, bool [L]."""
        return self._unpack(self.packed[i]).astype(bool)

    def targets(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return rows as training targets, float32 [n, L]."""
        return self._unpack(self.packed[np.asarray(indices, dtype=np.int64)]).astype(np.float32)

    @property
    def counts(self) -> np.ndarray:
        """Tracks that have each label, int64 [L]."""
        if not self.labels:
            return np.zeros(0, dtype=np.int64)
        per_byte = [np.bincount(self.packed[:, byte], minlength=256) @ BITS for byte in range(self.packed.shape[1])]
        return np.concatenate(per_byte)[: self.n_labels]

    @property
    def n_unlabelled(self) -> int:
        """Tracks without any label."""
        return int((~self.packed.any(axis=1)).sum())

    # -- parts of it

    def subset(self, which: Sequence[str] | Sequence[int] | np.ndarray) -> Groundtruth:
        """Return the tracks of these keys or numbers, in this order. Raises GroundtruthError for unknown keys."""
        if len(which) and isinstance(which[0], str):
            keys = [str(key) for key in which]
            rows = positions(finder(self.keys), keys)
            unknown = [keys[i] for i in np.flatnonzero(rows < 0).tolist()]
            if unknown:
                raise GroundtruthError(f"{len(unknown)} of {len(which)} tracks are not in the groundtruth: {listed(unknown)}.")
        else:
            rows = np.asarray(which, dtype=np.int64)

        def pick(values: list[str] | None) -> list[str] | None:
            return None if values is None else [values[i] for i in rows.tolist()]

        return Groundtruth(
            chosen(self.keys, rows), self.labels, self.packed[rows], pick(self.split), self.group and self.group.pick(rows)
        )

    def with_split(self, split: Sequence[str]) -> Groundtruth:
        """Return the same tracks with each one's split ('train', 'val', 'test')."""
        return Groundtruth(self.keys, self.labels, self.packed, split, self.group)

    def with_labels(self, labels: Sequence[str]) -> Groundtruth:
        """Return the same tracks with their labels in another order. Raises GroundtruthError where these are other labels."""
        if sorted(labels) != sorted(self.labels):
            other = sorted(set(labels) ^ set(self.labels))
            raise GroundtruthError(f"These are other labels than the groundtruth's: only one of the two has {listed(other)}.")
        place = {label: i for i, label in enumerate(self.labels)}
        order = [place[label] for label in labels]
        packed = np.packbits(self._unpack(self.packed)[:, order], axis=-1)
        return Groundtruth(self.keys, labels, packed, self.split, self.group, checked=True)

    @property
    def splits(self) -> dict[str, Groundtruth]:
        """{split: its tracks}; {} when the groundtruth has no splits (splits.py makes them)."""
        if self.split is None:
            return {}
        of = np.array([SPLITS.index(name) for name in self.split], dtype=np.int8)
        rows = {name: np.flatnonzero(of == i) for i, name in enumerate(SPLITS)}
        return {name: self.subset(numbers) for name, numbers in rows.items() if len(numbers)}


def _are_vectors(values: list, labels: list[str] | None) -> bool:
    if any(isinstance(value, np.ndarray) for value in values):
        return True
    first = len(values[0]) if isinstance(values[0], list | tuple) else 0
    if first < 2 or (labels is not None and first != len(labels)):
        return False
    plain = (bool, int, float, np.bool_, np.integer, np.floating)
    return all(len(value) == first and all(isinstance(x, plain) and x in (0, 1) for x in value) for value in values)


def check_size(tracks: int, n: int) -> None:
    """Raise GroundtruthError for more labels than MOST_LABELS, and for a matrix of tracks and labels that would fill the memory."""
    if n > MOST_LABELS:
        raise GroundtruthError(
            f"There would be {n} labels; {MOST_LABELS:,} are the most that are taken. Are these label numbers?"
        )
    if (size := tracks * ((n + 7) // 8)) > MOST_MATRIX:
        raise GroundtruthError(
            f"{tracks:,} tracks x {n:,} labels would take {size / 1e9:.1f} GB; {MOST_MATRIX / 1e9:.1f} GB are the most that are taken. Are these "
            "label numbers, or a name for each track?"
        )


def _pack_vectors(keys: Sequence[str], values: list, labels: list[str] | None) -> tuple[list[str], np.ndarray]:
    n = len(labels) if labels is not None else int(np.size(values[0]))
    check_size(len(keys), n)
    packed = np.zeros((len(keys), (n + 7) // 8), dtype=np.uint8)
    for i, value in enumerate(values):
        vector = np.asarray(value)
        if vector.shape != (n,):
            wanted = f"{n} labels are named" if labels is not None else f"the track before it has {n}"
            raise GroundtruthError(f"{keys[i]!r} has a label vector of shape {list(vector.shape)}; {wanted}.")
        if vector.dtype.kind not in "biuf" or not ((vector == 0) | (vector == 1)).all():
            raise GroundtruthError(f"The label vector of {keys[i]!r} must hold 0 and 1 only.")
        packed[i] = np.packbits(vector.astype(bool))
    return labels if labels is not None else [str(i) for i in range(n)], packed


def _pack_lists(keys: Sequence[str], values: list, labels: list[str] | None) -> tuple[list[str], np.ndarray]:
    kinds = set()
    for key, value in zip(keys, values):
        if not isinstance(value, list | tuple):
            raise GroundtruthError(
                f"The labels of {key!r} are a {type(value).__name__}; a list of names or numbers, or a 0/1 vector, is wanted."
            )
        kinds |= {
            str if isinstance(x, str) else int if isinstance(x, int | np.integer) and not isinstance(x, bool) else type(x)
            for x in value
        }
    if not kinds <= {str} and not kinds <= {int}:
        raise GroundtruthError(
            f"Labels are names or numbers, the same for all tracks; got {', '.join(sorted(kind.__name__ for kind in kinds))} "
            f"(if they are 0/1 vectors: are they of one length{f', {len(labels)}' if labels else ''}?)."
        )
    if kinds == {int}:
        top = max(max(value, default=-1) for value in values)
        check_size(len(values), top + 1)
        labels = labels if labels is not None else [str(i) for i in range(top + 1)]
        column: dict = {i: i for i in range(len(labels))}
    else:
        labels = labels if labels is not None else sorted({x for value in values for x in value})
        column = {name: i for i, name in enumerate(labels)}
    unknown = sorted({x for value in values for x in value if x not in column})
    if unknown:
        raise GroundtruthError(
            f"{len(unknown)} labels of the tracks are not among the {len(labels)} that are named: {listed(unknown)}."
        )
    check_size(len(keys), len(labels))
    packed = np.zeros((len(keys), (len(labels) + 7) // 8), dtype=np.uint8)
    for i, value in enumerate(values):
        for x in value:
            c = column[x]
            packed[i, c >> 3] |= 128 >> (c & 7)  # np.packbits' order: the first label is the highest bit
    return labels, packed


@dataclass(frozen=True)
class Match:
    """Which track of a store each key means: numbers [N] int64, -1 where the store has none; and those keys."""

    numbers: np.ndarray
    absent: list[str]

    def message(self, what: str = "the store") -> str:
        """Return how many are absent, and which."""
        n = len(self.numbers)
        return f"{len(self.absent)} of {n} tracks of the groundtruth are not in {what}: {listed(self.absent)}."


def without_suffix(name: str) -> str:
    """Return 'a/b.flac' -> 'a/b'; a dot that does not begin a suffix stays ('01. Song')."""
    return _AUDIO_SUFFIX.sub("", name)


def _stem(name: str) -> str:
    """What two ways of writing one path have in common: no suffix, no './', forward slashes, composed accents (macOS lists them decomposed), no
    white space around it (tables are read without).
    """
    return without_suffix(unicodedata.normalize("NFC", name.replace("\\", "/")).strip().removeprefix("./"))


def find(keys: Sequence[str], names: Sequence[str]) -> tuple[np.ndarray, dict[int, list[int]]]:
    """Return the number of each key among a store's names, int64 [N], -1 where there is none, and the rows that fit several names (with those).

    By the exact name, else by the path without its suffix ('a/b.mmap' finds 'a/b.flac'), where the kind of slash, a leading './' and the way in
    which accents are encoded make no difference.
    """
    numbers = positions(finder(names), keys)
    missing = np.flatnonzero(numbers < 0)
    if not len(missing):
        return numbers, {}
    stems: Sequence[str] = Names.of(map(_stem, names)) if isinstance(names, Names) else [_stem(name) for name in names]
    wanted = [_stem(keys[row]) for row in missing.tolist()]
    numbers[missing] = positions(finder(stems), wanted)
    shared = set(twice(stems)).intersection(wanted)
    where: dict[str, list[int]] = {stem: [] for stem in shared}
    for i, stem in enumerate(stems) if shared else ():
        if stem in shared:
            where[stem].append(i)
    several = {row: where[stem] for row, stem in zip(missing.tolist(), wanted) if stem in shared}
    numbers[list(several)] = -1
    return numbers, several


def match(keys: Sequence[str], names: Sequence[str]) -> Match:
    """Find as `find` does, where every key must mean one track of its own or none.

    Raises GroundtruthError when a key fits several names, or two keys mean the same track.
    """
    numbers, several = find(keys, names)
    for row, found in several.items():
        raise GroundtruthError(
            f"{keys[row]!r} may mean {listed([names[i] for i in found])}. Write the audio file's full name with its suffix. "
            + CHECK
        )
    there = numbers[numbers >= 0]
    if len(there) and np.bincount(there).max() > 1:
        rows = np.flatnonzero(numbers == np.flatnonzero(np.bincount(there) > 1)[0]).tolist()
        raise GroundtruthError(
            f"{listed([keys[i] for i in rows])} mean the same track of the store, {names[int(numbers[rows[0]])]!r}. {CHECK}"
        )
    return Match(numbers, [keys[i] for i in np.flatnonzero(numbers < 0).tolist()])
