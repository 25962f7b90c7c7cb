"""Text of files (labels, names, run records) as people may see it: control characters as escapes.

A label may hold ESC sequences that clear the screen, colour what follows or turn the direction of writing: shown as they are they make a terminal say
what the file wants.
"""

from __future__ import annotations

import unicodedata

_KEPT = "\n\t"
_HIDDEN = ("Cc", "Cs", "Co", "Cn", "Zl", "Zp")
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # direction of writing


def visible(text: str) -> str:
    """Return a text with control characters (other than line feed and tab), surrogates and marks of direction as escapes."""
    if text.isprintable():
        return text if not _TURNING.intersection(text) else "".join(map(_shown, text))
    return "".join(map(_shown, text))


def _shown(letter: str) -> str:
    if letter not in _TURNING and (letter in _KEPT or unicodedata.category(letter) not in _HIDDEN):
        return letter
    number = ord(letter)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" if number < 65536 else f"\\U{number:08x}"
