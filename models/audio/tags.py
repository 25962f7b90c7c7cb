"""Tags around the sound: ID3v2 before it; ID3v1, APEv2 and Lyrics3 behind it.

Sources: id3.org (ID3v2.2 to 2.4: sizes are synchsafe, seven bits to a byte; some writers put plain ones), the APEv2 and Lyrics3 specifications.
"""

from __future__ import annotations

from collections.abc import Callable

from .segments import View

BEHIND = (b"TAG", b"APETAGEX", b"ID3", b"3DI", b"LYRICSBEGIN", b"RIFF")  # what may stand behind the last frame


def skip_tags(view: View, is_sound: Callable[[int], bool]) -> int:
    """Return the place behind all ID3v2 tags (and zeros around them) at the beginning of a file.

    is_sound: whether sound begins at a place; it decides between the two ways to read a tag's size.
    """
    at = 0
    while view.at(at, 3) == b"ID3" and at + 10 <= view.size:
        head = view.at(at, 10)
        raw = head[6:10]
        footer = 10 if head[5] & 0x10 else 0
        plain = at + 10 + int.from_bytes(raw, "big") + footer
        synchsafe = at + 10 + (raw[0] << 21 | raw[1] << 14 | raw[2] << 7 | raw[3]) + footer
        places = [synchsafe, plain] if max(raw) < 0x80 else [plain]
        good = [place for place in places if _is_next(view, place, is_sound)]
        inside = [place for place in places if place <= view.size]
        at = good[0] if good else inside[0] if inside else at + 10
    return at


def _is_next(view: View, place: int, is_sound: Callable[[int], bool]) -> bool:
    after = view.without_zeros(place) if place < view.size else view.size
    return after < view.size and (view.at(after, 3) == b"ID3" or is_sound(after))


def is_tag(view: View, at: int) -> bool:
    """Return whether a tag, zeros or the end of the file stand at a place behind the sound."""
    head = view.at(at, 11)
    return not head.strip(b"\0") or any(head.startswith(mark) for mark in BEHIND)
