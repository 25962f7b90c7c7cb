"""Names of millions of tracks in little memory: one run of bytes and where each name begins, in place of an object per name.

3.3 million names of 45 characters take 175 MB in place of 340 MB, 40 MB for finding them in place of a dict's 300 MB, and are saved and loaded as
they stand. Short lists stay lists: from COMPACT_FROM names on it pays.
"""

from __future__ import annotations

import itertools
import operator
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar, overload

import numpy as np

COMPACT_FROM = 200_000
T = TypeVar("T")


def repeats(values: Iterable[T]) -> list[T]:
    """Return the values that stood before, once for each time they come again."""
    seen: set[T] = set()
    found = []
    for value in values:
        if value in seen:
            found.append(value)
        seen.add(value)
    return found


class Names(Sequence[str]):
    """A fixed sequence of texts; slices are lists. Lone surrogates (file names in odd encodings) are kept.

    blob: all texts in UTF-8, one after the other. ends: int64 [N], where each ends.
    """

    __slots__ = ("_hashes", "_order", "blob", "ends")

    def __init__(self, blob: bytes, ends: np.ndarray):
        self.blob, self.ends = blob, np.asarray(ends, dtype=np.int64)
        self._hashes: np.ndarray | None = None
        self._order: np.ndarray | None = None

    @classmethod
    def of(cls, texts: Iterable[str]) -> Names:
        """Return names of these texts."""
        builder, rest = NamesBuilder(), iter(texts)
        while part := list(itertools.islice(rest, 65536)):
            builder.extend(part)
        return builder.names()

    def __reduce__(self) -> tuple:
        return Names, (self.blob, self.ends)

    def __len__(self) -> int:
        return len(self.ends)

    def _raw(self, i: int) -> bytes:
        return self.blob[self.ends[i - 1] if i else 0 : self.ends[i]]

    @overload
    def __getitem__(self, which: int) -> str: ...
    @overload
    def __getitem__(self, which: slice) -> list[str]: ...
    def __getitem__(self, which: int | slice) -> str | list[str]:
        """One text, or a list of those of a slice."""
        if isinstance(which, slice):
            return [self[i] for i in range(*which.indices(len(self)))]
        i = operator.index(which)
        i = i + len(self) if i < 0 else i
        if not 0 <= i < len(self):
            raise IndexError(f"There is no name {which}; there are {len(self)}.")
        return self._raw(i).decode("utf-8", "surrogatepass")

    def _raws(self) -> Iterator[bytes]:
        begin, blob = 0, self.blob
        for at in range(0, len(self), 65536):  # plain numbers are several times faster to slice by than numpy's
            for end in self.ends[at : at + 65536].tolist():
                yield blob[begin:end]
                begin = end

    def __iter__(self) -> Iterator[str]:
        return (raw.decode("utf-8", "surrogatepass") for raw in self._raws())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Names):
            return self.blob == other.blob and np.array_equal(self.ends, other.ends)
        if isinstance(other, list | tuple):
            return len(self) == len(other) and all(a == b for a, b in zip(self, other))
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self)} names: {', '.join(map(repr, self[:3]))}{', ...' if len(self) > 3 else ''}>"

    # -- finding

    def _hash_of_all(self) -> np.ndarray:
        return np.fromiter(map(hash, self._raws()), dtype=np.int64, count=len(self))

    def _index(self) -> tuple[np.ndarray, np.ndarray]:
        """Hashes in order, and whose they are."""
        if self._hashes is None or self._order is None:
            hashes = self._hash_of_all()
            order = np.argsort(hashes, kind="stable")
            self._hashes, self._order = hashes[order], order.astype(np.uint32 if len(self) < 2**32 else np.int64)
        return self._hashes, self._order

    def find(self, text: object) -> int:
        """Return the number of a text (its first), -1 when it is not among them."""
        if not isinstance(text, str):
            return -1
        raw = text.encode("utf-8", "surrogatepass")
        hashes, order = self._index()
        wanted = hash(raw)
        at = int(np.searchsorted(hashes, wanted))
        while at < len(hashes) and hashes[at] == wanted:
            if self._raw(int(order[at])) == raw:
                return int(order[at])
            at += 1
        return -1

    def find_all(self, texts: Sequence[str]) -> np.ndarray:
        """Return `find` of each text, int64 [n]."""
        if not isinstance(texts, Names):
            texts = Names.of(texts)
        wanted = texts._hash_of_all()
        hashes, order = self._index()
        at = np.minimum(np.searchsorted(hashes, wanted), max(len(hashes) - 1, 0))
        hit = hashes[at] == wanted if len(hashes) else np.zeros(len(wanted), bool)
        found = np.where(hit, order[at].astype(np.int64) if len(hashes) else -1, -1)
        for i in np.flatnonzero(hit).tolist():
            if self._raw(int(found[i])) != texts._raw(i):  # equal hashes of different texts, or worse luck
                found[i] = self.find(texts[i])
        return found

    def __contains__(self, text: object) -> bool:
        return self.find(text) >= 0

    def index(self, text: Any, *bounds: int) -> int:
        """Return a name's place, as a list does."""
        found = self.find(text)
        if bounds or found < 0:
            return list.index(list(self), text, *bounds)
        return found

    def twice(self) -> list[str]:
        """Return texts that stand more than once, each once, in the order of their first place."""
        hashes, order = self._index()
        same = np.flatnonzero(hashes[1:] == hashes[:-1])
        places = sorted({int(order[i]) for k in same for i in (k, k + 1)})
        seen: dict[bytes, int] = {}
        for i in places:
            seen[self._raw(i)] = seen.get(self._raw(i), 0) + 1
        return [raw.decode("utf-8", "surrogatepass") for raw, n in seen.items() if n > 1]

    def take(self, rows: Iterable[int]) -> Names:
        """Return the names of these numbers, in this order."""
        parts = [self._raw(i) for i in rows]
        return Names(b"".join(parts), np.cumsum(np.fromiter(map(len, parts), dtype=np.int64, count=len(parts))))


