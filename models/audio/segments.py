"""Bytes of a file: looked at anywhere without holding all of it, and put together anew for a decoder.

Containers are walked through a View. What a decoder is given in place of the file, where the file's own bytes would lead it astray (a tag behind
the sound, a header that tells a wrong length), is a list of Pieces read as one file.
"""

from __future__ import annotations

import bisect
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from ..bounded_files import open_regular
from ..errors import AudioError

_BLOCK = 1 << 20  # bytes held at a time
_MOST_ZEROS = 1 << 28  # bytes: what begins with more of nothing is no sound


@dataclass(frozen=True)
class Span:
    """Bytes start..stop of the file."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


Piece = Span | bytes


@dataclass(frozen=True)
class Link:
    """One stream of a file, for a decoder to read from its beginning to its end.

    pieces: what it is read from; (): the file as it is. frames: samples per channel, where they were counted. known: whether something that is
    known here begins it.
    """

    pieces: tuple[Piece, ...] = ()
    frames: int | None = None
    known: bool = True


@dataclass(frozen=True)
class Layout:
    """What a file's container says: its streams one after the other (none: it is of no kind that is known here), and remarks on them."""

    links: tuple[Link, ...] = ()
    remarks: tuple[str, ...] = ()


class CutOff(Exception):
    """The file ends before its sound does; the text says what is promised and what is there."""


class View:
    """A file's bytes by their places, a block of them in memory at a time."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self.size = file.seek(0, 2)
        self._start, self._block = 0, b""

    def at(self, start: int, n: int) -> bytes:
        """Return n bytes from `start`, fewer at the end of the file."""
        offset = start - self._start
        if offset < 0 or offset + n > len(self._block):
            self._file.seek(start)
            self._start, self._block, offset = start, self._file.read(max(n, _BLOCK)), 0
        return self._block[offset : offset + n]

    def number(self, start: int, n: int, order: str = "big") -> int:
        """Return n bytes as an unsigned integer."""
        return int.from_bytes(self.at(start, n), "little" if order == "little" else "big")

    def find(self, pattern: bytes, start: int, stop: int | None = None) -> int:
        """Return the place of the first `pattern` from `start` on (wholly before `stop`), -1 where there is none."""
        stop = self.size if stop is None else min(stop, self.size)
        at = start
        while at + len(pattern) <= stop:
            block = self.at(at, min(_BLOCK, stop - at))
            if (found := block.find(pattern)) >= 0:
                return at + found
            if len(block) < len(pattern):  # the file has become shorter
                return -1
            at += len(block) - len(pattern) + 1
        return -1

    def without_zeros(self, start: int) -> int:
        """Return the place of the first byte from `start` on that is not 0; the size where there is none, or only far behind."""
        at = start
        while at - start < _MOST_ZEROS and (block := self.at(at, _BLOCK)):
            if rest := block.lstrip(b"\0"):
                return at + len(block) - len(rest)
            at += len(block)
        return self.size


@dataclass
class Joined(io.RawIOBase):
    """Pieces of a file as one file, read only."""

    path: str
    pieces: Sequence[Piece]
    _place: int = 0
    _file: BinaryIO | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self._ends = list(itertools.accumulate(map(len, self.pieces)))

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Return the place that is read next."""
        return self._place

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place."""
        origin = 0 if whence == 0 else self._place if whence == 1 else (self._ends[-1] if self._ends else 0)
        self._place = max(0, origin + offset)
        return self._place

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        """Fill the buffer as far as there is something."""
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view):
            i = bisect.bisect_right(self._ends, self._place)
            if i == len(self.pieces):
                break
            piece = self.pieces[i]
            inside = self._place - (self._ends[i] - len(piece))
            n = min(len(view) - done, len(piece) - inside)
            part = piece[inside : inside + n] if isinstance(piece, bytes) else self._read(piece.start + inside, n)
            if not part:
                break
            view[done : done + len(part)] = part
            done += len(part)
            self._place += len(part)
        return done

    def _read(self, start: int, n: int) -> bytes:
        if self._file is None:
            self._file = open_regular(self.path, AudioError)  # closed with this object
        self._file.seek(start)
        return self._file.read(n)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
        super().close()
