"""Reading numpy's files of one array or several: what the header claims is compared with the file before anything of that size is made."""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from models.bounded_files import check_regular, check_zip, open_regular
from models.errors import StoreError
from models.settings import shown

_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
MOST_ARRAY = 8 << 30  # bytes of a file
REAL, TEXT = "fiu", "bU"  # letters of numpy's kinds: float and whole numbers; truth values and texts, of which scores have some
_FAULTS = (OSError, ValueError, EOFError, TypeError, KeyError, SyntaxError, OverflowError, RecursionError, tokenize.TokenError)


def load_array(path: str | Path) -> np.ndarray:
    """Return the array of a .npy file. Raises StoreError for another file, one cut short, and values that are no real numbers."""
    _check_numbers(array_header(path)[1], f"{path} holds", REAL, StoreError)
    try:
        found: np.ndarray = np.load(path, allow_pickle=False)
    except _FAULTS as error:
        raise StoreError(f"{path} cannot be read as an array: {_brief(error)}.") from None
    return found


def array_header(path: str | Path) -> tuple[tuple[int, ...], np.dtype]:
    """Return shape and type of a .npy file's array, which its bytes hold. Raises StoreError as `load_array`."""
    try:
        with open_regular(path, StoreError, MOST_ARRAY) as file:
            return _check_claim(file, Path(path).stat().st_size)
    except StoreError:
        raise
    except _FAULTS as error:
        raise StoreError(f"{path} cannot be read as an array: {_brief(error)}.") from None


def load_arrays(path: str | Path, error: type[ValueError] = StoreError) -> dict[str, np.ndarray]:
    """Return the arrays of a .npz file by name. Raises `error` for another file, one cut short, one that grows too much, and values that are neither
    real numbers, truth values nor texts.
    """
    check_regular(path, error, MOST_ARRAY)
    found = {}
    try:
        with zipfile.ZipFile(path) as archive:
            check_zip(archive, path, error=error)
            for member in archive.infolist():
                with archive.open(member) as file:
                    _, kind = _check_claim(file, member.file_size)
                _check_numbers(kind, f"{path} holds as {shown(member.filename)}", REAL + TEXT, error)
        with np.load(path, allow_pickle=False) as arrays:
            for name in arrays.files:
                found[name] = arrays[name]
    except (*_FAULTS, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as reason:
        if isinstance(reason, error):
            raise
        raise error(f"{path} cannot be read as arrays: {_brief(reason)}.") from None
    return found


def _check_numbers(kind: np.dtype, what: str, wanted: str, error: type[ValueError]) -> None:
    """Raise `error` for values of another kind: complex numbers, texts, dates, records. wanted: letters of numpy's kinds."""
    if kind.kind not in wanted:
        words = (
            "numbers (float, integer) are wanted"
            if wanted == REAL
            else "numbers (float, integer), truth values and texts are wanted"
        )
        raise error(f"{what} values of the kind {shown(str(kind))}; real {words}.")


def _check_claim(file: IO[bytes], size: int) -> tuple[tuple[int, ...], np.dtype]:
    """Return shape and type. Raise ValueError for a header that claims another number of bytes than follow it, and for one of Python objects."""
    reader = _READERS.get(np.lib.format.read_magic(file))
    if reader is None:
        raise ValueError("its version is unknown")
    shape, _, kind = reader(file)
    held = size - file.tell()
    wanted = math.prod(shape) * kind.itemsize  # Python's integers: no overflow
    if min(shape, default=0) < 0 or kind.hasobject or wanted != held:
        raise ValueError(f"it claims {shown(list(shape))} of {kind}, and holds {held} bytes")
    return tuple(shape), kind


def _brief(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
