"""A large label table in the form in which it is used, kept beside it: 3.3 million lines are there in a second in place of many.

TABLE.cache is an HDF5 file of plain arrays and JSON (no pickles). It counts as long as the table's content and the way to read it are the same
(their hash stands in it); else, and wherever it cannot be read or written, the table itself is read.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.bounded_files import MOST_TABLE, check_regular, open_regular, parsed
from models.errors import GroundtruthError

from ..utils.files import atomic
from ..utils.names import Names
from .groundtruth import Groundtruth

log = logging.getLogger(__name__)
FROM_BYTES = 16 << 20  # smaller tables are read in no time
VERSION = 3


def cached(table: Path, options: object, read: Callable[[], Groundtruth]) -> Groundtruth:
    """Return the groundtruth of `table`: from its cache, or by `read`, which leaves a cache. options: all that decides how it is read
    (plain values).
    """
    if table.stat().st_size < FROM_BYTES:
        return read()
    print_ = _fingerprint(table, options)
    path = table.with_name(table.name + ".cache")
    found = _load(path, print_)
    if found is None:
        found = read()
        _save(path, print_, found)
    return found


def _fingerprint(table: Path, options: object) -> str:
    digest = hashlib.blake2b(json.dumps([VERSION, options]).encode(), digest_size=16)
    with open_regular(table, GroundtruthError, MOST_TABLE) as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def _text(values: object) -> np.ndarray:
    return np.frombuffer(json.dumps(values).encode(), dtype=np.uint8)


def _load(path: Path, wanted: str) -> Groundtruth | None:
    import h5py  # late: 0.1 s, and most tables are too small for a cache

    if not path.is_file():
        return None
    try:
        check_regular(path, GroundtruthError, MOST_TABLE)
        with h5py.File(path, "r", locking=False) as file:
            if file.attrs.get("fingerprint") != wanted:
                return None
            ends, packed = file["ends"][:], file["packed"][:]
            blob = file["keys"][:].tobytes()
            labels = parsed(file["labels"][:].tobytes())
            split, group = (_repeated(file, name) for name in ("split", "group"))
            if len(ends) != len(packed) or (len(ends) and ends[-1] != len(blob)) or (np.diff(ends) < 0).any():
                raise ValueError("its parts do not fit one another")
        return Groundtruth(Names(blob, ends), labels, packed, split, group, checked=True, faulty=True)
    except (OSError, KeyError, ValueError, TypeError, IndexError, RuntimeError) as error:  # damaged: the table itself is at hand
        log.info("%s cannot be used (%s); the table is read.", path, error)
        return None


def _repeated(file: Mapping[str, Any], name: str) -> list[str] | None:
    if name not in file:
        return None
    known = parsed(file[f"{name} names"][:].tobytes())
    return [known[i] for i in file[name][:].tolist()]


def _save(path: Path, fingerprint: str, truth: Groundtruth) -> None:
    import h5py  # late: 0.1 s, and most tables are too small for a cache

    try:
        with atomic(path) as part, h5py.File(part, "w", locking=False) as file:
            keys = truth.keys if isinstance(truth.keys, Names) else Names.of(truth.keys)
            file["keys"], file["ends"] = np.frombuffer(keys.blob, dtype=np.uint8), keys.ends
            file["packed"], file["labels"] = truth.packed, _text(truth.labels)
            for name, values in (("split", truth.split), ("group", truth.group)):
                if values is not None:
                    known, numbers = _numbered(values)
                    file[name], file[f"{name} names"] = numbers, _text(known)
            file.attrs["fingerprint"] = fingerprint
        log.info("%s: kept for the next time (%.0f MB).", path, path.stat().st_size / 1e6)
    except (OSError, ValueError) as error:  # a folder that cannot be written, a full disk: it only takes longer the next time
        log.info("%s could not be kept for the next time: %s", path, error)


def _numbered(values: Sequence[str]) -> tuple[list[str], np.ndarray]:
    number: dict[str, int] = {}
    numbers = np.fromiter((number.setdefault(value, len(number)) for value in values), dtype=np.uint32, count=len(values))
    return list(number), numbers
