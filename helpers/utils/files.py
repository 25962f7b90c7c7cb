"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield the path of a part file beside `path`; what was written there takes the name `path` when the block ends well.

    The part is flushed to disk before it is renamed, and removed when the block fails, so that a kill or a full disk leaves the
    old file as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def remove_parts(folder: Path | str) -> None:
    """Remove what `atomic` left in `folder` where a process was killed. Only for folders that no other process writes to."""
    for part in Path(folder).glob(".*.part"):
        part.unlink(missing_ok=True)


def plain(value: object) -> object:
    """The same value made of json's own types: numpy's become numbers and lists, nan and infinities become None."""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(entry) for entry in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
