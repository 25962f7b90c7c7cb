"""The two forms of a track store on disk: raw parts with a journal while it grows, one contiguous HDF5 file once it is sealed.

Parts: `NAME.part` holds the arrays one after another, without anything between; `NAME.journal` is JSON lines: a header, then one
line per track (name, offset and size in bytes, CRC-32 of the name and the data). A line is written after its data, so what a
kill leaves is whole tracks and at most one torn end, which nobody reads. An HDF5 file that is being appended to gives no such
promise.

Sealed: `NAME` is an HDF5 file with the datasets data [N, *item_shape] (contiguous: any crop is one read at a known place),
offsets [n] and lengths [n] in items, crc [n], and names and header as JSON text in bytes: file names may hold what HDF5 strings
cannot (NUL, lone surrogates).
"""

from __future__ import annotations

import json
import math
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import DTypeLike

from models.bounded_files import check_regular, open_regular
from models.errors import StoreError, listed

from ..utils.names import repeats
from .checks import (
    KINDS,
    MOST_AXES,
    MOST_BYTES,
    MOST_LETTERS,
    MOST_LINE,
    brief,
    check_dataset,
    check_torn,
    damaged,
    entry_of,
    is_count,
)

FORMAT = "trackstore"
VERSION = 1
BLOCK = 8 << 20  # bytes copied at a time


def part_path(path: Path) -> Path:
    """Return where the growing store at `path` keeps its arrays."""
    return path.with_name(path.name + ".part")


def journal_path(path: Path) -> Path:
    """Return where the growing store at `path` keeps its list of tracks."""
    return path.with_name(path.name + ".journal")


@dataclass(frozen=True)
class Header:
    """What a store holds: the shape and type of one item, and attributes that say where the items come from."""

    item_shape: tuple[int, ...]
    dtype: np.dtype
    attrs: dict

    @property
    def item_bytes(self) -> int:
        """Size of one item."""
        return int(np.prod(self.item_shape, dtype=np.int64)) * self.dtype.itemsize

    def to_json(self) -> str:
        """Return one line."""
        fields = {"format": FORMAT, "version": VERSION, "item_shape": list(self.item_shape), "dtype": self.dtype.str}
        return json.dumps({**fields, "attrs": self.attrs}, allow_nan=False)

    @staticmethod
    def make(item_shape: tuple[int, ...], dtype: DTypeLike, attrs: dict) -> Header:
        """Check and normalise. Raises StoreError."""
        kind = np.dtype(dtype).newbyteorder("<")
        if kind.kind not in KINDS:
            raise StoreError(f"A track store holds float or integer items, not {kind}.")
        shape = tuple(int(size) for size in item_shape)
        if any(size < 1 for size in shape):
            raise StoreError(f"item_shape is {shape}; every size must be 1 or more (() for single numbers, such as samples).")
        try:
            plain = json.loads(json.dumps(dict(attrs), allow_nan=False))
        except (TypeError, ValueError) as error:
            raise StoreError(f"A store's attributes must be plain values (text, numbers, lists, dicts): {error}") from None
        return Header(shape, kind, plain)

    @staticmethod
    def from_json(text: str | bytes, path: Path) -> Header:
        """Read what to_json wrote. Raises StoreError when it is something else: a file may say anything."""
        try:
            fields = json.loads(text)
            if fields["format"] != FORMAT:
                raise KeyError("format")
            version, shape, kind = fields["version"], fields["item_shape"], fields["dtype"]
            if not isinstance(shape, list) or len(shape) > MOST_AXES or not all(is_count(size) for size in shape):
                raise ValueError("its item_shape is no list of sizes")
            if not isinstance(kind, str) or len(kind) > 8 or not isinstance(fields["attrs"], dict):
                raise ValueError("its dtype or attrs are of another kind")
            if math.prod(shape) * np.dtype(kind).itemsize > MOST_BYTES:
                raise ValueError("an item would have more bytes than any file")
            header = Header.make(tuple(shape), kind, fields["attrs"])
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError, SyntaxError) as error:
            raise StoreError(f"{path} is not a track store (its header cannot be read: {brief(error)}).") from None
        if version != VERSION:
            raise StoreError(f"{path} is a track store of version {version}; this code reads version {VERSION}. Make it again.")
        return header


