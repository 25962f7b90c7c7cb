"""Reading numpy's files of one array: what the header claims is compared with the file before anything of that size is made."""

from __future__ import annotations

import math
import tokenize
from pathlib import Path

import numpy as np

from models.bounded_files import check_regular
from models.errors import StoreError

_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_FAULTS = (OSError, ValueError, EOFError, TypeError, KeyError, SyntaxError, OverflowError, RecursionError, tokenize.TokenError)


def load_array(path: str | Path) -> np.ndarray:
    """Return the array of a .npy file. Raises StoreError for another file, one of Python objects, and one cut short."""
    check_regular(path, StoreError)
    try:
        with open(path, "rb") as file:
            reader = _READERS.get(np.lib.format.read_magic(file))
            if reader is None:
                raise ValueError("its version is unknown")
            shape, _, kind = reader(file)
            held = Path(path).stat().st_size - file.tell()
        wanted = math.prod(shape) * kind.itemsize  # Python's integers: no overflow
        if min(shape, default=0) < 0 or kind.hasobject or wanted != held:
            raise ValueError(f"it claims {list(shape)} of {kind}, and holds {held} bytes")
        found: np.ndarray = np.load(path, allow_pickle=False)
    except _FAULTS as error:
        raise StoreError(f"{path} cannot be read as an array: {' '.join(str(error).split())[:200]}.") from None
    return found
