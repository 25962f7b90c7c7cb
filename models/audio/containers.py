"""What a file's own bytes say about its sound, where decoders do not say it: where it begins and ends, how long it is, whether it is cut off.

Decoders stop at the first link of a chained Ogg, at a tag behind a FLAC, at a wrong number in a header, and read what was cut off as if it were
whole, all without a word. Everything here is found out before decoding; FFmpeg's reading is the measure. Each kind of container has its module.
"""

from __future__ import annotations

import os

from ..bounded_files import MOST_AUDIO, open_regular
from ..errors import AudioError
from .flac import flac_layout, stream_info
from .mpeg import find_frames, frames_begin, mpeg_frame, mpeg_layout
from .ogg import find_ogg, ogg_layout, page_at
from .pcm import is_pcm, pcm_layout
from .promises import end_of_sound, is_promising, lacking
from .raw_frames import is_raw, raw_layout
from .segments import CutOff, Layout, Link, Span, View
from .tags import is_tag, skip_tags

__all__ = ["CutOff", "Layout", "layout_of", "mpeg_frame"]
_SEARCH = 1 << 20  # bytes before the sound that are looked through for its beginning; MPEG frames are looked for everywhere
_MARKS = (b"fLaC", b"RIFF", b"RF64", b"BW64", b"FORM")


def layout_of(path: str | os.PathLike[str]) -> Layout:
    """Return the streams of a file, one after the other, and what is to be said of them; no streams for a kind that is not known here.

    Raises CutOff where the file certainly ends before its sound does; OSError.
    """
    with open_regular(path, AudioError, MOST_AUDIO) as file:
        view = View(file)
        start = skip_tags(view, lambda at: _kind(view, at) != "")
        begin, kind = start, _kind(view, start)
        if not kind:
            begin = first = view.without_zeros(start)
            for begin in range(first, max(start, first - 4) - 1, -1):  # an MP4 begins with zeros of its own
                if kind := _kind(view, begin):
                    break
        if not kind:
            begin, kind = _search(view, first)
        return _layout(view, begin, kind, start)


def _kind(view: View, at: int) -> str:
    """What begins at a place, "" for nothing that is known."""
    head = view.at(at, 12)
    if head[:4] == b"fLaC" and stream_info(view, at) is not None:
        return "flac"
    if head[:4] == b"OggS" and (page_at(view, at) is not None or at == 0):
        return "ogg"
    if is_pcm(view, at):
        return "pcm"
    if frames_begin(view, at):
        return "mpeg"
    if is_raw(view, at):
        return "raw"
    return "other" if is_promising(view, at) else ""


def _search(view: View, at: int) -> tuple[int, str]:
    """Where something known begins behind bytes that are nothing known."""
    stop = at + _SEARCH
    found = [place for mark in _MARKS if (place := _marked(view, mark, at, stop)) >= 0]
    if (ogg := find_ogg(view, at, stop)) >= 0:
        found.append(ogg)
    if (frames := find_frames(view, at)) >= 0:
        found.append(frames)
    place = min(found, default=at)
    return place, _kind(view, place)


def _marked(view: View, mark: bytes, at: int, stop: int) -> int:
    while (at := view.find(mark, at, stop)) >= 0:
        if _kind(view, at) in ("flac", "pcm"):
            return at
        at += 1
    return -1


def _layout(view: View, begin: int, kind: str, start: int) -> Layout:
    """The layout of what begins at `begin`; `start`: behind the tags."""
    if kind == "flac":
        return flac_layout(view, begin)
    if kind == "ogg":
        return ogg_layout(view, begin)
    if kind == "pcm":
        return pcm_layout(view, begin)
    if kind == "mpeg":
        return _mpeg(view, begin, start)
    if kind == "raw":
        return raw_layout(view, begin)
    if kind == "other":
        if reason := lacking(view, begin):
            raise CutOff(reason)
        end = end_of_sound(view, begin)
        return Layout((Link(() if (begin, end) == (0, view.size) else (Span(begin, end),)),))
    return Layout()


def _mpeg(view: View, begin: int, start: int) -> Layout:
    """MPEG audio; the file as it is where nothing stands around its frames that a decoder could stumble over."""
    found = mpeg_layout(view, begin)
    pieces = found.links[0].pieces if len(found.links) == 1 else ()
    if len(pieces) == 1 and isinstance(pieces[0], Span) and begin == start and _little_behind(view, pieces[0]):
        raw = view.at(6, 4)
        one_tag = 10 + (raw[0] << 21 | raw[1] << 14 | raw[2] << 7 | raw[3]) + (10 if view.at(5, 1)[0] & 16 else 0)
        if start in (0, one_tag):
            return Layout((Link((), found.links[0].frames),), found.remarks)
    return found


def _little_behind(view: View, frames: Span) -> bool:
    """Whether nothing, or a tag of less than 1 % of the sound (from there on mpg123 complains), stands behind the frames."""
    return 100 * (view.size - frames.stop) < len(frames) and is_tag(view, frames.stop)
