"""What is printed where the terminal, or the file behind it, cannot hold a character: a replacement, and no error after hours of work."""

from __future__ import annotations

import contextlib
import sys


def print_any_text() -> None:
    """Have stdout and stderr print a replacement for what their encoding cannot hold (an ASCII locale, names that are no text)."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)  # not of what a test or a notebook puts there
        if reconfigure is not None:
            with contextlib.suppress(ValueError, OSError):
                reconfigure(errors="backslashreplace")
