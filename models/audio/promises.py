"""What the sizes in other containers promise: MP4, Matroska and WebM, AVI, TTA, WavPack, Monkey's Audio, Windows Media, DSF, NIST
SPHERE and 8SVX.

FFmpeg reads as far as a file goes and says nothing. Each function returns what a file lacks, in words, or None.

Sources: ISO/IEC 14496-12 (boxes), RFC 8794 and 9559 (EBML, Matroska), the AVI, ASF, TTA1, WavPack 5, Monkey's Audio and Sony DSF layouts,
NIST's SPHERE headers and EA IFF 85 (8SVX).
"""

from __future__ import annotations

import re
import struct

from .segments import View

_BOXES = frozenset(b"ftyp moov mdat free skip wide moof mfra sidx styp uuid udta meta pdin prft emsg ssix".split())
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_LONGEST_INDEX = 64 << 20  # bytes
_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067
_CLUSTER = 0x1F43B675
_IN_SEGMENT = frozenset(
    [0x114D9B74, 0x1549A966, 0x1654AE6B, _CLUSTER, 0x1C53BB6B, 0x1254C367, 0x1043A770, 0x1941A469, 0xEC, 0xBF]
)
_IN_CLUSTER = frozenset([0xE7, 0xA3, 0xA0, 0xAB, 0xA7, 0x5854])


def lacking(view: View, at: int) -> str | None:
    """Return what a file of one of these kinds that begins at `at` lacks; None for a whole one, and for other kinds."""
    head = view.at(at, 16)
    for begins, check in (
        (head[4:8] in _BOXES, _boxes),
        (head[:4] == b"\x1a\x45\xdf\xa3", _matroska),
        (head[:4] == b"RIFF" and head[8:11] == b"AVI", _avi),
        (head[:4] == b"TTA1", _tta),
        (head[:4] == b"wvpk", _wavpack),
        (head[:4] == b"MAC ", _ape),
        (head == _ASF_HEADER, _asf),
        (head[:4] == b"DSD ", _dsf),
        (head[:8] == b"NIST_1A\n", _nist),
        (head[:4] == b"FORM" and head[8:12] == b"8SVX", _svx),
    ):
        if begins:
            return check(view, at)
    return None


def is_promising(view: View, at: int) -> bool:
    """Return whether a file of one of these kinds begins at a place."""
    head = view.at(at, 16)
    return (
        head[:4] in (b"\x1a\x45\xdf\xa3", b"TTA1", b"wvpk", b"MAC ", b"DSD ")
        or head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide")
        or (head[:4] == b"RIFF" and head[8:11] == b"AVI")
        or (head[:4] == b"FORM" and head[8:12] == b"8SVX")
        or head == _ASF_HEADER
        or head[:8] == b"NIST_1A\n"
    )


def end_of_sound(view: View, at: int) -> int:
    """Return the place behind the sound of WavPack, SPHERE and 8SVX, whose decoders stumble over what stands there or play it; of others the end."""
    end, head = view.size, view.at(at, 4)
    if head == b"wvpk":
        end = at
        while view.at(end, 4) == b"wvpk" and end + 32 <= view.size:
            end += view.number(end + 4, 4, "little") + 8
    elif head == b"NIST" and (size := _size_of_nist(view, at)):
        end = at + size
    elif head == b"FORM":
        end = at + 8 + view.number(at + 4, 4)
    return min(end, view.size)


def _short(what: str, promised: int, there: int) -> str | None:
    return f"{what} promises {promised} bytes, {there} are there" if promised > there else None


def _boxes(view: View, at: int) -> str | None:
    promised = 0
    while at + 8 <= view.size:
        size, name = view.number(at, 4), view.at(at + 4, 4)
        if name == b"mdat" and size == 0:  # it reaches to the end of the file: the index tells how far that was
            return _short("its index", promised, view.size - at - 8)
        if name not in _BOXES or size == 0:  # something behind the file
            return None
        size = view.number(at + 8, 8) if size == 1 else size
        if size < 8:
            return None
        if at + size > view.size:
            return _short(f"its box '{name.decode()}'", size, view.size - at)
        if name == b"moov" and size <= _LONGEST_INDEX:
            promised = _bytes_of_samples(view.at(at, size))
        at += size
    return None


