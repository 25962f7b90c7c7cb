"""Opening safetensors files: what the header claims is compared with the file before anything of it is made.

The format's own reader compares places with the file's size, and believes shapes: [0, 2^62, 2^62] has no values, and steps that no number holds.
Format: 8 bytes, the header's length; the header, json of name -> {dtype, shape, data_offsets} and "__metadata__"; the values.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..bounded_files import MOST_WEIGHTS, open_regular, parsed
from ..errors import WeightsError
from ..settings import shown

if TYPE_CHECKING:
    from torch import Tensor

MOST_HEADER = 100 << 20  # bytes: the format's own bound
MOST_AXES = 16
MOST_VALUES = 1 << 60  # of a shape, zeros taken for ones: below it steps are numbers
METADATA = "__metadata__"
_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1, "C64": 8, "U64": 8, "U32": 4, "U16": 2,
    "F8_E4M3": 1, "F8_E4M3FNUZ": 1, "F8_E5M2": 1, "F8_E5M2FNUZ": 1,
}  # fmt: skip


def load_safetensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file by name, on the CPU. Raises WeightsError for another file, one that is cut off, and one that claims what it has not."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    read_header(path)
    try:
        found: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError, RuntimeError, ValueError, KeyError, OverflowError) as error:
        raise _unreadable(path, " ".join(str(error).split())) from error
    return found


def read_metadata(path: Path) -> dict[str, str]:
    """What a file says of itself. Raises as `load_safetensors`."""
    return dict(read_header(path).get(METADATA, {}))


def read_header(path: Path) -> dict[str, Any]:
    """The header, all of it possible: kinds that there are, shapes whose bytes are there, no name twice. Raises as `load_safetensors`."""
    try:
        with open_regular(path, WeightsError, MOST_WEIGHTS) as file:
            size = file.seek(0, 2)
            file.seek(0)
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or not 2 <= length <= min(MOST_HEADER, size - 8):
                raise ValueError(f"its header claims {shown(length)} bytes of the file's {size}")
            header = parsed(file.read(length), object_pairs_hook=_no_twins)
        if not isinstance(header, dict):
            raise ValueError(f"its header is a {type(header).__name__}")
        for name, said in header.items():
            wrong = _wrong_metadata(said) if name == METADATA else _wrong_entry(said, size - 8 - length)
            if wrong:
                raise ValueError(f"its part {shown(name)} {wrong}")
    except WeightsError:
        raise
    except (OSError, ValueError) as error:
        raise _unreadable(path, str(error)) from None
    return header


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in its header")
    return found


def _wrong_metadata(said: Any) -> str:
    plain = isinstance(said, dict) and all(isinstance(value, str) for value in said.values())
    return "" if plain else f"is {shown(said)}, and texts by name are wanted"


def _wrong_entry(said: Any, held: int) -> str:
    """What is wrong with what a header says of a tensor; "" for nothing."""
    if not isinstance(said, dict) or set(said) != {"dtype", "shape", "data_offsets"}:
        return f"is {shown(said)}, and dtype, shape and data_offsets are wanted"
    kind, shape, place = said["dtype"], said["shape"], said["data_offsets"]
    if not isinstance(kind, str) or kind not in _BYTES:
        return f"is of the kind {shown(kind)}, which is unknown"
    if not isinstance(shape, list) or len(shape) > MOST_AXES or not all(_is_count(one) for one in shape):
        return f"has the shape {shown(shape)}, which is none"
    if math.prod(max(one, 1) for one in shape) > MOST_VALUES:
        return f"has the shape {shown(shape)}, beyond any file"
    if not isinstance(place, list) or len(place) != 2 or not all(_is_count(one) for one in place):
        return f"stands at {shown(place)}, which is no place"
    begin, end = place
    wanted = math.prod(shape) * _BYTES[kind]
    if not (begin <= end <= held and end - begin == wanted):
        return f"of shape {shown(shape)} wants {wanted} bytes, stands at {shown(place)}, and the file has {held}"
    return ""


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_VALUES


def _unreadable(path: Path, why: str) -> WeightsError:
    return WeightsError(f"{path} is no readable safetensors file: {why}. It may be truncated: fetch it again.")
