"""Per-file layouts of the published suite, into track stores and out of them.

`.mmap`: one raw file per track, float16 [T, 96] row after row, without a header; a track's key is its path with the suffix `.mmap`.
`.npy`: one array per track: `<key>.npy`, `<key>.embeddings.npy` [windows, 2304], `<key>.logits.npy` [windows, L].

Names in a store are data: one that would leave the target folder is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from models.bounded_files import check_regular
from models.errors import StoreError, listed

from ..groundtruth.groundtruth import without_suffix
from ..utils.arrays import array_header, load_array
from ..utils.files import atomic
from ..utils.names import repeats
from .track_store import TrackStore

MMAP = ".mmap"
MOST_RAW = 2 << 30  # bytes of a track: two days
EMBEDDINGS = ".embeddings.npy"
LOGITS = ".logits.npy"


def safe_path(folder: Path, name: str, suffix: str) -> Path:
    """Return `folder/name` + suffix, certain to lie within the folder. Raises StoreError for a name that is no plain relative path."""
    parts = name.split("/")
    if name.startswith("/") or "\0" in name or "\\" in name or any(part in ("", ".", "..") for part in parts):
        raise StoreError(f"The track's name {name!r} cannot be a file's name in {folder}: it must be a plain relative path.")
    path = folder.joinpath(*parts[:-1], parts[-1] + suffix)
    if not path.parent.resolve().is_relative_to(folder.resolve()):  # a link on the way
        raise StoreError(f"The track's name {name!r} leads out of {folder}.")
    return path


def export_files(
    store: TrackStore,
    folder: str | Path,
    suffix: str = MMAP,
    replace_suffix: bool | None = None,
    flat: bool = False,
    progress: Callable[[Sequence[str]], Iterator[str]] = iter,
) -> int:
    """Write each track as a file of its own; returns how many were written. What stands there whole already is left and not counted.

    suffix: MMAP writes raw float16 [T, 96]; any suffix that ends in ".npy" writes arrays. replace_suffix: "a.mp3" becomes "a.mmap" rather than
    "a.mp3.mmap"; by default for MMAP only. flat: [windows, 3, 768] is written as [windows, 2304]. progress: wraps the names.

    Raises StoreError, before anything is written, for a store of another type, for names that are unsafe or would share a file, and
    for a file that stands there and is another; and when the disk is full.
    """
    folder = Path(folder)
    raw = suffix == MMAP
    if raw and (store.item_shape != (96,) or store.dtype != np.float16):
        raise StoreError(
            f"A {MMAP} file holds float16 [T, 96]; {store.paths[0]} holds {store.dtype} items of {list(store.item_shape)}."
        )
    if not raw and not suffix.endswith(".npy"):
        raise StoreError(f"Tracks are written as '{MMAP}' or '....npy' files, not '{suffix}'.")
    replace_suffix = raw if replace_suffix is None else replace_suffix
    targets = {name: safe_path(folder, without_suffix(name) if replace_suffix else name, suffix) for name in store.names}
    if len(set(targets.values())) < len(targets):
        twice = [path.name for path in repeats(targets.values())]
        raise StoreError(
            f"{len(twice)} tracks would share a file, such as {twice[0]!r}. Keep their suffixes (replace_suffix=False)."
        )
    shapes = {name: _shape(store, i, flat) for i, name in enumerate(store.names)}
    there = [name for name, path in targets.items() if path.exists()]
    other = [str(targets[name]) for name in there if not _holds(targets[name], shapes[name], store.dtype, raw)]
    if other:
        raise StoreError(
            f"{len(other)} files stand in {folder} already and are not these tracks: {listed(other, 3)}. Choose another folder."
        )
    done = set(there)
    for name in progress([name for name in store.names if name not in done]):
        _write(targets[name], store.read(name).reshape(shapes[name]), raw)
    return len(targets) - len(done)


def _shape(store: TrackStore, i: int, flat: bool) -> tuple[int, ...]:
    n = int(store.lengths[i])
    return (n, int(np.prod(store.item_shape))) if flat else (n, *store.item_shape)


def _holds(path: Path, shape: tuple[int, ...], dtype: np.dtype, raw: bool) -> bool:
    if raw:
        return path.stat().st_size == int(np.prod(shape)) * dtype.itemsize
    try:
        return array_header(path) == (shape, dtype)
    except (OSError, StoreError):
        return False


def _write(path: Path, array: np.ndarray, raw: bool) -> None:
    try:
        with atomic(path, sync=False) as part, open(part, "wb") as file:
            if raw:
                file.write(array.tobytes())
            else:
                np.lib.format.write_array(file, array, allow_pickle=False)
    except OSError as error:
        raise StoreError(
            f"Could not write {path}: {error.strerror}. The files before it are whole; the same call goes on from there."
        ) from error


def import_files(
    folder: str | Path,
    out: str | Path,
    attrs: dict,
    suffix: str = MMAP,
    item_shape: Sequence[int] | None = None,
    progress: Callable[[Sequence[str]], Iterator[str]] = iter,
) -> Path:
    """Make a sealed track store of a folder of per-file tracks; returns its path. An interrupted import goes on where it stopped.

    Names: the paths relative to the folder; of "a.mp3.embeddings.npy" it is "a.mp3", of "a.mmap" "a.mmap", which matches the published
    groundtruths' keys. item_shape: of .mmap files (96,) unless said; of .npy files as the first one, or as said: (3, 768) reads
    [windows, 2304] back. progress: wraps the names.

    Raises StoreError for no files, and naming the file that does not fit.
    """
    folder = Path(folder)
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob(f"*{suffix}")) if path.is_file()}
    if suffix != MMAP:
        files = {name.removesuffix(suffix): path for name, path in files.items()}
    if not files:
        raise StoreError(f"There are no *{suffix} files in {folder}.")
    first = None if suffix == MMAP else _load(next(iter(files.values())))
    shape = tuple(item_shape) if item_shape is not None else (96,) if first is None else first.shape[1:]
    dtype = np.dtype(np.float16) if first is None else first.dtype
    with TrackStore.create(out, shape, dtype, attrs) as writer:
        for name in progress([name for name in files if name not in writer]):
            path = files[name]
            array = _load_raw(path) if suffix == MMAP else _load(path)
            size = int(np.prod(shape, dtype=np.int64))
            if array.size == 0 or array.size % size or (suffix != MMAP and array[0].size != size):
                raise StoreError(f"{path} holds {list(array.shape)} values; items of {list(shape)} are wanted.")
            writer.append(name, array.reshape(-1, *shape))
        return writer.seal()


def _load_raw(path: Path) -> np.ndarray:
    check_regular(path, StoreError, MOST_RAW)
    size = path.stat().st_size
    if size % 2:
        raise StoreError(f"{path} holds {size} bytes, and float16 values have two each: it is cut off, or of another kind.")
    return np.fromfile(path, dtype="<f2")


def _load(path: Path) -> np.ndarray:
    array = load_array(path)
    if array.ndim < 1:
        raise StoreError(f"{path} holds a single number; an array is wanted.")
    return array
