"""Small files that appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from models.errors import StoreError


def write_whole(path: str | Path, content: str | bytes) -> bool:
    """The whole content or nothing, also under a kill; text in UTF-8. False when the file holds it already, and is left alone.

    Raises StoreError when it cannot be written.
    """
    path = Path(path)
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(draft, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise StoreError(f"{path} could not be written: {error.strerror}.") from error
    return True
