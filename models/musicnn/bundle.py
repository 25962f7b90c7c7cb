"""Reading a TensorFlow checkpoint bundle (format V2: an index and one file of data) without TensorFlow.

The index is a LevelDB table: blocks of sorted keys, of which each holds what differs from the one before, with restarts at their ends; each block is
followed by a byte of compression and a masked CRC-32C. Its keys are the variables' names, its values protocol buffers that say type, shape, place
and size. The data are little-endian, in C order. Nothing in it is run, no name in it leads anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ..errors import WeightsError, listed

MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
FOOTER = 48  # bytes at the end: where the two index blocks are, padding, magic
FLOAT32 = 1  # of field "dtype"
NAMES = {2: "float64", 3: "int32", 9: "int64", 14: "bfloat16", 19: "float16"}  # other types that such files hold
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types of protocol buffers
MAX_DIMENSION = 1 << 40


@dataclass(frozen=True)
class _Entry:
    """Where a variable stands in the data. dtype: TensorFlow's number. size: bytes."""

    dtype: int
    shape: tuple[int, ...]
    offset: int
    size: int
    shard: int
    sliced: bool


def read_bundle(index: bytes, data: bytes, names: Iterable[str], source: str = "The bundle") -> dict[str, np.ndarray]:
    """Variables by their names, float32 in C order, each an array of its own.

    index, data: contents of `.index` and `.data-00000-of-00001`. names: those wanted; others (an optimiser's) are not looked at. source: what the
    bytes are of, for messages.

    Raises WeightsError: no bundle, damaged, compressed, of several files of data, or without one of the names as float32.
    """
    try:
        entries = _entries(index)
        if absent := [name for name in names if name not in entries]:
            raise _Refused(f"it has no {listed(absent, 3)}; it holds {len(entries)} variables, {listed(list(entries), 3)}")
        return {name: _array(name, entries[name], data) for name in names}
    except _Refused as error:
        raise WeightsError(f"{source} is no readable TensorFlow checkpoint: {error}. Fetch it again.") from None


class _Refused(Exception):
    """What is wrong with the bytes, without the file's name."""


def _array(name: str, entry: _Entry, data: bytes) -> np.ndarray:
    if entry.dtype != FLOAT32:
        raise _Refused(f"{name} is {NAMES.get(entry.dtype, f'of type {entry.dtype}')}, float32 is wanted")
    if entry.shard or entry.sliced:
        raise _Refused(f"{name} is spread over several files or parts, one is wanted")
    wanted = 4 * math.prod(entry.shape)
    if entry.size != wanted:
        raise _Refused(f"{name} {list(entry.shape)} has {entry.size} bytes, {wanted} are wanted")
    if entry.offset + entry.size > len(data):
        raise _Refused(f"its data are cut off: {name} ends at byte {entry.offset + entry.size} of {len(data)}")
    flat = np.frombuffer(data, "<f4", entry.size // 4, entry.offset)
    if not np.isfinite(flat).all():
        raise _Refused(f"{name} holds NaN or infinite values")
    return flat.astype(np.float32).reshape(entry.shape)


# ---- the table
def _entries(index: bytes) -> dict[str, _Entry]:
    if len(index) < FOOTER or index[-len(MAGIC) :] != MAGIC:
        raise _Refused("its index does not end as such a table does; it is cut off, or another file")
    footer = index[-FOOTER:]
    _, _, place = _two_numbers(footer, 0)  # of the block of meta blocks, of which there are none
    offset, size, _ = _two_numbers(footer, place)
    found: dict[str, _Entry] = {}
    for _, handle in _pairs(_block(index, offset, size)):
        for key, value in _pairs(_block(index, *_two_numbers(handle, 0)[:2])):
            if not key:
                _check_header(value)
            else:
                found[key.decode("utf-8", "replace")] = _entry(value)
    if not found:
        raise _Refused("its index holds no variable")
    return found


def _block(index: bytes, offset: int, size: int) -> bytes:
    end = offset + size
    if end + 5 > len(index) - FOOTER:
        raise _Refused(f"a block of its index ends at byte {end + 5} of {len(index)}")
    if index[end]:
        raise _Refused(f"a block of its index is compressed (kind {index[end]}); only uncompressed ones are read")
    if _masked_crc(index[offset : end + 1]) != int.from_bytes(index[end + 1 : end + 5], "little"):
        raise _Refused("a block of its index has another checksum than it says")
    return index[offset:end]


def _pairs(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block, in order."""
    restarts = int.from_bytes(block[-4:], "little") if len(block) >= 4 else 0
    end = len(block) - 4 * (restarts + 1)
    if end < 0:
        raise _Refused("a block of its index is shorter than it says")
    place, key = 0, b""
    while place < end:
        shared, place = _varint(block, place)
        own, place = _varint(block, place)
        length, place = _varint(block, place)
        if shared > len(key) or place + own + length > end:
            raise _Refused("an entry of its index is longer than its block")
        key = key[:shared] + block[place : place + own]
        place += own
        yield key, block[place : place + length]
        place += length


def _two_numbers(text: bytes, place: int) -> tuple[int, int, int]:
    """Two varints (offset and size of a block), and where they end."""
    offset, place = _varint(text, place)
    size, place = _varint(text, place)
    return offset, size, place


def _varint(text: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(text):
            break
        byte = text[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise _Refused("a number in its index is cut off or too long")


# ---- what an entry says
def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Numbers and values of a protocol buffer's fields, in order."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        kind = tag & 7
        if kind == VARINT:
            number, place = _varint(message, place)
            yield tag >> 3, number
            continue
        if kind == BYTES:
            length, place = _varint(message, place)
        elif kind in (FIXED32, FIXED64):
            length = 4 if kind == FIXED32 else 8
        else:
            raise _Refused(f"an entry of its index has a field of unknown kind {kind}")
        if place + length > len(message):
            raise _Refused("a field of its index is cut off")
        part = message[place : place + length]
        place += length
        yield tag >> 3, part if kind == BYTES else int.from_bytes(part, "little")


def _numbers(message: bytes) -> dict[int, int]:
    return {field: value for field, value in _fields(message) if isinstance(value, int)}


def _entry(message: bytes) -> _Entry:
    numbers, shape, sliced = _numbers(message), [], False
    for field, value in _fields(message):
        if field == 2 and isinstance(value, bytes):
            dimensions = [inner for number, inner in _fields(value) if number == 2 and isinstance(inner, bytes)]
            shape = [_numbers(one).get(1, 0) for one in dimensions]
        sliced = sliced or field == 7
    if any(size > MAX_DIMENSION for size in shape):
        raise _Refused(f"an entry of its index has the impossible shape {shape}")
    return _Entry(numbers.get(1, 0), tuple(shape), numbers.get(4, 0), numbers.get(5, 0), numbers.get(3, 0), sliced)


def _check_header(message: bytes) -> None:
    said = _numbers(message)
    if said.get(1, 1) != 1:
        raise _Refused(f"its data are {said[1]} files, one is wanted")
    if said.get(2, 0) != 0:
        raise _Refused("its data are big-endian")


# ---- CRC-32C (Castagnoli), of blocks of some kilobytes
def _table() -> list[int]:
    out = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        out.append(byte)
    return out


_CRC = _table()


def _masked_crc(text: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in text:
        crc = (crc >> 8) ^ _CRC[(crc ^ byte) & 255]
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