@dataclass(frozen=True)
class Index:
    """Where each track of one file lies. `offsets` and `lengths` count items; the data begin at `data_offset` bytes of
    `data_path`.
    """

    path: Path
    header: Header
    names: list[str]
    offsets: np.ndarray
    lengths: np.ndarray
    crcs: np.ndarray
    data_path: Path
    data_offset: int
    journal_bytes: int = 0  # how far the journal is whole (parts only)

    def head(self, n: int) -> Index:
        """Return only the first `n` tracks."""
        return Index(
            self.path,
            self.header,
            self.names[:n],
            self.offsets[:n],
            self.lengths[:n],
            self.crcs[:n],
            self.data_path,
            self.data_offset,
        )

    @property
    def n_items(self) -> int:
        """Items of all tracks."""
        return int(self.lengths.sum())


def check_index(index: Index, size: int, n_items: int | None = None) -> str:
    """Return what is wrong with an index, whatever form of store it was read from; "" for one that fits its file.

    Args:
        index: as read; of a sealed store its numbers may be of any type.
        size: bytes of the data's file.
        n_items: items that the data claim to be; None: as many as the index has.
    """
    tables = (index.offsets, index.lengths, index.crcs)
    n = len(index.names)
    if not all(isinstance(name, str) and 0 < len(name) <= MOST_LETTERS for name in index.names):
        return "a name is no text"
    if not all(table.ndim == 1 and table.dtype.kind in "iu" and len(table) == n for table in tables):
        return "its tables are not whole numbers, one for each name"
    if len(set(index.names)) != n:
        return f"{listed(sorted(repeats(index.names)), 3)} stand in it twice"
    item = index.header.item_bytes
    most = size // item  # beyond it nothing can lie, and sums of such numbers do not overflow
    if n and (
        min(table.min() for table in tables) < 0 or max(t.max() for t in tables[:2]) > most or index.crcs.max() > 0xFFFFFFFF
    ):
        return "a place, a length or a checksum lies outside its range"
    ends = index.offsets.astype(np.int64) + index.lengths.astype(np.int64)
    n_items = int(ends.max(initial=0)) if n_items is None else n_items
    if n and (index.lengths.min() < 1 or ends.max() > n_items):
        return "a track lies outside the data"
    if index.data_offset < 0 or index.data_offset + n_items * item > size:
        return "the data are cut short"
    return ""


def track_crc(name: str) -> int:
    """Return CRC-32 of a track's name, to be continued over its data: a damaged name must show as well."""
    return zlib.crc32(name.encode("utf-8", "surrogatepass"))


def journal_line(name: str, offset: int, size: int, crc: int) -> bytes:
    """Return one track's line."""
    return (json.dumps({"name": name, "offset": offset, "bytes": size, "crc": crc}) + "\n").encode()


def read_parts(path: Path) -> Index | None:
    """Return the whole tracks of a growing store, or None when the journal does not yet hold its header.

    Reading stops at a torn end, and at the first track whose data are not all there. Raises StoreError when the journal belongs to something else,
    and, naming the line, where it is damaged before its end: the tracks behind it would be lost in silence.
    """
    journal, part = journal_path(path), part_path(path)
    for path_ in (journal, part):
        if path_.exists():
            check_regular(path_, StoreError)
    size = part.stat().st_size if part.exists() else 0
    names: list[str] = []
    seen: set[str] = set()
    rows: list[tuple[int, int, int]] = []
    with open_regular(journal, StoreError) as file:
        line = file.readline(MOST_LINE)
        if not line.endswith(b"\n"):
            if len(line) == MOST_LINE:
                raise StoreError(f"{journal} is not a track store's: its first line has no end.")
            return None
        header = Header.from_json(line, journal)
        whole = len(line)
        end = 0
        while line := file.readline(MOST_LINE):
            entry = entry_of(line)
            if entry is None:
                check_torn(journal, file, len(names) + 2)
                break
            name, offset, n_bytes, crc = entry
            if offset != end or n_bytes % header.item_bytes:
                raise damaged(
                    journal, len(names) + 2, f"its {n_bytes} bytes at {offset} are no items of {header.item_bytes} bytes at {end}"
                )
            if end + n_bytes > size:  # of a power cut: the journal was on the disk before the data were
                break
            if name in seen:
                raise damaged(journal, len(names) + 2, f"the name {name[:80]!r} stands in it twice")
            seen.add(name)
            names.append(name)
            rows.append((offset, n_bytes, crc))
            end += n_bytes
            whole += len(line)
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    offsets, lengths = table[:, 0] // header.item_bytes, table[:, 1] // header.item_bytes
    return Index(path, header, names, offsets, lengths, table[:, 2].astype(np.uint32), part, 0, whole)


