"""Files that appear whole or not at all: the one place of the project that writes to a part file and renames it.

Apart from it stand formats with a protocol of their own: the parts and journal of a track store (store/writer.py), downloads that go on where they
were cut (models/weights/downloads.py), and exports of several files at once (models/export.py).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from models.bounded_files import read_bytes
from models.errors import StoreError

_LONGEST = 200  # bytes of the file's own name in its part's: a name of 255 would leave no room for the rest
NAME_BYTES = 255  # of a name, at most, in all usual file systems


def fitting(name: str, suffix: str = "") -> str:
    """Return a file's name with a suffix: as it is where that is short enough for a file system, else its beginning and a hash of all of it.

    name: may begin with folders, which are kept.
    """
    folder, slash, last = name.rpartition("/")
    raw, end = os.fsencode(last), os.fsencode(suffix)
    if len(raw) + len(end) <= NAME_BYTES:
        return name + suffix
    mark = "~" + hashlib.sha256(raw).hexdigest()[:16]
    kept = raw[: NAME_BYTES - len(end) - len(mark)].decode("utf-8", "ignore")
    return f"{folder}{slash}{kept}{mark}{suffix}"


@contextlib.contextmanager
def atomic(path: str | Path, sync: bool = True) -> Iterator[Path]:
    """Yield the path of a part file beside `path`; what was written there takes the name `path` when the block ends well.

    The part is flushed to disk before it is renamed, and removed when the block fails, so that a kill or a full disk leaves the old file as it was.
    Processes of several machines may write the same file at once: the last one counts.

    Args:
        path: the file to write; its folder is made where it is absent.
        sync: whether to wait for the disk. Not for files of which there are thousands and which can be made again.

    Raises:
        OSError: as the disk says it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = os.fsencode(path.name)
    name = path.name
    if len(raw) > _LONGEST:  # its end, which says what it is of, and a hash of all of it
        name = hashlib.sha256(raw).hexdigest()[:16] + "~" + raw[17 - _LONGEST :].decode("utf-8", "ignore")
    part = path.with_name(f".{name}.{os.uname().nodename[:32]}-{os.getpid()}.part")
    part.unlink(missing_ok=True)  # of a killed process with the same number; it may be a link that leads anywhere
    try:
        yield part
        if sync:
            with open(part, "rb+") as file:
                os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        if type(error).__module__ == "builtins" and error.errno is not None and error.filename in (None, str(part), part):
            # a write says no name, and the part's name says nothing to anybody
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        part.unlink(missing_ok=True)


def remove_parts(folder: str | Path, deep: bool = False) -> None:
    """Remove what `atomic` left in `folder` where a process was killed, and (`deep`) below it. Only where no other process writes."""
    for part in Path(folder).glob("**/.*.part" if deep else ".*.part"):
        part.unlink(missing_ok=True)


def write_whole(path: str | Path, content: str | bytes, sync: bool = True) -> bool:
    """Write a whole file or nothing, also under a kill; text in UTF-8. Return False when the file holds the content already, and is left alone.

    Raises StoreError when it cannot be written.
    """
    path = Path(path)
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    try:
        if path.is_file() and path.stat().st_size == len(data) and read_bytes(path, StoreError, len(data)) == data:
            return False
        with atomic(path, sync) as part:
            part.write_bytes(data)
    except OSError as error:
        raise StoreError(f"{path} could not be written: {error.strerror or error}.") from error
    return True
