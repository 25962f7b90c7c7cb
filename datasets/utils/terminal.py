"""What people see: text of files (labels, names, run records) on a terminal or in a log, with control characters shown as escapes.

A label may hold ESC sequences that clear the screen, colour what follows or turn the direction of writing: shown as they are they make a terminal say
what the file wants. Where the terminal, or the file behind it, cannot hold a character, a replacement is printed: no error after hours of work.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable
from typing import Any

from rich import console as rich_console
from rich.segment import Segment
from rich.text import Text as RichText

from models.escapes import visible


class Text(RichText):
    """rich's text, control characters and tabs as escapes from the beginning: the width that a table gives it is that of what is shown."""

    def __init__(self, text: str = "", *args: Any, **kwargs: Any):
        super().__init__(visible(text).replace("\t", "\\t"), *args, **kwargs)


class Console(rich_console.Console):
    """rich's console, on which no text carries control characters of its own: colours come from styles alone."""

    def render(self, renderable: Any, options: rich_console.ConsoleOptions | None = None) -> Iterable[Segment]:
        """As rich's."""
        for segment in super().render(renderable, options):
            if segment.control or (segment.text.isprintable() and segment.text.isascii()):
                yield segment
            else:
                yield Segment(visible(segment.text), segment.style)


def print_any_text() -> None:
    """Have stdout and stderr print a replacement for what their encoding cannot hold (an ASCII locale, names that are no text)."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)  # not of what a test or a notebook puts there
        if reconfigure is not None:
            with contextlib.suppress(ValueError, OSError):
                reconfigure(errors="backslashreplace")


def begin_in_utf8() -> None:
    """Begin this process anew in Python's UTF-8 mode where names of files are read as something else (LC_ALL=C with PYTHONUTF8=0, a Latin-1 locale).

    The names of a table or a store, which are UTF-8, would not be those of the files. What is printed stays in the terminal's encoding. For the first
    line of a script alone.
    """
    if sys.getfilesystemencoding().lower() in ("utf-8", "utf8") or sys.flags.utf8_mode:
        return
    os.environ.setdefault("PYTHONIOENCODING", sys.stdout.encoding)
    os.environ["PYTHONUTF8"] = "1"  # of the processes that this one begins
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
