"""Whether a file of weights is the published one: its size and sha256, computed once per process and state of the file."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from ..bounded_files import MOST_WEIGHTS, check_regular
from ..errors import WeightsError, WeightsNotFoundError
from .downloads import digest_of


def file_sha256(path: Path) -> str:
    """Hex digest of a file; again only where its size or time of change is another."""
    check_regular(path, WeightsError, MOST_WEIGHTS)
    stat = path.stat()
    return _digest(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)
def _digest(path: Path, size: int, changed: int) -> str:
    return digest_of(path)


def check_file(
    path: Path, sha256: str | None, size: int | None = None, *, explain: Callable[[Path], str] | None = None, cure: str = ""
) -> None:
    """Raise WeightsError, with both hashes, where a file is not the one it should be.

    Args:
        path: of the file.
        sha256: hex digest, or its first digits; None: not known, nothing is checked.
        size: bytes; None: not known.
        explain: says of a wrong file what it is, "" where it cannot; asked for wrong files only.
        cure: a sentence; "": to remove the file, so that it is fetched again.

    Raises WeightsNotFoundError for a file that is not there.
    """
    if sha256 is None:
        return
    try:
        found, bytes_found = file_sha256(path), path.stat().st_size
    except OSError as error:
        raise WeightsNotFoundError(f"{path} cannot be read: {error.strerror or error}.") from error
    if found.startswith(sha256.lower()):
        return
    said = explain(path) if explain is not None else ""
    if not said and size is not None and bytes_found != size:
        said = f"it has {bytes_found} bytes, wanted {size}"
    raise WeightsError(
        f"{path} is not the published file: {said + '; ' if said else ''}its sha256 is {found}, wanted {sha256}. "
        + (cure or "Remove it and fetch it again, or name a file of your own by its path (checkpoint=PATH).")
    )
