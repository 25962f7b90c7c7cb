r"""Texts in csv tables that people open in a spreadsheet, or look at in a terminal.

A cell that begins with = + - @, a tab or a carriage return is a formula in a spreadsheet: such a text gets an apostrophe in front, and so does one
that has apostrophes before such a beginning already. Control characters (ESC, which has a terminal do what a name says) stand as \x1b, all but tabs
and line feeds; backslashes that stand before one, or before a text that looks like one, are doubled.

Reading takes both back, so that every text comes back as it was. Numbers are never changed.
"""

from __future__ import annotations

import re

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_SAFE = re.compile(r"'+[=+\-@\t\r]")
_HEX = "x(?:0[0-8b-f]|1[0-9a-f]|7f|[89][0-9a-f])"
_CONTROL = "[\x00-\x08\x0b-\x1f\x7f-\x9f]"
_SHOW = re.compile(rf"(\\*)({_CONTROL})|(\\+)(?={_HEX})")
_TAKE = re.compile(rf"(\\+)({_HEX})")


def safe_cell(text: str) -> str:
    """Return a text as a spreadsheet may open it, and a terminal show it."""
    text = _SHOW.sub(_shown, text)
    return f"'{text}" if _FORMULA.match(text) else text


def plain_cell(text: str) -> str:
    """Return what `safe_cell` was given."""
    return _TAKE.sub(_taken, text[1:] if _SAFE.match(text) else text)


def _shown(found: re.Match[str]) -> str:
    if found[2]:
        return f"{found[1] * 2}\\x{ord(found[2]):02x}"
    return found[3] * 2


def _taken(found: re.Match[str]) -> str:
    slashes, odd = divmod(len(found[1]), 2)
    return "\\" * slashes + (chr(int(found[2][1:], 16)) if odd else found[2])
