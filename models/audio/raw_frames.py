"""Frames without a container: raw AAC (ADTS, LOAS), AC-3 and E-AC-3, DTS, AMR. No header tells how many there are; each tells its own size.

FFmpeg decodes the rest of a last frame that was cut off as if it were whole, and a file that goes on at another rate (joined ones) as if it did not:
here the frames are walked, whole ones are kept, and each rate is a stream of its own.

Sources: ISO/IEC 13818-7 (ADTS), 14496-3 (LOAS), ETSI TS 102 366 (AC-3, E-AC-3), TS 102 114 (DTS), RFC 4867 (AMR files).
"""

from __future__ import annotations

from .segments import Layout, Link, Span, View

_AC3_KBIT = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
_AMR = {  # what a file begins with -> bytes of a frame by its type
    b"#!AMR\n": (13, 14, 16, 18, 20, 21, 27, 32, 6, *[1] * 7),
    b"#!AMR-WB\n": (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, *[1] * 6),
}
_SYNC = {"AAC": (b"\xff", b"\x56"), "AC-3": (b"\x0b\x77",), "E-AC-3": (b"\x0b\x77",), "DTS": (b"\x7f\xfe\x80\x01",)}
_HEAD = 8  # bytes of a header that are looked at
_NONE = ("", 0, 0)
Frame = tuple[str, int, int]  # kind in words, bytes, and what is another number at another rate


def raw_frame(view: View, at: int) -> Frame:
    """Return the frame of raw AAC, AC-3 or DTS at a place; ("", 0, 0) where there is none."""
    head = view.at(at, _HEAD)
    if len(head) < _HEAD:
        return _NONE
    if head[0] == 0xFF and head[1] & 0xF6 == 0xF0 and head[2] >> 2 & 15 <= 12:
        size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        return ("AAC", size, head[2] >> 2 & 15) if size >= 7 else _NONE
    if head[0] == 0x56 and head[1] & 0xE0 == 0xE0:
        return "AAC", ((head[1] & 31) << 8 | head[2]) + 3, -1
    if head[:2] == b"\x0b\x77":
        return _ac3(head)
    if head[:4] == b"\x7f\xfe\x80\x01":
        size = ((head[5] & 3) << 12 | head[6] << 4 | head[7] >> 4) + 1
        return ("DTS", size, -2) if size >= 95 else _NONE
    return _NONE


def _ac3(head: bytes) -> Frame:
    rate, version = head[4] >> 6, head[5] >> 3
    if 11 <= version <= 16:
        return "E-AC-3", 2 * (((head[2] & 7) << 8 | head[3]) + 1), 100 + rate
    if version > 10 or rate == 3 or head[4] & 63 >= 2 * len(_AC3_KBIT):
        return _NONE
    kbit = _AC3_KBIT[(head[4] & 63) >> 1]
    words = (2 * kbit, 320 * kbit // 147 + (head[4] & 1), 3 * kbit)[rate]
    return "AC-3", 2 * words, 100 + rate


def is_raw(view: View, at: int) -> bool:
    """Return whether such a file begins at a place: two frames of one kind in a row, or the first bytes of AMR."""
    if any(view.at(at, len(mark)) == mark for mark in _AMR):
        return True
    kind, size, _ = raw_frame(view, at)
    return bool(size) and (raw_frame(view, at + size)[0] == kind or at + size == view.size)


def raw_layout(view: View, start: int) -> Layout:
    """Return the streams of such a file: one, as a rule; one for each rate where it changes."""
    sizes = next((found for mark, found in _AMR.items() if view.at(start, len(mark)) == mark), None)
    if sizes is not None:
        return _amr(view, start, sizes)
    kind, _, rate = raw_frame(view, start)
    links: list[Link] = []
    spans: list[Span] = []
    gaps: list[int] = []
    begin, at, cut = start, start, ""

    def close(stop: int) -> None:
        if stop > begin:
            spans.append(Span(begin, stop))

    while True:
        found, size, now = raw_frame(view, at)
        if found != kind:
            close(at)
            if 0 < view.size - at < _HEAD and view.at(at, 1) == view.at(start, 1):
                cut = f"its last {kind} frame is cut off in its header and left out"
                break
            further = _find(view, at, kind)
            if further < 0:
                break
            if view.at(at, 3) != b"ID3" and view.without_zeros(at) < further:
                gaps.append(at)
            begin = at = further
            continue
        if now != rate:
            close(at)
            links.append(Link(tuple(spans)))
            spans, begin, rate = [], at, now
        if at + size > view.size:
            close(at)
            cut = _cut(kind, at + size - view.size)
            break
        at += size
    between = f"{len(gaps)} gaps between its {kind} frames hold something else, the first at byte {gaps[0]}" if gaps else ""
    whole = not links and spans == [Span(0, view.size)]
    return Layout((*links, Link(() if whole else tuple(spans))), tuple(filter(None, (between, cut))))


def _find(view: View, at: int, kind: str) -> int:
    """The place behind `at` where frames of a kind go on, two in a row; -1: nowhere."""
    for mark in _SYNC[kind]:
        place = at + 1
        while (place := view.find(mark, place)) >= 0:
            size = raw_frame(view, place)[1] if raw_frame(view, place)[0] == kind else 0
            if size and raw_frame(view, place + size)[0] == kind:
                return place
            place += 1
    return -1


def _cut(kind: str, lacking: int) -> str:
    return f"its last {kind} frame is cut off ({lacking} bytes are missing) and left out"


def _amr(view: View, start: int, sizes: tuple[int, ...]) -> Layout:
    at = start + (6 if sizes[0] == 13 else 9)
    while at < view.size:
        size = sizes[view.at(at, 1)[0] >> 3 & 15]
        if at + size > view.size:
            return Layout((Link((Span(start, at),)),), (_cut("AMR", at + size - view.size),))
        at += size
    return Layout((Link(() if start == 0 else (Span(start, view.size),)),))
