"""WAV and its kin (RF64, BW64, Wave64), AIFF, AU and CAF: whether the sound that the header promises is there.

libsndfile reads a file that was cut off as if it were whole, nothing of one whose recorder died before it wrote the length (0), and the rest of a
division by 4 GiB of a WAV that grew beyond that.

Sources: the RIFF, EBU Tech 3306 (RF64), Sony Wave64, AIFF, NeXT/Sun AU and Apple CAF layouts.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from .segments import CutOff, Layout, Link, Span, View

_STREAMED = 0x7F000000  # sizes of 32 bits from here on are what writers put that did not know the length
_WRAP = 1 << 32
_W64 = bytes.fromhex("726966662e91cf11a5d628db04c10000")  # the identifier "riff" of Wave64
_W64_REST = bytes.fromhex("f3acd3118cd100c04f8edb8a")  # of its other identifiers, behind their four letters
_OPEN = (
    "its header does not tell its length (the recording was not closed, or was written to a pipe): read to the end of the file"
)


@dataclass(frozen=True)
class _Chunk:
    """A chunk of a RIFF-like file: its name, where its content begins, and its size in bytes as the file says it."""

    name: bytes
    start: int
    size: int


@dataclass(frozen=True)
class _Format:
    """Bytes of a frame (all channels) and frames per second; 0 where they are not known."""

    align: int = 0
    sample_rate: int = 0

    def words(self, n_bytes: int) -> str:
        """So many bytes, and seconds where they are known."""
        return f"{n_bytes} bytes" + (
            f" ({n_bytes / self.align / self.sample_rate:.2f} s)" if self.align and self.sample_rate else ""
        )


def is_pcm(view: View, at: int) -> bool:
    """Return whether a file of these kinds begins at a place."""
    head = view.at(at, 16)
    return (
        (head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] == b"WAVE")
        or head == _W64
        or (head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"))
        or (head[:4] in (b".snd", b"dns.") and len(head) == 16)
        or head[:8] == b"caff\0\1\0\0"
    )


def pcm_layout(view: View, at: int) -> Layout:
    """Return the stream of a file of these kinds that begins at a place.

    Raises CutOff where its header promises more sound than there is.
    """
    head = view.at(at, 12)
    if head[:4] in (b".snd", b"dns."):
        return _au(view, at)
    if head[:4] == b"caff":
        return _caf(view, at)
    if head[:4] == b"riff":
        return _wave64(view, at)
    if head[:4] == b"FORM":
        return _aiff(view, at)
    return _wav(view, at)


def _as_it_is(at: int, view: View) -> Layout:
    return Layout((Link(() if at == 0 else (Span(at, view.size),)),))


def _check(there: int, promised: int, form: _Format) -> None:
    if promised > there:
        raise CutOff(f"its header promises {form.words(promised)} of sound, {form.words(there)} are there")


def _chunks(view: View, at: int, order: str, stop_at: bytes) -> list[_Chunk]:
    """The chunks up to the one of the sound."""
    found = []
    while at + 8 <= view.size:
        found.append(_Chunk(view.at(at, 4), at + 8, view.number(at + 4, 4, order)))
        if found[-1].name == stop_at:
            break
        at += 8 + found[-1].size + found[-1].size % 2
    return found


def _is_end(view: View, at: int, order: str) -> bool:
    """Whether from a place on only whole chunks with names of letters stand, up to the end of the file."""
    while at + 8 <= view.size and view.at(at, 4).replace(b" ", b"a").isalnum():
        size = view.number(at + 4, 4, order)
        at += 8 + size + size % 2
    return at in (view.size, view.size + 1)


def _wav(view: View, at: int) -> Layout:
    magic = view.at(at, 4)
    order = "big" if magic == b"RIFX" else "little"
    chunks = _chunks(view, at + 12, order, b"data")
    if not chunks or chunks[-1].name != b"data":
        return _as_it_is(at, view)
    data, form, promised = chunks[-1], _Format(), chunks[-1].size
    for chunk in chunks:
        if chunk.name == b"fmt ":
            form = _Format(view.number(chunk.start + 12, 2, order), view.number(chunk.start + 4, 4, order))
            if view.number(chunk.start, 2, order) not in (
                1,
                3,
                6,
                7,
                0xFFFE,
            ):  # a coding whose blocks hold other numbers of frames
                form = _Format()
        elif chunk.name == b"ds64" and magic in (b"RF64", b"BW64") and data.size == 0xFFFFFFFF:
            promised = view.number(chunk.start + 8, 8, order)
    there = view.size - data.start
    wide = promised != data.size or (magic in (b"RF64", b"BW64") and data.size == 0xFFFFFFFF)
    unknown = promised == 0 or (promised >= _STREAMED and promised > there and not wide) or promised >= 1 << 63
    if unknown and there > 0 and not (promised == 0 and _is_end(view, data.start, order)):
        remark = _OPEN
    elif not wide and there >= _WRAP and not _is_end(view, data.start + promised + promised % 2, order):
        remark = f"its header tells {promised} bytes of sound, which is all that 32 bits can: the {there} bytes that are there are read"
    else:
        _check(there, promised, form)
        return _as_it_is(at, view) if wide else _further(view, at, data, form, order)
    return Layout((Link((_rf64_head(view, at, data, there, form.align, order), Span(data.start, view.size))),), (remark,))


def _further(view: View, at: int, data: _Chunk, form: _Format, order: str) -> Layout:
    """The file as it is; where its sound stands in several chunks, of which decoders read one, the sound of them all."""
    parts, place = [data], data.start + data.size + data.size % 2
    while place + 8 <= view.size and view.at(place, 4).replace(b" ", b"a").isalnum():
        chunk = _Chunk(view.at(place, 4), place + 8, view.number(place + 4, 4, order))
        if chunk.name == b"data" and chunk.size:
            parts.append(chunk)
        place = chunk.start + chunk.size + chunk.size % 2
    if len(parts) == 1:
        return _as_it_is(at, view)
    _check(sum(min(part.size, view.size - part.start) for part in parts), sum(part.size for part in parts), form)
    head = _rf64_head(view, at, data, sum(part.size for part in parts), form.align, order)
    spans = [Span(part.start, part.start + part.size) for part in parts]
    return Layout((Link((head, *spans)),), (f"its sound stands in {len(parts)} chunks, which are read one after the other",))


def _rf64_head(view: View, at: int, data: _Chunk, there: int, align: int, order: str) -> bytes:
    """All before the sound with the true size of it; beyond 4 GiB as RF64."""
    there -= there % align if align else 0
    before = view.at(at + 12, data.start - 8 - at - 12)
    if there + len(before) < _STREAMED:
        byte_order = "big" if order == "big" else "little"
        size = (4 + len(before) + 8 + there).to_bytes(4, byte_order)  # type: ignore[arg-type]
        magic = b"RIFX" if order == "big" else b"RIFF"
        return magic + size + b"WAVE" + _without(before, b"ds64") + b"data" + there.to_bytes(4, byte_order)  # type: ignore[arg-type]
    sizes = b"".join(n.to_bytes(8, "little") for n in (there + len(before) + 48, there, there // max(align, 1))) + bytes(4)
    rest = _without(before, b"ds64")
    return b"RF64\xff\xff\xff\xffWAVEds64" + len(sizes).to_bytes(4, "little") + sizes + rest + b"data\xff\xff\xff\xff"


def _without(chunks: bytes, name: bytes) -> bytes:
    """Chunks without one that comes first."""
    if chunks[:4] != name:
        return chunks
    size = int.from_bytes(chunks[4:8], "little")
    return chunks[8 + size + size % 2 :]


def _wave64(view: View, at: int) -> Layout:
    place, form = at + 40, _Format()
    while place + 24 <= view.size:
        name, size = view.at(place, 16), view.number(place + 16, 8, "little")
        if name == b"fmt " + _W64_REST:
            form = _Format(view.number(place + 36, 2, "little"), view.number(place + 28, 4, "little"))
        if name == b"data" + _W64_REST:
            there = view.size - place - 24
            if there and (size in (0, 24) or size >= 1 << 62):
                head = view.at(at, place - at)
                size = there + 24
                whole = (len(head) + size).to_bytes(8, "little")
                pieces = (head[:16] + whole + head[24:] + name + size.to_bytes(8, "little"), Span(place + 24, view.size))
                return Layout((Link(pieces),), (_OPEN,))
            _check(there, size - 24, form)
            if at or there > size - 24:  # libsndfile reads what stands behind as sound
                return Layout((Link((Span(at, place + size),)),))
            break
        if size < 24:
            break
        place += size + -size % 8
    return _as_it_is(at, view)


def _aiff(view: View, at: int) -> Layout:
    chunks = _chunks(view, at + 12, "big", b"SSND")
    comm = next((chunk for chunk in chunks if chunk.name == b"COMM"), None)
    if not chunks or chunks[-1].name != b"SSND":
        return _as_it_is(at, view)
    sound, form = chunks[-1], _Format()
    there = view.size - sound.start
    if comm is not None:
        channels, bits = view.number(comm.start, 2), view.number(comm.start + 6, 2)
        exponent, mantissa = view.number(comm.start + 8, 2), view.number(comm.start + 10, 8)
        rate = int(mantissa * 2.0 ** (exponent - 16383 - 63)) if exponent < 16383 + 40 else 0
        plain = view.at(at + 8, 4) == b"AIFF" or view.at(comm.start + 18, 4) in (b"NONE", b"sowt", b"twos")
        form = _Format(channels * -(-bits // 8) if plain else 0, rate)
    streamed = sound.size >= _STREAMED and sound.size > there  # as SoX puts it into a pipe
    nothing = sound.size <= 8 < there and not _is_end(view, sound.start + sound.size, "big")
    if (streamed or nothing) and comm is not None and form.align:
        frames = (there - 8) // form.align
        head = bytearray(view.at(at, sound.start - at))
        size = 8 + frames * form.align
        for place, number in ((at + 4, sound.start - at - 8 + size), (comm.start + 2, frames), (sound.start - 4, size)):
            head[place - at : place - at + 4] = number.to_bytes(4, "big")
        return Layout((Link((bytes(head), Span(sound.start, sound.start + size))),), (_OPEN,))
    if not streamed:
        _check(there - 8, sound.size - 8, form)
    return _as_it_is(at, view)


_AU_BYTES = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}


def _au(view: View, at: int) -> Layout:
    order = "big" if view.at(at, 4) == b".snd" else "little"
    start, promised, coding, rate, channels = (view.number(at + 4 * i, 4, order) for i in range(1, 6))
    there = max(view.size - at - start, 0)
    if promised == 0 and there:
        size = b"\xff\xff\xff\xff"  # the format's own word for a length that is not known
        return Layout((Link((view.at(at, 8) + size + view.at(at + 12, start - 12), Span(at + start, view.size))),), (_OPEN,))
    if promised == 0xFFFFFFFF:
        return Layout(_as_it_is(at, view).links, (_OPEN,))
    _check(there, promised, _Format(_AU_BYTES.get(coding, 0) * channels, rate))
    return _as_it_is(at, view)


def _caf(view: View, at: int) -> Layout:
    place, form = at + 8, _Format()
    while place + 12 <= view.size:
        name, size = view.at(place, 4), view.number(place + 4, 8)
        if name == b"desc":
            n_bytes, n_frames = view.number(place + 12 + 16, 4), view.number(place + 12 + 20, 4)
            rate = int(struct.unpack(">d", view.at(place + 12, 8))[0]) if view.size >= place + 44 else 0
            form = _Format(n_bytes, rate) if n_frames == 1 else _Format()
        if name == b"data":
            there = view.size - place - 12
            if size == (1 << 64) - 1 or (size <= 4 < there):
                head = view.at(at, place + 4 - at) + there.to_bytes(8, "big")
                return Layout((Link((head, Span(place + 12, view.size))),), (_OPEN,))
            _check(there - 4, size - 4, form)
            end = _end_of_caf(view, place + 12 + size)
            return _as_it_is(at, view) if end == view.size else Layout((Link((Span(at, end),)),))
        place += 12 + size
    return _as_it_is(at, view)


def _end_of_caf(view: View, at: int) -> int:
    """The end of the chunks from a place on: FFmpeg stumbles over what is none."""
    while at + 12 <= view.size and view.at(at, 4).isalnum() and at + 12 + view.number(at + 4, 8) <= view.size:
        at += 12 + view.number(at + 4, 8)
    return at
