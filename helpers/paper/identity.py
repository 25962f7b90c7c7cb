"""What an outside file or folder holds, as a short text: equal content, equal text, wherever it stands and whenever it was written."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from datasets.store.files import read_parts, read_sealed
from datasets.store.track_store import TrackStore
from models.bounded_files import open_regular
from models.errors import StoreError

_BLOCK = 1 << 20  # bytes read at once


def content_id(path: Path) -> str:
    """Return an id of what a path holds: a store (settings; names, lengths and checksums of tracks), a file (its bytes), or a folder of files."""
    if _is_store(path):
        return f"store {_store_digest(TrackStore.open(path))}"
    if path.is_file():
        return f"file {_digest(path)}"
    digest = hashlib.sha256()
    for one in sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith(".")):
        digest.update(f"{one.relative_to(path).as_posix()}\0{_digest(one)}\n".encode("utf-8", "surrogatepass"))
    return f"folder {digest.hexdigest()[:32]}"


def _store_digest(store: TrackStore) -> str:
    """Return the same for tracks in any order and in any number of shards; every track's checksum stands in its index, so that no data are read."""
    tracks = []
    for path in store.paths:
        index = read_sealed(path) if path.is_file() else read_parts(path)
        if index is not None:
            tracks += list(zip(index.names, index.lengths.tolist(), index.crcs.tolist()))
    digest = hashlib.sha256(json.dumps([store.attrs, list(store.item_shape), str(store.dtype)], sort_keys=True).encode())
    for name, length, crc in sorted(tracks):
        digest.update(f"{name}\0{length}\0{crc}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:32]


def _is_store(path: Path) -> bool:
    if path.is_file() and path.suffix != ".h5":
        return False
    try:
        TrackStore.open(path)
    except (StoreError, OSError):
        return False
    return True


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with open_regular(path, StoreError) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()[:32]
