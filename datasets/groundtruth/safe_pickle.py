"""Reading a pickle of plain data and numpy arrays without letting it run anything.

A pickle is a program: it names callables and calls them. Here the names on a short list stand for functions of this file that
rebuild arrays and numbers from bytes; every other name stops the reading before anything is looked up. numpy's own callables are
not called: `numpy.dtype` with a crafted state makes an array whose bytes are taken for pointers.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from models.bounded_files import open_regular
from models.errors import GroundtruthError
from models.pickle_bounds import Clamped as _Clamped
from models.pickle_bounds import check_pickle

MOST_PICKLE = 8 << 30  # bytes
KINDS = "biuf"  # truth values, integers, floating point: what labels are kept in
_ORDERS = ("<", ">", "=", "|")


def load(path: str | Path) -> object:
    """Return what the pickle at `path` holds: plain data, numpy numbers, arrays of numbers (as values of a dict, in lists and tuples).

    Raises GroundtruthError for everything else that it asks for, and for a damaged file.
    """
    with open_regular(path, GroundtruthError, MOST_PICKLE) as opened:
        file = _Clamped(opened)
        try:
            check_pickle(file, GroundtruthError)
            file.seek(0)
            return _plain(_Unpickler(file).load())
        except GroundtruthError:
            raise
        except (
            pickle.UnpicklingError,
            EOFError,
            ValueError,
            TypeError,
            KeyError,
            IndexError,
            AttributeError,
            ImportError,
            MemoryError,
            OverflowError,
            RecursionError,
        ) as error:
            raise GroundtruthError(f"the pickle cannot be read ({type(error).__name__}: {error}).") from None


class _Named:
    """What a name on the list stands for. It can be called, and nothing of it can be changed by the pickle."""

    __slots__ = ("_run",)

    def __init__(self, run: Callable[..., object]):
        self._run = run

    def __call__(self, *arguments: object) -> object:
        return self._run(*arguments)

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("a state for a name")


class _Type:
    """A numpy type on its way; `state` is what numpy pickles behind its name."""

    __slots__ = ("dtype",)

    def __init__(self, code: object):
        self.dtype = np.dtype(code) if isinstance(code, str) and len(code) <= 4 else np.dtype("O")
        if self.dtype.kind not in KINDS:
            raise GroundtruthError(
                f"the pickle holds a numpy type {str(code)[:20]!r}; labels are numbers or truth values. Write it as csv or json instead."
            )

    def __setstate__(self, state: object) -> None:
        # (version, byte order, subarray, names, fields, size, alignment, flags): of numbers only the order says anything
        if not (isinstance(state, tuple) and len(state) >= 8 and state[1] in _ORDERS and state[2:5] == (None, None, None)):
            raise pickle.UnpicklingError("an odd state of a numpy type")
        if state[5:8] != (-1, -1, 0):
            raise pickle.UnpicklingError("a numpy type with a size or flags of its own")
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """An array on its way: made empty, then given its state."""

    __slots__ = ("array",)

    def __init__(self) -> None:
        self.array: np.ndarray | None = None

    def __setstate__(self, state: object) -> None:
        _version, shape, kind, fortran, data = state if isinstance(state, tuple) and len(state) == 5 else (0, None, None, 0, 0)
        if isinstance(data, str):  # a Python 2 pickle
            data = data.encode("latin1")
        self.array = _from_bytes(data, kind, shape, "F" if fortran else "C")


def _from_bytes(data: object, kind: object, shape: object, order: object) -> np.ndarray:
    if not isinstance(kind, _Type) or not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise pickle.UnpicklingError("an array without a shape and a type")
    if not isinstance(data, bytes | bytearray) or order not in ("C", "F") or len(shape) > 2:
        raise pickle.UnpicklingError("an array that is not made of bytes")
    return np.frombuffer(data, kind.dtype).reshape(shape, order=order)  # a size that does not fit the bytes is a ValueError


def _reconstruct(kind: object, shape: object, code: object) -> _Array:
    if kind is not _NDARRAY:
        raise pickle.UnpicklingError("an array of another class")
    return _Array()


def _scalar(kind: object, data: object) -> np.generic:
    if isinstance(data, str):
        data = data.encode("latin1")
    return _from_bytes(data, kind, (1,), "C")[0]


def _latin1(text: object, encoding: object) -> bytes:
    """What Python 2's pickles call to make bytes; the real codecs.encode would run any codec."""
    if encoding != "latin1" or not isinstance(text, str):
        raise pickle.UnpicklingError(f"encoding {encoding}")
    return text.encode("latin1")


def _no_call(*arguments: object) -> object:
    raise pickle.UnpicklingError("a call of numpy.ndarray")


_NDARRAY = _Named(_no_call)
_KNOWN: dict[tuple[str, str], _Named] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _Named(lambda code, align=False, copy=True: _Type(code)),
    ("_codecs", "encode"): _Named(_latin1),
}
for _package in ("numpy.core", "numpy._core"):
    _KNOWN[f"{_package}.multiarray", "_reconstruct"] = _Named(_reconstruct)
    _KNOWN[f"{_package}.multiarray", "scalar"] = _Named(_scalar)
    _KNOWN[f"{_package}.numeric", "_frombuffer"] = _Named(_from_bytes)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Any):
        super().__init__(file, encoding="latin1")

    def find_class(self, module: str, name: str) -> object:
        """Return only what is on the list; everything else stops the reading before it is looked up."""
        if (module, name) not in _KNOWN:
            raise GroundtruthError(
                f"the pickle asks for {module}.{name}; only plain data and numpy arrays are admitted, because a pickle can run anything. "
                "Write it as csv or json instead."
            )
        return _KNOWN[module, name]


def _plain(value: object) -> object:
    """The stand-ins replaced by what they hold: the value, or the values of a dict."""
    if isinstance(value, dict):
        return {key: _finished(entry) for key, entry in value.items()}
    return _finished(value)


def _finished(value: object) -> object:
    if isinstance(value, _Array):
        if value.array is None:
            raise pickle.UnpicklingError("an array without its data")
        return value.array
    if isinstance(value, list | tuple) and any(isinstance(entry, _Array) for entry in value):
        return [_finished(entry) for entry in value]
    if isinstance(value, _Named | _Type):
        raise GroundtruthError("the pickle holds a type or a function in place of data.")
    return value
