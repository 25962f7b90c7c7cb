"""FLAC: how many samples there really are, where the header does not know it (written to a pipe) or something stands before or behind the sound.

Source: RFC 9639.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .segments import CutOff, Layout, Link, Piece, Span, View

_SYNC = re.compile(rb"\xff[\xf8\xf9]")
_TAIL = 1 << 16  # bytes before the end in which the last frame is looked for first
_BLOCK = 1 << 20
_LONGEST = 1 << 16  # bytes of a last frame, as a rule


def _crc_table(polynomial: int, bits: int) -> list[int]:
    top, mask, table = 1 << (bits - 1), (1 << bits) - 1, []
    for value in range(256):
        value <<= bits - 8
        for _ in range(8):
            value = ((value << 1) ^ polynomial if value & top else value << 1) & mask
        table.append(value)
    return table


_CRC8, _CRC16 = _crc_table(0x07, 8), _crc_table(0x8005, 16)


@dataclass(frozen=True)
class StreamInfo:
    """The block STREAMINFO at byte `at` (of the marker fLaC), as far as it matters: samples per block, Hz, samples in all (0: not known), and
    the place of the first frame.
    """

    at: int
    block: int
    sample_rate: int
    total: int
    first_frame: int


@dataclass(frozen=True)
class _Frame:
    """A frame's header: its place, its length in bytes, its first sample and its number of samples."""

    at: int
    length: int
    start: int
    samples: int


def stream_info(view: View, at: int) -> StreamInfo | None:
    """Return what the header at a place says; None where there is none."""
    head = view.at(at, 42)
    if len(head) < 42 or head[:4] != b"fLaC" or head[4] & 127 or head[5:8] != b"\0\0\x22":
        return None
    bits = int.from_bytes(head[18:26], "big")
    place, last = at + 4, False
    while not last:
        block = view.at(place, 4)
        if len(block) < 4:
            return None
        last = bool(block[0] & 128)
        place += 4 + int.from_bytes(block[1:], "big")
    return StreamInfo(at, int.from_bytes(head[8:10], "big"), bits >> 44, bits & (1 << 36) - 1, place)


def flac_layout(view: View, start: int) -> Layout:
    """Return the streams of a FLAC file whose marker stands at `start`: one, as a rule; further ones that were put behind it.

    Raises CutOff where the header promises more than there is, or the last frame is not whole.
    """
    links, remarks, at = [], [], start
    while at >= 0 and (info := stream_info(view, at)) is not None:
        last = _last_frame(view, info)
        frames = 0 if last is None else last.start + last.samples
        if info.total > frames:
            raise CutOff(
                f"its header promises {info.total / info.sample_rate:.2f} s, {frames / info.sample_rate:.2f} s are there without a gap"
            )
        ends = (view.size, view.size) if last is None else _ends_of(view, last)
        if ends is None:
            raise CutOff(f"it ends inside its last frame, at {frames / info.sample_rate:.2f} s")
        if info.total == 0:
            remarks.append("its header does not tell its length: its frames were counted")
        elif info.total < frames:
            remarks.append(
                f"its header tells {info.total / info.sample_rate:.2f} s, {frames / info.sample_rate:.2f} s are there and are read"
            )
        as_it_is = at == 0 and ends[1] == view.size and info.total == frames
        links.append(Link(() if as_it_is else _pieces(view, info, frames, ends[1]), frames))
        at = view.find(b"fLaC", ends[0])
    return Layout(tuple(links), tuple(dict.fromkeys(remarks)))


def _pieces(view: View, info: StreamInfo, frames: int, end: int) -> tuple[Piece, ...]:
    """The stream with the true number of samples in its header, and without the other blocks of it."""
    head = bytearray(view.at(info.at, 42))
    head[4] = 128
    bits = int.from_bytes(head[18:26], "big")
    head[18:26] = (bits >> 36 << 36 | frames).to_bytes(8, "big")
    return bytes(head), Span(info.first_frame, end)


def _last_frame(view: View, info: StreamInfo) -> _Frame | None:
    """The last frame: found from the end where the length is known, else by walking them all."""
    if info.total:
        tail = max(info.first_frame, view.size - _TAIL)
        data = view.at(tail, view.size - tail)
        for found in reversed(list(_SYNC.finditer(data))):
            frame = _frame(data[found.start() : found.start() + 16], tail + found.start(), info)
            if frame is not None and frame.start + frame.samples == info.total:
                return frame
    at, expected, last = info.first_frame, 0, None
    while at < view.size:
        data = view.at(at, _BLOCK)
        for found in _SYNC.finditer(data):
            place = found.start()
            if place + 16 > len(data) and at + len(data) < view.size:
                break
            frame = _frame(data[place : place + 16], at + place, info)
            if frame is not None and frame.start == expected:
                last, expected = frame, frame.start + frame.samples
        if at + len(data) >= view.size or len(data) < 32:
            break
        at += len(data) - 16
    return last


def _frame(data: bytes, at: int, info: StreamInfo) -> _Frame | None:
    """The frame header at the beginning of `data`, None where there is none."""
    if len(data) < 6 or data[2] >> 4 == 0 or data[2] & 15 == 15 or data[3] >> 4 > 10 or data[3] & 1:
        return None
    ones = 8 - (~data[4] & 255).bit_length()  # of the number, coded as UTF-8 codes letters
    n_more = max(ones - 1, 0)
    if ones in (1, 8) or any(byte & 0xC0 != 0x80 for byte in data[5 : 5 + n_more]):
        return None
    number = data[4] & (127 >> ones)
    for byte in data[5 : 5 + n_more]:
        number = number << 6 | byte & 63
    place, code = 5 + n_more, data[2] >> 4
    if code in (6, 7):
        samples = int.from_bytes(data[place : place + code - 5], "big") + 1
        place += code - 5
    else:
        samples = 192 if code == 1 else 144 << code if code < 6 else 1 << code
    place += {12: 1, 13: 2, 14: 2}.get(data[2] & 15, 0)
    if place >= len(data):
        return None
    crc = 0
    for byte in data[:place]:
        crc = _CRC8[crc ^ byte]
    if crc != data[place]:
        return None
    return _Frame(at, place + 1, number if data[1] & 1 else number * info.block, samples)


def _ends_of(view: View, frame: _Frame) -> tuple[int, int] | None:
    """The first and the last place behind a frame at which its checksum fits (one by chance where something unknown stands behind it), None when
    it is not whole.
    """
    data = view.at(frame.at, min(view.size - frame.at, 1 << 24))
    crc, fits = 0, []
    for n, byte in enumerate(data, start=1):
        crc = (crc << 8 & 0xFF00) ^ _CRC16[crc >> 8 ^ byte]
        if crc == 0 and n > frame.length + 2:
            fits.append(frame.at + n)
        if n > _LONGEST and fits:
            break
    return (fits[0], fits[-1]) if fits else None
