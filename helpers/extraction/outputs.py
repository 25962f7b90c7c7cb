"""Where extraction writes: one TrackStore per kind of array, or one .npy file per track. Both resume after a kill and refuse other settings.

An output has `names` (tracks it holds already), `write(name, array, weights)`, `finish()` when all are there, and `close()`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal, Protocol

import numpy as np

from datasets.store.track_store import TrackStore
from datasets.store.writer import remove_leftovers
from datasets.utils.arrays import array_header
from datasets.utils.files import atomic, fitting
from datasets.utils.locks import open_locked
from models.bounded_files import read_json
from models.errors import StoreBusyError, StoreError, StoreMismatchError

from ..utils.json_values import plain

Pool = Literal["none", "mean"]
SETTINGS = "settings.json"
LONG_NAMES = "long_names.json"  # files whose names were shortened, and the tracks that they are of
OTHER_DATA = "Give each collection a predict.out_dir of its own, or remove the old output."


def begun_precision(folder: Path) -> str | None:
    """Return what the outputs below a folder were computed in, as far as they were begun; None where there are none, or they do not say."""
    for path in sorted((*folder.rglob("*.h5"), *folder.rglob("*.h5.journal"), *folder.rglob(SETTINGS))):
        with contextlib.suppress(StoreError, OSError, ValueError):
            about = (
                read_json(path)
                if path.name == SETTINGS
                else TrackStore.open([path.with_name(path.name.removesuffix(".journal"))]).attrs
            )
            if isinstance(about, dict) and isinstance(about.get("precision"), str):
                return str(about["precision"])
    return None


class Output(Protocol):
    """What extraction needs of a place to write to."""

    path: Path
    names: Collection[str]

    def write(self, name: str, array: np.ndarray, weights: np.ndarray) -> None:
        """Add one track: array [windows, *item_shape] float32, weights [windows] (valid frames)."""

    def windows(self, names: Sequence[str]) -> np.ndarray | None:
        """How many windows it holds of each, of an output that is complete; None where that is not known."""

    def first_window(self, name: str) -> np.ndarray | None:
        """What it holds of the first window of a track; None where windows cannot be told apart, or it is still being written."""

    def finish(self) -> Path:
        """All tracks are there. Returns where they stand."""

    def close(self) -> None:
        """Let go; what was written stays and can be resumed."""


class StoreOutput:
    """One TrackStore at `path`, [windows, *item_shape] per track.

    A sealed store with the same attributes that holds all of `wanted` needs nothing more. Raises StoreError for one that lacks some of them or was
    made with other settings, before any work.
    """

    def __init__(self, path: Path, item_shape: Sequence[int], dtype: str, attrs: dict[str, Any], wanted: Sequence[str]):
        self.path, self.dtype = path, np.dtype(dtype)
        self._writer = None
        self._sealed: TrackStore | None = None
        if TrackStore.state(path) == "sealed":
            remove_leftovers(path)  # of a run that was killed between sealing and tidying up
            store = TrackStore.open([path])
            cure = "Give each network and setting a predict.out_dir of its own, or remove the old output."
            store.require(**attrs, cure=cure)
            if store.item_shape != tuple(item_shape) or store.dtype != self.dtype:
                raise StoreError(
                    f"{path} holds {store.dtype} {list(store.item_shape)}, {self.dtype} {list(item_shape)} is wanted. {cure}"
                )
            self.names: Collection[str] = set(store.names)
            lacking = sum(name not in self.names for name in wanted)
            if lacking:
                raise StoreError(
                    f"{path} is complete and lacks {lacking} of the {len(wanted)} tracks asked for: it was made of other data. {OTHER_DATA}"
                )
            self._sealed = store
        else:
            self._writer = TrackStore.create(path, tuple(item_shape), self.dtype, attrs)
            self.names = self._writer.names

    def write(self, name: str, array: np.ndarray, weights: np.ndarray) -> None:
        """See Output."""
        assert self._writer is not None
        self._writer.append(name, _as_type(name, array, self.dtype))

    def windows(self, names: Sequence[str]) -> np.ndarray | None:
        """See Output."""
        store = self._sealed
        return None if store is None else store.lengths[[store.index(name) for name in names]]

    def first_window(self, name: str) -> np.ndarray | None:
        """See Output."""
        store = self._sealed
        return None if store is None else store.read(store.index(name), 0, 1)[0]

    def extend(self, name: str, array: np.ndarray, last: bool) -> None:
        """Add the next items of one track, in order, for tracks that are too long to be held."""
        assert self._writer is not None
        self._writer.extend(name, _as_type(name, array, self.dtype), last)

    def finish(self) -> Path:
        """See Output."""
        if self._writer is not None:
            self._writer.seal()
        return self.path

    def close(self) -> None:
        """See Output."""
        if self._writer is not None:
            self._writer.close()


class NpyOutput:
    """A file `<name>.<kind>.npy` per track in `folder`, tokens joined: [windows, 3C], or with pool "mean" [3, C], weighted by valid frames.

    The settings stand beside them in settings.json; names that are too long for a file with that suffix are shortened and stand in long_names.json.
    Raises StoreError for a folder with files of other settings, or of unknown ones.
    """

    def __init__(self, folder: Path, kind: str, dtype: str, attrs: dict[str, Any], wanted: Sequence[str], pool: Pool = "none"):
        self.path, self.kind, self.dtype, self.pool = folder, kind, np.dtype(dtype), pool
        self._short = {name: fitting(name, f".{kind}.npy") for name in wanted}
        unsafe = [name for name in wanted if not _stays_inside(name)]
        if unsafe:
            raise StoreError(f"{len(unsafe)} track names cannot be file names below {folder}, such as {unsafe[0]!r}.")
        settings: dict[str, Any] = plain({**attrs, "pool": pool, "dtype": str(self.dtype)})  # type: ignore[assignment]
        suffix = f".{kind}.npy"
        here = folder.rglob(f"*{suffix}") if folder.is_dir() else ()
        long = long_names(folder)
        files = {path.relative_to(folder).as_posix() for path in here}
        self.names: Collection[str] = {long.get(file, file.removesuffix(suffix)) for file in files}
        about = folder / SETTINGS
        if about.is_file():
            try:
                old = dict(read_json(about))
            except (OSError, ValueError, TypeError) as error:
                raise StoreError(
                    f"{about} cannot be read as settings: {error}. Choose another predict.out_dir, or remove that folder."
                ) from None
            differing = sorted(key for key in {*old, *settings} if old.get(key) != settings.get(key))
            if differing:
                parts = "; ".join(f"{key} is {old.get(key)!r}, now {settings.get(key)!r}" for key in differing)
                raise StoreMismatchError(
                    f"{folder} was begun with other settings: {parts}. "
                    "Give each network and setting a predict.out_dir of its own, or remove the old output.",
                    differing,
                )
        elif self.names:
            raise StoreError(
                f"{folder} holds {len(self.names)} {suffix} files of unknown settings: choose another predict.out_dir."
            )
        else:
            with _failure_named(f"begin {folder}"), atomic(about) as part:
                part.write_text(json.dumps(settings, indent=2) + "\n")
        self._lock = _locked(about)
        if shortened := {file: name for name, file in self._short.items() if file != name + suffix}:
            with _failure_named(f"write {folder / LONG_NAMES}"), atomic(folder / LONG_NAMES) as part:
                part.write_text(json.dumps({**long, **shortened}, indent=1) + "\n")
        for left in (
            *folder.rglob(f".*{suffix}.*.part"),
            *folder.glob(f".{SETTINGS}.*.part"),
        ):  # of a run that was killed while it wrote
            left.unlink(missing_ok=True)

    def write(self, name: str, array: np.ndarray, weights: np.ndarray) -> None:
        """See Output."""
        if self.pool == "mean":
            array = np.average(array.astype(np.float64), axis=0, weights=weights)
        else:
            array = array.reshape(len(array), -1)
        path = self.path / self._short[name]
        with _failure_named(f"write {path}"), atomic(path) as part, open(part, "wb") as file:
            np.save(file, _as_type(name, array, self.dtype), allow_pickle=False)

    def windows(self, names: Sequence[str]) -> np.ndarray | None:
        """See Output: the shape of a pooled file does not tell."""
        return None

    def first_window(self, name: str) -> np.ndarray | None:
        """See Output."""
        if self.pool == "mean":
            return None
        path = self.path / self._short[name]
        array_header(path)  # what it claims is there
        found: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)[0]
        return found

    def finish(self) -> Path:
        """See Output."""
        return self.path

    def close(self) -> None:
        """See Output."""
        self._lock.close()


def _locked(path: Path) -> IO[str]:
    """The file, opened and locked until it is closed or the process ends. Raises StoreBusyError when another process holds it."""
    file = open_locked(path, "r")
    if file is None:
        raise StoreBusyError(
            f"Another process is writing to {path.parent}. Wait for it to end, or choose another predict.out_dir."
        )
    return file


def long_names(folder: Path) -> dict[str, str]:
    """Return the track of each file in a folder of .npy files whose name was shortened."""
    try:
        found = read_json(folder / LONG_NAMES)
    except (OSError, ValueError):
        return {}
    return {str(file): str(name) for file, name in found.items()} if isinstance(found, dict) else {}


@contextlib.contextmanager
def _failure_named(what: str) -> Iterator[None]:
    """Turn what the disk says into a StoreError that names the file."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"Could not {what}: {error.strerror or error}. What was written before is whole; the same command goes on from there."
        ) from error


def _stays_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def _as_type(name: str, array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if not np.isfinite(array).all():
        raise StoreError(f"The network gave NaN or infinite values for {name!r}: its spectrogram or the weights are damaged.")
    if dtype.kind == "f" and np.abs(array).max(initial=0) > np.finfo(dtype).max:
        raise StoreError(f"The values of {name!r} reach {np.abs(array).max():.3g}, more than {dtype} holds: use dtype float32.")
    return array.astype(dtype)
