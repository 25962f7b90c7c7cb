"""What parts of a store's files may be: pieces of headers, lines of journals, datasets of HDF5 files. A file may say anything."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, BinaryIO

from models.errors import StoreError

KINDS = "fiu"  # float, int, unsigned: what the raw parts can hold without a translation
MOST_BYTES = 1 << 60  # beyond any disk: products of such numbers need no look
MOST_AXES, MOST_LETTERS, MOST_LINE = 8, 65536, 1 << 26  # of an item's shape; of a name; bytes of a line of the journal
MOST_TORN = 1000  # lines of a torn end: a kill tears one, a disk some


def is_count(value: object) -> bool:
    """Return whether a value is a whole number, 1 or more, that a size may be."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MOST_BYTES


def brief(error: BaseException) -> str:
    """Return an error on one short line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:160]


def entry_of(line: bytes) -> tuple[str, int, int, int] | None:
    """A journal's line as name, offset, bytes and crc; None for one that is torn or garbled."""
    try:
        entry = json.loads(line)
        name, numbers = entry["name"], (entry["offset"], entry["bytes"], entry["crc"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if not line.endswith(b"\n") or not isinstance(name, str) or not 0 < len(name) <= MOST_LETTERS:
        return None
    if not all(isinstance(number, int) and not isinstance(number, bool) for number in numbers):
        return None
    offset, n_bytes, crc = numbers
    good = 0 <= offset <= MOST_BYTES and 0 < n_bytes <= MOST_BYTES and 0 <= crc <= 0xFFFFFFFF
    return (name, offset, n_bytes, crc) if good else None


def check_dataset(file: Any, key: str, path: Path) -> None:
    """Raise StoreError for a dataset that is none, leads to another file, or claims more bytes than this file has."""
    import h5py

    link = file.get(key, getlink=True)
    found = file[key] if isinstance(link, h5py.HardLink) else None
    if not isinstance(found, h5py.Dataset) or found.is_virtual or found.external is not None:
        raise StoreError(f"{path} is damaged: its part {key!r} is not in it, or stands in another file. Make it again.")
    if found.dtype.kind not in KINDS or math.prod(found.shape) * found.dtype.itemsize > path.stat().st_size:
        raise StoreError(f"{path} is damaged: its part {key!r} claims more than the file has. Make it again.")


def check_torn(journal: Path, file: BinaryIO, number: int) -> None:
    """Raise StoreError where whole tracks follow the line `number`, which is none, or more than a torn end has: only the end of a journal may be
    torn.
    """
    for _ in range(MOST_TORN):
        if not (line := file.readline(MOST_LINE)):
            return
        if entry_of(line) is not None:
            raise damaged(journal, number, "it is no track's, and whole ones follow it")
    raise damaged(journal, number, f"it is no track's, and neither are the {MOST_TORN} behind it")


def damaged(journal: Path, number: int, why: str) -> StoreError:
    """Return the error of a journal's line, from 1, with the cures."""
    return StoreError(
        f"{journal} is damaged in line {number}: {why}. Restore it from a copy, take the store's parts away to make it again, or cut the journal off "
        "before that line to go on from the tracks above it."
    )
