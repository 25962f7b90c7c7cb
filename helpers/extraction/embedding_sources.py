"""Where embeddings lie: a TrackStore, or a folder of `.embeddings.npy` files, read alike by the numbers of tracks.

Stores hold [windows, 3, C] per track; the per-file layouts are [windows, 3C] and, averaged, [3, C]. Networks without tokens leave
[windows, C].
"""

from __future__ import annotations

import logging
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from datasets.store.track_store import TrackStore
from datasets.utils.arrays import array_header, load_array
from models.bounded_files import read_json
from models.errors import ConfigError, StoreError

from .outputs import long_names
from .tokens import PUBLISHED_SIZE, Choice

log = logging.getLogger(__name__)
NPY_SUFFIX = ".embeddings.npy"


def open_embeddings(source: str | Path | TrackStore, choice: Choice) -> StoredEmbeddings | EmbeddingFiles:
    """A store or a folder of files, to be read. Raises StoreError for a place without embeddings."""
    if isinstance(source, TrackStore):
        return StoredEmbeddings(source, choice)
    place = Path(source)
    if place.is_dir() and not any(place.glob("*.h5*")):
        if not any(place.rglob(f"*{NPY_SUFFIX}")):
            raise StoreError(_no_store(place))
        return EmbeddingFiles(place, choice)
    if not place.exists() and not any(place.parent.glob(f"{place.stem}*")):  # the parts of a store need not have its name
        raise StoreError(
            f"There are no embeddings at {place} (data.base_dir): the command extract_embeddings writes them. A folder of "
            f"<track>{NPY_SUFFIX} files, of any network, will do too."
        )
    return StoredEmbeddings(source, choice)


def _no_store(folder: Path) -> str:
    """That a folder holds no embeddings, and where some are below it."""
    below = sorted({path.parent for path in folder.rglob("embeddings*.h5*")})
    there = (
        f"there {'is one' if len(below) == 1 else 'are some'} at {', '.join(map(str, below[:3]))}: name that folder"
        if below
        else ""
    )
    made = "the command extract_embeddings writes them"
    return f"{folder} holds no store of embeddings, and no files *{NPY_SUFFIX}; {there or made}."


class StoredEmbeddings:
    """A track store, as `load_rows` reads it."""

    def __init__(self, source: str | Path | TrackStore, choice: Choice):
        self.store = source if isinstance(source, TrackStore) else TrackStore.open(source)
        self.where, self.names = str(self.store.paths[0]), self.store.names
        self.number = {name: i for i, name in enumerate(self.names)}
        shape, attrs = self.store.item_shape, self.store.attrs
        self.width = int(np.prod(shape))
        known = attrs.get("network", {}).get("embed_dim")
        flat = known or choice.token_size or PUBLISHED_SIZE
        self.size = flat if shape == (3 * flat,) and attrs.get("block") != -1 else shape[-1]
        self.tokens = shape != (self.size,)

    def lengths(self, numbers: np.ndarray) -> np.ndarray:
        return self.store.lengths[numbers]

    def read(self, numbers: np.ndarray, stop: int | None) -> np.ndarray:
        return self.store.read_many(numbers, stop)


class EmbeddingFiles:
    """A folder of `<key>.embeddings.npy`, where a key may hold folders, as `load_rows` reads it: every file once.

    [3, C] may be the three tokens of one average, or three windows without tokens: what the folder's other files are tells. Where all are [3, C]
    they are tokens, as in the published suite's averages; that is said where the folder has no settings.json of this suite's extraction.
    """

    def __init__(self, folder: Path, choice: Choice):
        self.where, self.folder = str(folder), folder
        self._files, long = list(folder.rglob(f"*{NPY_SUFFIX}")), long_names(folder)
        places = [path.relative_to(folder).as_posix() for path in self._files]
        self.names = [long.get(place, place.removesuffix(NPY_SUFFIX)) for place in places]
        self.number = {name: i for i, name in enumerate(self.names)}
        known = None
        if (folder / "settings.json").is_file():  # of this suite's extraction
            try:
                known = read_json(folder / "settings.json").get("network", {}).get("embed_dim")
                if known is not None and not 0 < int(known) < 1 << 20:
                    raise ValueError(f"its embed_dim is {known}")
            except (OSError, ValueError, TypeError, AttributeError) as error:
                raise StoreError(f"{folder / 'settings.json'} cannot be read as settings of an extraction: {error}.") from None
        self.size, self.width = known or choice.token_size or PUBLISHED_SIZE, 3 * PUBLISHED_SIZE
        self._arrays: dict[int, np.ndarray] = {}
        self._known = known is not None

    @cached_property
    def tokens(self) -> bool:
        """Whether the arrays are of tokens; looked at when they are first read, since names alone need it not."""
        shapes = (_shape(path) for path in self._files)
        telling = next(
            (kind for shape in shapes if (kind := _tokens(shape, self.size)) is not None), None
        )  # of the first file, mostly
        if telling is None and not self._known:
            _log_three_tokens(self.folder, self.size)
        return telling is not False

    def lengths(self, numbers: np.ndarray) -> np.ndarray:
        return np.array([len(self._array(int(i))) for i in numbers])

    def read(self, numbers: np.ndarray, stop: int | None) -> np.ndarray:
        return np.concatenate([self._array(int(i))[:stop] for i in numbers])

    def _array(self, i: int) -> np.ndarray:
        if i in self._arrays:
            return self._arrays[i]
        path, size = self._files[i], self.size
        try:
            array = load_array(path)
        except StoreError as error:
            raise StoreError(f"{error} Extract it again.") from error
        if not np.isfinite(array).all():
            raise StoreError(f"{path} holds NaN or infinite values. Extract it again.")
        kind = _tokens(array.shape, size)
        if kind is None and array.shape != (3, size):
            raise ConfigError(
                f"{path} has the shape {list(array.shape)}, which is neither [windows, 3, {size}] nor [windows, {3 * size}] nor "
                f"[windows, {size}]. Set data.token_size to the network's width."
            )
        if kind is not None and kind != self.tokens:
            kinds = f"tokens, [windows, 3, {size}]", f"vectors without tokens, [windows, {size}]"
            raise StoreError(
                f"{path} has the shape {list(array.shape)}; other files of {self.folder} are {kinds[not self.tokens]}. Keep files of different "
                "networks in folders of their own."
            )
        array = array.reshape(-1, 3, size) if self.tokens else array.reshape(-1, size)
        self._arrays[i] = array
        return array


@cache
def _log_three_tokens(folder: Path, size: int) -> None:
    """Once, and not for every split."""
    log.warning(
        "All arrays in %s are [3, %d]: they are taken as three tokens (c, d, t) of one window each. If they are three windows of vectors "
        "without tokens, write them into a track store of [windows, %d].", folder, size, size,
    )  # fmt: skip


def _tokens(shape: tuple[int, ...], size: int) -> bool | None:
    """Whether an array's shape is of three tokens of `size` (True) or of vectors without; None for neither, and for [3, size], which may be both."""
    if shape == (3, size):
        return None
    if shape == (3 * size,) or (len(shape) == 2 and shape[1] == 3 * size) or (len(shape) == 3 and shape[1:] == (3, size)):
        return True
    return False if shape == (size,) or (len(shape) == 2 and shape[1] == size) else None


def _shape(path: Path) -> tuple[int, ...]:
    """Of an .npy file, by its header; () where it cannot be read: who reads the array says why."""
    try:
        return array_header(path)[0]
    except (OSError, StoreError):
        return ()
