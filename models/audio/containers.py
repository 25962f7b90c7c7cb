"""What a file's own bytes say about its length, where decoders do not say it: cut-off files and MP3s without a length header.

libsndfile reads a WAV or Ogg file that was cut off as if it were whole, and guesses the length of an MP3 that carries no Xing or
VBRI header from its first frame: a variable-bitrate one then ends early (30.0 s came out as 26.6 s), silently. The checks here
are made before decoding.

Sources: ISO/IEC 11172-3 (frame headers), RFC 3533 (Ogg pages), the RIFF and AIFF chunk layouts.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import BinaryIO, Literal

_STREAMED = 0x7FFF0000  # chunk sizes from here on are what writers put that did not know the length
_BITRATES = {  # kbit/s by (MPEG 1?, layer)
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # Hz by version bits
_SEARCH = 1 << 16  # bytes after the tags in which the first MPEG frame must begin


@dataclass(frozen=True)
class MpegFrame:
    """One MPEG audio frame's header."""

    version: int  # bits: 3 MPEG 1, 2 MPEG 2, 0 MPEG 2.5
    layer: int
    bitrate: int  # kbit/s
    sample_rate: int  # Hz
    mono: bool
    size: int  # bytes, header included

    @property
    def samples(self) -> int:
        if self.layer == 1:
            return 384
        return 576 if self.layer == 3 and self.version != 3 else 1152


@dataclass(frozen=True)
class MpegLength:
    """How long an MPEG audio file is: `promised` by its header frame (None without one), `counted` by walking its frames (None
    where not needed).

    Both in samples per channel at `sample_rate`, without regard to encoder delay and padding.
    """

    sample_rate: int
    promised: int | None
    counted: int | None
    vbr: bool