class NamesBuilder:
    """Names in the making."""

    def __init__(self) -> None:
        self._blob = bytearray()
        self._ends = array("q")

    def add(self, text: str) -> None:
        """Append one."""
        self._blob += text.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._blob))

    def extend(self, texts: list[str]) -> None:
        """Append many."""
        joined = "".join(texts)
        if joined.isascii():
            begin = len(self._blob)
            self._blob += joined.encode()
            ends = np.cumsum(np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))) + begin
            self._ends.frombytes(ends.tobytes())
        else:
            for text in texts:
                self.add(text)

    def extend_bytes(self, raw: bytes, lengths: np.ndarray) -> None:
        """Append many that stand as UTF-8 one after the other, of these lengths in bytes."""
        ends = np.cumsum(lengths, dtype=np.int64) + len(self._blob)
        self._blob += raw
        self._ends.frombytes(ends.tobytes())

    def __len__(self) -> int:
        return len(self._ends)

    def names(self) -> Names:
        """Return all that were added."""
        return Names(bytes(self._blob), np.frombuffer(self._ends, dtype=np.int64).copy() if self._ends else np.zeros(0, np.int64))


def compact(texts: Sequence[str]) -> Sequence[str]:
    """Return the texts as a list, or as Names where they are many."""
    if isinstance(texts, Names):
        return texts
    return list(texts) if len(texts) < COMPACT_FROM else Names.of(texts)


def chosen(texts: Sequence[str], rows: Sequence[int] | np.ndarray) -> Sequence[str]:
    """Return the texts of these numbers, in the kind that there is."""
    plain = rows.tolist() if isinstance(rows, np.ndarray) else rows
    return compact(texts.take(plain)) if isinstance(texts, Names) else [texts[i] for i in plain]


def finder(texts: Sequence[str]) -> Names | dict[str, int]:
    """Return what `positions` looks in."""
    return texts if isinstance(texts, Names) else {text: i for i, text in enumerate(texts)}


def positions(where: Names | dict[str, int], texts: Sequence[str]) -> np.ndarray:
    """Return the number of each text, int64 [n], -1 for what is not there."""
    if isinstance(where, Names):
        return where.find_all(texts)
    return np.fromiter((where.get(text, -1) for text in texts), dtype=np.int64, count=len(texts))
