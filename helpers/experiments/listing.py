"""What print_named_configs and print_config show: in groups, to the width of a terminal; plain lines in a pipe."""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import Protocol

_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
TWIN = "_smoke"  # end of the names of small twins
NAME_WIDTH = 34  # of the column of names; longer ones have their text below


class NamedConfig(Protocol):
    """A named config, as configs/ declares it."""

    @property
    def values(self) -> Mapping[str, object]:
        """Nested keys that it sets."""

    @property
    def doc(self) -> str:
        """Text of it, the first sentence saying what it is for."""

    @property
    def group(self) -> str:
        """Heading under which it is listed."""

    @property
    def rank(self) -> int:
        """Place of its group in the list."""

    @property
    def original(self) -> str | None:
        """Name of the config whose alias or smoke twin it is; None: it is one of its own."""


def on_terminal() -> bool:
    """Return whether output goes to a terminal (what sys.stdout is in itself: Sacred's capture replaces it)."""
    return sys.__stdout__ is not None and sys.__stdout__.isatty()


def in_colour() -> bool:
    """Return whether output may have escape codes: on a terminal that has colours, unless NO_COLOR is set."""
    return on_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def plain(text: str) -> str:
    """Return text without escape codes."""
    return _ESCAPE.sub("", text)


def first_sentence(text: str) -> str:
    """Return the first sentence of a docstring, in one line."""
    paragraph = " ".join(text.strip().split("\n\n")[0].split())
    return re.split(r"(?<=[.?!])\s", paragraph, maxsplit=1)[0]


def format_named_configs(named: Mapping[str, NamedConfig], width: int | None = None) -> str:
    """Return the list of named configs: groups by their rank, a config each with the first sentence of its text.

    Other names stand in brackets behind the text of their original, and + where it has a small twin NAME_smoke.

    Args:
        named: name -> config.
        width: columns of the terminal, to which texts are wrapped; None: a config is one line, whatever its length.
    """
    groups: dict[str, list[str]] = {}
    for name, one in sorted(named.items(), key=lambda pair: pair[1].rank):
        if one.original is None:
            groups.setdefault(one.group, []).append(name)
    others: dict[str, list[str]] = {}
    for name, one in named.items():
        if one.original is not None:
            others.setdefault(one.original, []).append(name)
    lines: list[str] = []
    for group, names in groups.items():
        lines += ["", f"{group}:"] if lines else [f"{group}:"]
        column = min(max(map(len, names)), NAME_WIDTH) + 4
        for name in names:
            same = [other for other in others.get(name, ()) if not other.endswith(TWIN)]
            text = first_sentence(named[name].doc)
            text += f" [{', '.join(same)}]" if same else ""
            text += " +" if name + TWIN in others.get(name, ()) else ""
            lines += _entry(name, text, column, width)
    legend = "`help NAME` shows a config's whole text."
    if others:
        legend = f"In brackets: other names of the same config. +: there is a small twin of it, NAME{TWIN}. {legend}"
    lines += ["", legend if width is None else textwrap.fill(legend, width)]
    return "\n".join(lines)


def _entry(name: str, text: str, column: int, width: int | None) -> Iterator[str]:
    head = f"  {name}".ljust(column)
    if width is None:
        yield f"{head if len(head) == column else head + '  '}{text}"
        return
    if len(head) > column - 2 and len(name) + 2 > column - 2:
        yield head
        head = " " * column
    yield textwrap.fill(
        text,
        max(width, column + 20),
        initial_indent=head,
        subsequent_indent=" " * column,
        break_long_words=False,
        break_on_hyphens=False,
    )


def terminal_width() -> int | None:
    """Return the columns of the terminal; None where output goes elsewhere."""
    return shutil.get_terminal_size().columns if on_terminal() else None