def mpeg_frame(data: bytes, at: int) -> MpegFrame | None:
    """The frame whose header stands at byte `at`, or None (free-format frames, which tell no size, included)."""
    if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] & 0xE0 != 0xE0:
        return None
    version, layer_bits = (data[at + 1] >> 3) & 3, (data[at + 1] >> 1) & 3
    bitrate_index, rate_index, padding = data[at + 2] >> 4, (data[at + 2] >> 2) & 3, (data[at + 2] >> 1) & 1
    if version == 1 or layer_bits == 0 or bitrate_index in (0, 15) or rate_index == 3:
        return None
    layer = 4 - layer_bits
    bitrate, rate = _BITRATES[version == 3, layer][bitrate_index], _RATES[version][rate_index]
    if layer == 1:
        size = (12000 * bitrate // rate + padding) * 4
    else:
        size = (72000 if layer == 3 and version != 3 else 144000) * bitrate // rate + padding
    return MpegFrame(version, layer, bitrate, rate, data[at + 3] >> 6 == 3, size)


def mpeg_length(path: str | os.PathLike[str]) -> MpegLength | None:
    """The length of an MPEG audio file (MP3, MP2), or None when no frame is found at its start.

    The frames are walked only where the header frame is absent, tells no length or does not fit the file's size.
    """
    with open(path, "rb") as file:
        start = _skip_tags(file)
        file.seek(start)
        head = file.read(_SEARCH)
        found = _first_frame(head)
        if found is None:
            return None
        offset, first = found
        promised, n_bytes = _header_frame(head, offset, first)
        size = os.fstat(file.fileno()).st_size - start - offset
        if promised is not None and n_bytes is not None and abs(size - n_bytes) <= 4096:  # tags behind the audio are small
            return MpegLength(first.sample_rate, promised, None, vbr=False)
        file.seek(start + offset)
        data = file.read()
    at, counted, rates = 0, 0, set()
    while True:
        frame = mpeg_frame(data, at)
        if frame is None or frame.sample_rate != first.sample_rate:
            at = _resync(data, at, first)
            if at < 0:
                break
            continue
        counted += frame.samples
        rates.add(frame.bitrate)
        at += frame.size
    if promised is not None:
        counted -= first.samples  # the header frame itself is silent
    return MpegLength(first.sample_rate, promised, counted, vbr=len(rates) > 1)


def _skip_tags(file: BinaryIO) -> int:
    """The byte behind the ID3v2 tags (there may be several)."""
    at = 0
    while True:
        file.seek(at)
        head = file.read(10)
        if len(head) < 10 or head[:3] != b"ID3":
            return at
        size = (head[6] & 127) << 21 | (head[7] & 127) << 14 | (head[8] & 127) << 7 | head[9] & 127
        at += 10 + size + (10 if head[5] & 0x10 else 0)


def _first_frame(head: bytes) -> tuple[int, MpegFrame] | None:
    """The first frame that another like it follows: two in a row are no coincidence."""
    at = head.find(b"\xff")
    while at >= 0:
        frame = mpeg_frame(head, at)
        if frame is not None:
            after = mpeg_frame(head, at + frame.size)
            if (after is not None and _alike(after, frame)) or at + frame.size == len(head):
                return at, frame
        at = head.find(b"\xff", at + 1)
    return None


def _alike(a: MpegFrame, b: MpegFrame) -> bool:
    return (a.version, a.layer, a.sample_rate) == (b.version, b.layer, b.sample_rate)


def _resync(data: bytes, at: int, first: MpegFrame) -> int:
    """The next byte from which two frames like `first` follow each other, or -1: there may be a tag or damage between."""
    while True:
        at = data.find(b"\xff", at + 1)
        if at < 0:
            return -1
        frame = mpeg_frame(data, at)
        if frame is not None and _alike(frame, first):
            after = mpeg_frame(data, at + frame.size)
            if after is not None and _alike(after, first):
                return at


def _header_frame(head: bytes, at: int, frame: MpegFrame) -> tuple[int | None, int | None]:
    """Samples and bytes that a Xing, Info or VBRI header in the first frame promises; None each where it does not."""
    side = (17 if frame.mono else 32) if frame.version == 3 else (9 if frame.mono else 17)
    xing = at + 4 + side
    if head[xing : xing + 4] in (b"Xing", b"Info"):
        flags = int.from_bytes(head[xing + 4 : xing + 8], "big")
        fields = [int.from_bytes(head[xing + 8 + 4 * i : xing + 12 + 4 * i], "big") for i in range(2)]
        frames = fields[0] if flags & 1 else None
        n_bytes = fields[1 if flags & 1 else 0] if flags & 2 else None
        return (None if frames is None else frames * frame.samples), n_bytes
    if head[at + 36 : at + 40] == b"VBRI":
        n_bytes, frames = (int.from_bytes(head[at + i : at + i + 4], "big") for i in (46, 50))
        return frames * frame.samples, n_bytes
    return None, None


def cut_off(path: str | os.PathLike[str]) -> str | None:
    """Why a WAV, AIFF or Ogg file is certainly incomplete, in words, or None.

    A WAV or AIFF is when its sound chunk promises more bytes than the file has, an Ogg file when it ends inside a page. A length
    that the writer left open (streamed WAV) promises nothing.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        magic = file.read(12)
        if magic[:4] == b"OggS":
            return _cut_ogg(file, size)
        if magic[:4] in (b"RIFF", b"RIFX", b"FORM"):
            return _cut_chunks(file, size, "little" if magic[:4] == b"RIFF" else "big")
    return None


def _cut_chunks(file: BinaryIO, size: int, order: Literal["little", "big"]) -> str | None:
    at = 12
    while at + 8 <= size:
        file.seek(at)
        head = file.read(8)
        length = int.from_bytes(head[4:], order)
        if head[:4] in (b"data", b"SSND"):
            there = size - at - 8
            if length > there and length < _STREAMED:
                return f"its header promises {length} bytes of sound, {there} are there"
            return None
        at += 8 + length + length % 2
    return None


def _cut_ogg(file: BinaryIO, size: int) -> str | None:
    tail = min(size, 1 << 17)  # two pages at their largest
    file.seek(size - tail)
    data = file.read(tail)
    at = data.rfind(b"OggS")
    while at >= 0:
        n_segments = data[at + 26] if at + 26 < len(data) else None
        table = data[at + 27 : at + 27 + n_segments] if n_segments is not None else b""
        if n_segments is None or len(table) < n_segments:
            return "it ends inside the header of an Ogg page"
        end = at + 27 + n_segments + sum(table)
        if data[at + 4] == 0:  # else four letters that occur by chance
            return f"it ends {end - len(data)} bytes before the end of an Ogg page" if end > len(data) else None
        at = data.rfind(b"OggS", 0, at)
    return None
