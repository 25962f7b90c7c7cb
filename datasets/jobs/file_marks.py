"""Has an audio file changed since its track was made? The mark of a file: 8 characters of its size and time of change, cheap to take and to keep.

Marks are taken before the work begins: of a file that is replaced meanwhile it is then said, at worst, that it has changed although it was read
as it is now. A mark that is not known says nothing.
"""

from __future__ import annotations

import json
import logging
import os
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from models.bounded_files import read_json
from models.errors import StoreError, listed

from ..utils.files import write_whole

log = logging.getLogger(__name__)
MARKS_FILE = "sources.json"  # of a store that is not made in shards; of shards the plan has them
SIZE = 8  # characters
UNKNOWN = "-" * SIZE


def mark_of(path: str | os.PathLike[str]) -> str:
    """Return the mark of a file as it is now; UNKNOWN for one that cannot be looked at."""
    try:
        status = os.stat(path)
    except OSError:
        return UNKNOWN
    return f"{zlib.crc32(f'{status.st_size} {status.st_mtime_ns}'.encode()):08x}"


def changed(audio_dir: Path, marks: Iterable[tuple[str, str]]) -> list[str]:
    """Return names of the files that are there and have another mark than the one given."""
    return [name for name, mark in marks if mark != UNKNOWN and mark_of(audio_dir / name) not in (mark, UNKNOWN)]


def warn_changed(names: list[str], base: Path) -> None:
    """Log which tracks are of files that are no longer the same, and the cure."""
    if names:
        log.warning(
            "%d files have changed since their tracks were made (%s). %s keeps the tracks as they were made. To have them anew delete the "
            "prepared folder %s and give the same command again: all of it is then prepared anew.", len(names), listed(names, 3), base, base.parent,
        )  # fmt: skip


def read_marks(folder: Path) -> dict[str, str]:
    """Return the marks of a folder's one store; {} where they were not kept. Raises StoreError for a damaged file."""
    path = folder / MARKS_FILE
    if not path.is_file():
        return {}
    try:
        return {str(name): str(mark) for name, mark in read_json(path).items()}
    except (ValueError, AttributeError) as error:
        raise StoreError(f"{path} is damaged ({error}). Remove it: changed files are then not noticed.") from None


def write_marks(folder: Path, marks: Mapping[str, str]) -> None:
    """Keep them, whole or not at all; the file goes when there are none."""
    if marks:
        write_whole(folder / MARKS_FILE, json.dumps(dict(sorted(marks.items())), indent=0) + "\n")
    else:
        (folder / MARKS_FILE).unlink(missing_ok=True)
