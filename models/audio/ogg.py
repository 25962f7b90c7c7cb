"""Ogg: the streams of a file one after the other (chained, as web radio and `cat` make them), and whether the last one is whole.

Source: RFC 3533.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from .segments import CutOff, Layout, Link, Span, View

_FIRST, _LAST = 2, 4  # flags of a page
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True)
class _Page:
    start: int
    stop: int
    flags: int
    serial: int
    number: int


@dataclass
class _Stream:
    """One link of the chain: where it stands, and of each logical stream in it the last page."""

    start: int
    stop: int
    last: dict[int, _Page] = field(default_factory=dict)
    data_begun: bool = False
    lost: int = 0  # pages


def ogg_crc(page: bytes) -> int:
    """Return the checksum of a page whose own checksum is set to 0: zlib's, with the bits of everything in the other order."""
    crc = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{crc:032b}"[::-1], 2)


def page_at(view: View, at: int) -> _Page | None:
    """Return the whole, undamaged page at a place; None where there is none. Raises CutOff where the file ends inside it."""
    head = view.at(at, 27)
    if len(head) < 27 or head[:5] != b"OggS\0" or head[5] > 7:
        return None
    table = view.at(at + 27, head[26])
    stop = at + 27 + len(table) + sum(table)
    if len(table) < head[26] or stop > view.size:
        return None
    page = view.at(at, stop - at)
    if ogg_crc(page[:22] + bytes(4) + page[26:]) != int.from_bytes(page[22:26], "little"):
        return None
    return _Page(at, stop, head[5], int.from_bytes(head[14:18], "little"), int.from_bytes(head[18:22], "little"))


def _pages(view: View, at: int) -> Iterator[_Page]:
    while (at := view.find(b"OggS", at)) >= 0:
        page = page_at(view, at)
        if page is None:
            at += 4
        else:
            yield page
            at = page.stop


def find_ogg(view: View, at: int, stop: int) -> int:
    """Return the place before `stop` of the first page that begins a stream, -1 where there is none."""
    while (at := view.find(b"OggS", at, stop)) >= 0:
        page = page_at(view, at)
        if page is not None and page.flags & _FIRST:
            return at
        at += 4
    return -1


def ogg_layout(view: View, start: int) -> Layout:
    """Return the streams of an Ogg file that begins at `start`.

    Raises CutOff where the file ends inside a page.
    """
    streams: list[_Stream] = []
    for page in _pages(view, start):
        if page.flags & _FIRST and (not streams or streams[-1].data_begun):
            streams.append(_Stream(page.start, page.stop))
        if not streams:
            continue
        stream = streams[-1]
        before = stream.last.get(page.serial)
        stream.data_begun |= not page.flags & _FIRST
        if (
            before is not None and before.number > 2 and page.number != before.number + 1
        ):  # the first ones are headers: radio numbers on
            stream.lost += 1
        stream.last[page.serial] = page
        stream.stop = page.stop
    if not streams:
        return Layout()
    last = streams[-1]
    if lacking := _lacking(view, last.stop):
        raise CutOff(lacking)
    remarks = []
    if lost := sum(stream.lost for stream in streams):
        remarks.append(f"pages are missing or damaged in {lost} places")
    if not any(page.flags & _LAST for page in last.last.values()):
        remarks.append("its last page is not marked as the last: it may have been cut off")
    if len(streams) == 1 and last.start == 0 and last.stop == view.size:
        return Layout((Link(),), tuple(remarks))
    return Layout(tuple(Link((Span(stream.start, stream.stop),)) for stream in streams), tuple(remarks))


def _lacking(view: View, at: int) -> str | None:
    """What an Ogg page that begins behind the last whole one lacks, None where there is no such beginning."""
    rest = view.at(at, 27 + 255)
    if rest[:4] != b"OggS"[: len(rest)] or not rest:
        return None
    if len(rest) < 27 or len(rest) < 27 + rest[26]:
        return "it ends inside the header of an Ogg page"
    stop = at + 27 + rest[26] + sum(rest[27 : 27 + rest[26]])
    return f"it ends {stop - view.size} bytes before the end of an Ogg page" if stop > view.size else None
