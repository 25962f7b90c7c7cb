"""Texts in csv tables that people open in a spreadsheet: a cell that begins with = + - @, a tab or a carriage return is a formula there.

The rule: such a text gets an apostrophe in front, and so does one that has apostrophes before such a beginning already. Reading takes one apostrophe
off again where such a beginning follows, so that every text comes back as it was. Numbers are never changed.
"""

from __future__ import annotations

import re

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_SAFE = re.compile(r"'+[=+\-@\t\r]")


def safe_cell(text: str) -> str:
    """Return a text as a spreadsheet may open it."""
    return f"'{text}" if _FORMULA.match(text) else text


def plain_cell(text: str) -> str:
    """Return what `safe_cell` was given."""
    return text[1:] if _SAFE.match(text) else text
