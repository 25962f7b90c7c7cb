"""Small text files that appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from models.errors import DataSetError


def write_whole(path: str | Path, text: str) -> bool:
    """Write a text file in UTF-8, whole or not at all, also under a kill; False when it holds this text already and is left alone.

    Raises DataSetError when it cannot be written.
    """
    path = Path(path)
    content = text.encode("utf-8", errors="surrogateescape")
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(draft, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise DataSetError(f"{path} could not be written: {error.strerror}.") from error
    return True
