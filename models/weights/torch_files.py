"""Opening torch's files: what their pickle would build is compared with what the file holds before torch builds any of it.

torch reads tensors alone (`weights_only`), and believes what is said of them: a storage longer than its bytes in the file is read beyond them, a
tensor of a step of 0 has as many values as it likes, a tuple of itself twice, forty times over, is hashed for ever. So the pickle is gone through
twice: its instructions are counted (pickle_bounds.py), then it is read with stand-ins for all that it names, which add up what it claims.
"""

from __future__ import annotations

import collections
import io
import math
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

from ..bounded_files import MOST_WEIGHTS, check_zip, open_regular
from ..errors import WeightsError
from ..pickle_bounds import Clamped, check_pickle
from ..settings import shown

FAULTS = (Exception,)  # torch's readers raise what comes: AssertionError, struct.error, UnicodeDecodeError, ...
MOST_BITS = 4096  # of whole numbers: states of random generators have 128, torch's magic number 77
MOST_PICKLE = 256 << 20  # bytes of the part that names tensors
MOST_SHARED = 4  # times that tensors may show the file's bytes again: tied weights do
FREE = 64 << 20  # bytes of tensors that are never too many
_HEADS = 4  # pickles in front of the storages of torch's older files; the last is the content
_SIZES = {
    "Double": 8,
    "Long": 8,
    "ComplexFloat": 8,
    "ComplexDouble": 16,
    "Float": 4,
    "Int": 4,
    "Half": 2,
    "BFloat16": 2,
    "Short": 2,
}
_REBUILD = re.compile(r"_rebuild_\w+|\w+Tensor|\w+Storage")


def load_torch(source: Path | bytes, path: Path, mmap: bool = False) -> Any:
    """Return the content of a torch file on the CPU: tensors and plain values.

    source: the file, or its bytes. path: its name, for messages. mmap: leave tensors on the disk until they are used.

    Raises WeightsError for a file that claims more than it holds, one of FAULTS for another file and one that torch refuses.
    """
    import torch

    if isinstance(source, Path):
        with open_regular(source, WeightsError, MOST_WEIGHTS) as file:
            _check(file, path)
    else:
        _check(io.BytesIO(source), path)
    opened = source if isinstance(source, Path) else io.BytesIO(source)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what torch finds odd in a file that it reads, or refuses
        return torch.load(opened, mmap=mmap or None, map_location="cpu", weights_only=True)


def _check(file: IO[bytes], path: Path) -> None:
    try:
        if zipfile.is_zipfile(file):
            _check_archive(file, path)
        else:
            file.seek(0)
            if file.read(1) != b"\x80":
                return  # no torch file: torch says so
            _check_stream(file, path)
    except WeightsError as error:
        raise WeightsError(
            f"{path} is no weight file that can be read: {error}" if str(path) not in str(error) else str(error)
        ) from None


def _check_archive(file: IO[bytes], path: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        check_zip(archive, path)
        held: dict[str, int] = {}
        members = archive.infolist()
        for member in members:
            key = member.filename.rpartition("/data/")[2]
            held[key] = min(member.file_size, held.get(key, member.file_size))
        pickles = [member for member in members if member.filename.rpartition("/")[2] == "data.pkl"]
        if any(member.file_size > MOST_PICKLE for member in pickles):
            raise WeightsError("the part that names its tensors is larger than that of any network.")
        for member in pickles:
            content = Clamped(io.BytesIO(archive.read(member)))
            check_pickle(content, WeightsError, MOST_BITS)
            content.seek(0)
            _Claims(content, lambda key, size: size <= held.get(key, 0), sum(held.values())).load()


def _check_stream(file: IO[bytes], path: Path) -> None:
    """Torch's older files: pickles, the storages behind them."""
    clamped = Clamped(cast(Any, file))
    for number in range(_HEADS):
        start = clamped.tell()
        check_pickle(clamped, WeightsError, MOST_BITS)
        end = clamped.tell()
        if number in (0, _HEADS - 1):  # a bare pickle, or the content
            clamped.seek(start)
            _Claims(clamped, lambda _, size: size <= clamped.size, clamped.size).load()
            clamped.seek(end)
        if end >= clamped.size:
            return


class _Stand:
    """Stands for a class that a pickle names; torch refuses those that it does not know."""

    def __new__(cls, *_: Any, **__: Any) -> _Stand:
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        """Nothing is set."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Nothing is kept."""

    def append(self, value: Any) -> None:
        """Nothing is kept."""


class _Claims(pickle._Unpickler):
    """Reads a pickle of tensors, and makes none. Raises WeightsError where what it says of them cannot be."""

    def __init__(self, file: Any, holds: Callable[[str, int], bool], size: int):
        super().__init__(file)
        self._holds, self._left = holds, FREE + MOST_SHARED * size
        self._seen: dict[str, int] = {}

    def persistent_load(self, pid: Any) -> Any:
        """Return the bytes of a storage, and of each of its values."""
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
            raise WeightsError(f"it refers to {shown(pid)}, which is no storage.")
        kind, key, count = pid[1], str(pid[2]), pid[4]
        name = kind.__name__ if isinstance(kind, type) else ""
        each = _SIZES.get(name.removesuffix("Storage"), 1)
        if isinstance(count, bool) or not isinstance(count, int) or count < 0 or not self._holds(key, count * each):
            raise WeightsError(
                f"a tensor's storage claims {shown(count)} values, and the file holds fewer. It is cut off, or made up."
            )
        return count * each, each

    def find_class(self, module: str, name: str) -> Any:
        """Return a stand-in; names are never looked up."""
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if module == "torch._utils" and name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3"):
            return self._tensor
        if module == "torch._utils" and name in ("_rebuild_parameter", "_rebuild_parameter_with_state"):
            return lambda data, *_: data
        if name in ("bytearray", "bytes"):
            return self._bytes
        made = type(name if name.isidentifier() else "x", (_Stand,), {})
        if module.startswith("torch") and _REBUILD.fullmatch(name):  # may be named, as a storage's kind is; is not called
            made.__new__ = self._refuse_call(name)  # type: ignore[method-assign]
        return made

    def _tensor(self, storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> Any:
        numbers = (offset, *shape, *stride)
        if any(isinstance(one, bool) or not isinstance(one, int) or one < 0 for one in numbers) or len(shape) != len(stride):
            raise WeightsError(f"a tensor's place in it is {shown(numbers)}, which cannot be.")
        held, each = storage
        last = offset + sum((size - 1) * step for size, step in zip(shape, stride))
        count = math.prod(shape)
        if count and (last + 1) * each > held:
            raise WeightsError(f"a tensor of {shown(list(shape))} ends behind its bytes in the file. It is cut off, or made up.")
        self._left -= count * each
        if self._left < 0:
            raise WeightsError(f"its tensors come to far more than the file holds (one has {shown(list(shape))}).")
        return _Stand()

    @staticmethod
    def _bytes(given: Any = b"", *_: Any) -> Any:
        if isinstance(given, int):
            raise WeightsError("it makes bytes out of nothing.")
        return _Stand()

    @staticmethod
    def _refuse_call(name: str) -> Callable[..., Any]:
        def refuse(*_: Any, **__: Any) -> Any:
            raise WeightsError(f"it holds what {name} makes; plain tensors are wanted. Save its state dict as such.")

        return refuse