def _bytes_of_samples(index: bytes) -> int:
    """Of all tracks of an MP4's index."""
    total, at = 0, -1
    while (at := index.find(b"stsz", at + 1)) >= 0:
        each, count = (int.from_bytes(index[at + place : at + place + 4], "big") for place in (8, 12))
        table = index[at + 16 : at + 16 + 4 * count]
        total += each * count if each else sum(struct.unpack(f">{len(table) // 4}I", table[: len(table) // 4 * 4]))
    return total


def _vint(view: View, at: int, marked: bool) -> tuple[int, int]:
    """A number of EBML and its length in bytes; without its marker, or (an identifier) with it. (-1, 0): none."""
    first = view.at(at, 1)
    if not first or not first[0]:
        return -1, 0
    length = 9 - first[0].bit_length()
    value = view.number(at, length)
    return (value if marked else value & (1 << 7 * length) - 1), length


def _matroska(view: View, at: int) -> str | None:
    open_ended = False  # written to a pipe: the parts tell their sizes
    while at < view.size:
        name, n = _vint(view, at, True)
        size, m = _vint(view, at + n, False)
        content = at + n + m
        if not n or not m or not (name in (_EBML, _SEGMENT) or (open_ended and name in _IN_SEGMENT | _IN_CLUSTER)):
            return None
        if size == (1 << 7 * m) - 1:
            open_ended, at = True, content
            continue
        if content + size > view.size:
            what = {_SEGMENT: "its segment", _CLUSTER: "its last cluster"}.get(name, "its last element")
            return _short(what, size, view.size - content)
        at = content + size
    return None


def _avi(view: View, at: int) -> str | None:
    while view.at(at, 4) == b"RIFF" and at + 12 <= view.size:
        size = view.number(at + 4, 4, "little")
        if size in (0, 0xFFFFFFFF):
            return None
        if short := _short("its list", size, view.size - at - 8):
            return short
        at += 8 + size + size % 2
    return None


def _tta(view: View, at: int) -> str | None:
    rate, samples = view.number(at + 10, 4, "little"), view.number(at + 14, 4, "little")
    frame = 256 * rate // 245
    if not frame:
        return None
    n_frames = -(-samples // frame)
    table = at + 22
    data = table + 4 * n_frames + 4
    sizes = [view.number(table + 4 * i, 4, "little") for i in range(min(n_frames, (view.size - table) // 4))]
    if len(sizes) < n_frames:
        return f"it ends in its table of {n_frames} frames"
    there, end = 0, data
    for size in sizes:
        end += size
        there += end <= view.size
    if there < n_frames:
        return f"its header promises {samples / rate:.2f} s, {min(there * frame, samples) / rate:.2f} s are there"
    return None


def _wavpack(view: View, at: int) -> str | None:
    total, done = 0, 0
    while view.at(at, 4) == b"wvpk" and at + 32 <= view.size:
        size = view.number(at + 4, 4, "little") + 8
        total = total or view.number(at + 12, 4, "little")
        if at + size > view.size:
            return f"its header promises {total} samples, {done} are there"
        first, samples = view.number(at + 16, 4, "little"), view.number(at + 20, 4, "little")
        done = max(done, first + samples)
        at += size
    return f"its header promises {total} samples, {done} are there" if done < total < 0xFFFFFFFF else None


def _ape(view: View, at: int) -> str | None:
    if view.number(at + 4, 2, "little") < 3980:
        return None
    sizes = [view.number(at + 8 + 4 * i, 4, "little") for i in range(7)]
    *parts, low, high, _ = sizes
    return _short("its header", sum(parts) + low + (high << 32), view.size - at)


def _asf(view: View, at: int) -> str | None:
    while at + 24 <= view.size:
        name, size = view.at(at, 16), view.number(at + 16, 8, "little")
        if size < 24 or (at == 0 and name != _ASF_HEADER):
            return None
        if at + size > view.size:
            return _short("its data object" if name == _ASF_DATA else "one of its objects", size, view.size - at)
        if name == _ASF_DATA:
            return None
        at += size
    return None


def _dsf(view: View, at: int) -> str | None:
    return _short("its header", view.number(at + 12, 8, "little"), view.size - at)


def _nist(view: View, at: int) -> str | None:
    return _short("its header", _size_of_nist(view, at), view.size - at)


def _size_of_nist(view: View, at: int) -> int:
    """Bytes of a SPHERE file, 0 where its header does not say it."""
    size = view.at(at + 8, 8).strip()
    if not size.isdigit() or int(size) > 1 << 20:
        return 0
    named = dict(re.findall(rb"(?m)^(\w+) -i (\d+)", view.at(at, int(size))))
    try:
        return int(size) + int(named[b"sample_count"]) * int(named[b"sample_n_bytes"]) * int(named.get(b"channel_count", 1))
    except KeyError:
        return 0


def _svx(view: View, at: int) -> str | None:
    return _short("its form", view.number(at + 4, 4), view.size - at - 8)