def read_sealed(path: Path) -> Index:
    """Return the tracks of a sealed store. Raises StoreError naming the file when it is damaged, cut short or something else."""
    import h5py

    check_regular(path, StoreError)
    try:
        with h5py.File(path, "r", locking=False) as file:
            if "header" not in file:
                raise StoreError(f"{path} is an HDF5 file but not a track store (it has no 'header').")
            for key in ("header", "names", "offsets", "lengths", "crc", "data"):
                check_dataset(file, key, path)
            header = Header.from_json(file["header"][:].tobytes(), path)
            names = json.loads(file["names"][:].tobytes())
            offsets, lengths, crcs = (file[key][:] for key in ("offsets", "lengths", "crc"))
            data = file["data"]
            place, shape, dtype = data.id.get_offset(), data.shape, data.dtype
    except StoreError:
        raise
    except (
        OSError,
        KeyError,
        ValueError,
        RuntimeError,
        TypeError,
        AttributeError,
        RecursionError,
        MemoryError,
        OverflowError,
    ) as error:
        raise StoreError(
            f"{path} cannot be read as a track store; it is damaged or cut short ({brief(error)}). Make it again."
        ) from None
    if place is None:
        raise StoreError(f"The data of {path} are not contiguous (was it repacked?). Copy the original file again.")
    if (
        not isinstance(names, list)
        or len(shape) != 1 + len(header.item_shape)
        or tuple(shape[1:]) != header.item_shape
        or dtype != header.dtype
    ):
        raise StoreError(f"{path} is damaged: its header does not fit its data. Make it again.")
    index = Index(path, header, names, offsets, lengths, crcs, path, place)
    if wrong := check_index(index, path.stat().st_size, int(shape[0])):
        raise StoreError(f"{path} is damaged: its index does not fit its data ({wrong}). Make it again.")
    return Index(path, header, names, offsets.astype(np.int64), lengths.astype(np.int64), crcs.astype(np.uint32), path, place)


def check_track(index: Index, i: int, file: BinaryIO, name: str) -> bool:
    """Return whether track `i`, of this name, read from the opened data file, has its CRC. Bounded memory."""
    crc = track_crc(name)
    left = int(index.lengths[i]) * index.header.item_bytes
    file.seek(index.data_offset + int(index.offsets[i]) * index.header.item_bytes)
    while left:
        block = file.read(min(BLOCK, left))
        if not block:
            return False
        crc = zlib.crc32(block, crc)
        left -= len(block)
    return crc == int(index.crcs[i])


def write_sealed(index: Index, target: Path) -> None:
    """Write the tracks of `index` (parts) as one sealed file at `target`, checking each CRC on the way, and sync it. Bounded
    memory.

    HDF5 lays the file out with room for the data; the data then go in as plain bytes, because a disk that fills up while HDF5
    holds unwritten buffers leaves it unable to close the file.

    Raises StoreError for a track whose data do not match its CRC, OSError for what the disk says.
    """
    import h5py

    with h5py.File(target, "w", locking=False) as file:
        for key, text in (("header", index.header.to_json()), ("names", json.dumps(index.names))):
            file.create_dataset(key, data=np.frombuffer(text.encode(), dtype=np.uint8))
        for key, values in (("offsets", index.offsets), ("lengths", index.lengths), ("crc", index.crcs)):
            file.create_dataset(key, data=values)
        space = h5py.h5s.create_simple((index.n_items, *index.header.item_shape))
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_layout(h5py.h5d.CONTIGUOUS)
        plan.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        plan.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        plan.set_obj_track_times(False)  # equal contents make equal files, whenever they are written
        kind = h5py.h5t.py_create(index.header.dtype, logical=True)
        place = h5py.h5d.create(file.id, b"data", kind, space, plan).get_offset()
    with open_regular(index.data_path, StoreError, buffering=BLOCK) as source, open(target, "r+b", buffering=BLOCK) as sealed:
        sealed.seek(place)
        for name, length, expected in zip(index.names, index.lengths.tolist(), index.crcs.tolist()):
            crc, left = track_crc(name), length * index.header.item_bytes
            while left:
                block = source.read(min(BLOCK, left))
                if not block:
                    break
                sealed.write(block)
                crc = zlib.crc32(block, crc)
                left -= len(block)
            if left or crc != expected:
                raise StoreError(f"Track {name!r} in {index.data_path} is damaged on disk (its checksum differs).")
        sealed.flush()
        os.fsync(sealed.fileno())


def sync_folder(folder: Path) -> None:
    """Make names created or replaced in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def short(value: object) -> str:
    """Return a value for a message: hashes by their first digits."""
    return f"{value[:8]}..." if isinstance(value, str) and len(value) == 64 else repr(value)
