"""Writing a track store: append, survive any kill, resume, seal. The files are described in files.py."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import weakref
import zlib
from collections.abc import KeysView
from pathlib import Path
from types import TracebackType

import numpy as np

from models.bounded_files import open_regular
from models.errors import StoreBusyError, StoreError, StoreMismatchError

from ..utils.locks import try_flock
from . import files

log = logging.getLogger(__name__)
SYNC_BYTES = (
    256 << 20
)  # data written between two syncs: what a power cut (not a kill) may damage, and what a resume checks by CRC

_open_writers: weakref.WeakSet[StoreWriter] = weakref.WeakSet()


def _forget_in_child() -> None:
    """A forked worker must not hold its parent's lock: it may outlive the parent, and the store could not be resumed."""
    for writer in list(_open_writers):
        writer._close_files()


os.register_at_fork(after_in_child=_forget_in_child)


def _write_all(handle: int, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while len(view):
        view = view[os.write(handle, view) :]


class StoreWriter:
    """The one writer of a store, or of one of its shards. Made by TrackStore.create."""

    def __init__(self, path: Path, header: files.Header):
        self.path = path
        self.header = header
        self._names: dict[str, None] = {}
        self._part = self._journal = -1
        self._under_way: tuple[str, int, int] | None = None  # a track of which parts are written: name, bytes, CRC so far
        if path.exists():
            remove_leftovers(path)
            raise StoreError(
                f"{path} exists already and is sealed. It is never overwritten: choose another name, or remove it first."
            )
        if files.part_path(path).exists() and not files.journal_path(path).exists():
            raise StoreError(
                f"{files.part_path(path)} stands without its journal: its tracks cannot be told apart. Remove it to start again."
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._journal = self._lock()
            _open_writers.add(self)
            self._resume()
        except OSError as error:
            self._close_files()
            kept = "Its folder was removed meanwhile." if _is_gone(error) else "What stood there before is untouched."
            raise StoreError(f"Could not begin, or go on with, {path}: {_reason(error)} {kept}") from error
        except BaseException:
            self._close_files()
            raise

    # -- opening

    def _lock(self) -> int:
        """Open the journal and lock it. The system drops the lock with the process, however that ends."""
        journal = files.journal_path(self.path)
        while True:
            handle = os.open(journal, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
            if not try_flock(handle, journal):
                os.close(handle)
                raise StoreBusyError(
                    f"Another process is writing {self.path}. Wait for it to end, or write another shard (shard=0, 1, ...)."
                )
            # The writer that held the lock before may have sealed the store and removed this very file.
            if journal.exists() and os.path.samestat(os.fstat(handle), os.stat(journal)):
                return handle
            os.close(handle)
            if self.path.exists():
                raise StoreError(f"{self.path} was sealed by another process just now.")

    def _resume(self) -> None:
        index = files.read_parts(self.path)
        self._part = os.open(
            files.part_path(self.path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644
        )
        if index is None:
            self._end, self._journal_end = 0, 0
            line = (self.header.to_json() + "\n").encode()
            os.ftruncate(self._journal, 0)
            os.ftruncate(self._part, 0)
            _write_all(self._journal, line)
            self._journal_end = len(line)
            self._sync()
            files.sync_folder(self.path.parent)
            return
        if index.header != self.header:
            raise _difference(self.path, index.header, self.header)
        good = self._checked_tail(index)
        kept = index.head(good)
        self._names = dict.fromkeys(kept.names)
        self._end = kept.n_items * self.header.item_bytes
        self._journal_end = self._journal_size(good) if good < len(index.names) else index.journal_bytes
        part_size, journal_size = os.fstat(self._part).st_size, os.fstat(self._journal).st_size
        if part_size > self._end or journal_size > self._journal_end:
            log.info("%s: a torn end was cut off; %d whole tracks stand.", self.path, good)
        os.ftruncate(self._part, self._end)
        os.ftruncate(self._journal, self._journal_end)
        os.lseek(self._part, self._end, os.SEEK_SET)
        os.lseek(self._journal, self._journal_end, os.SEEK_SET)
        self._unsynced = 0

    def _checked_tail(self, index: files.Index) -> int:
        """How many tracks are good, checking by CRC those that were perhaps not yet synced when the power went."""
        n = len(index.names)
        first = int(
            np.searchsorted(index.offsets * self.header.item_bytes, index.n_items * self.header.item_bytes - 2 * SYNC_BYTES)
        )
        with open_regular(index.data_path, StoreError) as file:
            for i in range(max(first - 1, 0), n):
                if not files.check_track(index, i, file, index.names[i]):
                    return i
        return n

    def _journal_size(self, n: int) -> int:
        with open_regular(files.journal_path(self.path), StoreError) as file:
            return sum(len(file.readline()) for _ in range(n + 1))

    # -- writing

    @property
    def names(self) -> KeysView[str]:
        """Names of the tracks written so far, in order; `in` is fast."""
        return self._names.keys()

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def append(self, name: str, array: np.ndarray) -> None:
        """Add one track: array [n, *item_shape] of the store's type, n >= 1, all values finite.

        Raises StoreError, and leaves the store as it was, for a name that is there already, an array that does not fit, and a
        full disk.
        """
        self.extend(name, array, last=True)

    def extend(self, name: str, array: np.ndarray, last: bool) -> None:
        """Add the next items [n, *item_shape] of one track, for tracks that are too long to be held; the track is there once its `last` are.

        Raises StoreError as `append` does, and for another track before the last part of one: what is there of a track is then taken back.
        """
        if self._part < 0:
            raise StoreError(f"The writer of {self.path} is closed.")
        self.check_there()
        began, size, crc = self._under_way or (name, 0, files.track_crc(name) if isinstance(name, str) else 0)
        try:
            if began != name:
                raise StoreError(f"{self.path}: {name!r} came before the last part of {began!r}.")
            raw = self._checked(name, array).reshape(-1).view(np.uint8).data
        except StoreError:
            if self._under_way:
                self._take_back()
            raise
        size, crc = size + len(raw), zlib.crc32(raw, crc)
        line = files.journal_line(name, self._end, size, crc) if last else b""
        try:
            _write_all(self._part, raw)
            _write_all(self._journal, line)
        except OSError as error:
            self._take_back()
            raise StoreError(
                f"Could not add {name!r} to {self.path}: {_reason(error)} The {len(self)} tracks before it are whole "
                "and readable; once there is room, the same command goes on from there."
            ) from error
        except BaseException:  # an interrupt between the two writes
            self._take_back()
            raise
        self._unsynced += len(raw)
        self._under_way = None if last else (name, size, crc)
        if last:
            self._names[name] = None
            self._end += size
            self._journal_end += len(line)
        if self._unsynced >= SYNC_BYTES:
            self._sync()

    def check_there(self) -> None:
        """Raise StoreError where the files that are written to no longer stand under their names: what is added to them is lost."""
        for handle, place in ((self._journal, files.journal_path(self.path)), (self._part, files.part_path(self.path))):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                if os.path.samestat(os.stat(place), os.fstat(handle)):
                    continue
            kept = "they stand where it was moved" if os.fstat(handle).st_nlink else "nothing is kept"
            raise StoreError(
                f"{self.path} was removed while it was written: of its {len(self)} tracks {kept}. Start again, and leave its folder alone."
            )

    def _checked(self, name: str, array: np.ndarray) -> np.ndarray:
        if not isinstance(name, str) or not name:
            raise StoreError(f"A track's name is a text of one character or more, not {name!r}.")
        if name in self._names:
            raise StoreError(f"{self.path} holds a track named {name!r} already.")
        data = np.asarray(array)
        if data.dtype != self.header.dtype:
            raise StoreError(
                f"Track {name!r} is {data.dtype}; {self.path} holds {self.header.dtype}. Convert it first (and mind the range)."
            )
        if data.shape[1:] != self.header.item_shape or data.ndim != len(self.header.item_shape) + 1:
            wanted = ", ".join(["n", *map(str, self.header.item_shape)])
            raise StoreError(f"Track {name!r} has shape {list(data.shape)}; {self.path} holds [{wanted}].")
        if len(data) == 0:
            raise StoreError(f"Track {name!r} is empty.")
        if data.dtype.kind == "f" and not np.isfinite(data).all():
            raise StoreError(f"Track {name!r} holds NaN or infinite values.")
        return np.ascontiguousarray(data)

    def _take_back(self) -> None:
        """Cut a half-written track off. Where even that fails, the next resume does it."""
        self._under_way = None
        try:
            for handle, end in ((self._journal, self._journal_end), (self._part, self._end)):
                os.ftruncate(handle, end)
                os.lseek(handle, end, os.SEEK_SET)
        except OSError:
            self.close()

    def _sync(self) -> None:
        os.fsync(self._part)
        os.fsync(self._journal)
        self._unsynced = 0

    # -- ending

    def seal(self) -> Path:
        """Make the one contiguous file, then remove the parts; the writer is closed. Returns its path.

        Raises StoreError when it cannot (no track, full disk, damaged data); the parts then stand untouched and readable.
        """
        if self._part < 0:
            raise StoreError(f"The writer of {self.path} is closed.")
        if self._under_way:
            raise StoreError(f"{self.path} cannot be sealed: the last part of {self._under_way[0]!r} is lacking.")
        if not self._names:
            raise StoreError(f"{self.path} holds no track: there is nothing to seal.")
        target = self.path.with_name(self.path.name + ".sealing")
        try:
            self._sync()
            target.unlink(missing_ok=True)  # of a killed process; it may be a link that leads anywhere
            index = files.read_parts(self.path)
            if index is None or len(index.names) != len(self._names):
                raise StoreError(f"The parts of {self.path} were changed by something else while it was written.")
            files.write_sealed(index, target)
            os.replace(target, self.path)
            files.sync_folder(self.path.parent)
        except BaseException as error:
            with contextlib.suppress(OSError):
                target.unlink(missing_ok=True)
            if isinstance(error, StoreError | OSError):
                self.check_there()
                reason = _reason(error) if isinstance(error, OSError) else str(error)
                raise StoreError(
                    f"Could not seal {self.path}: {reason} The parts beside it are untouched and readable."
                ) from error
            raise
        files.part_path(self.path).unlink()
        files.journal_path(self.path).unlink()  # last: it carries the lock
        self.close()
        return self.path

    def close(self) -> None:
        """Sync and let go of the lock; the parts can be read, and resumed by a new writer."""
        if self._part >= 0:
            with contextlib.suppress(OSError):
                self._sync()
        self._close_files()

    def _close_files(self) -> None:
        _open_writers.discard(self)
        for handle in (self._part, self._journal):
            if handle >= 0:
                os.close(handle)
        self._part = self._journal = -1

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _is_gone(error: OSError) -> bool:
    return isinstance(error, FileNotFoundError | NotADirectoryError)


def _reason(error: OSError) -> str:
    # h5py's OSErrors carry the number in the text only
    full = error.errno == errno.ENOSPC or "No space left" in str(error) or f"errno = {errno.ENOSPC}" in str(error)
    return "no space left on the disk." if full else f"{error.strerror or error}."


def remove_leftovers(path: Path) -> None:
    """Remove the parts of a store whose sealing was killed after the sealed file stood and before they were gone."""
    journal = files.journal_path(path)
    if not journal.exists():
        return
    parts = files.read_parts(path)
    whole = parts is not None and list(parts.names) == files.read_sealed(path).names
    if whole or not files.part_path(path).exists():
        files.part_path(path).unlink(missing_ok=True)
        journal.unlink(missing_ok=True)


def _difference(path: Path, there: files.Header, wanted: files.Header) -> StoreMismatchError:
    parts, differing = [], []
    for field in ("item_shape", "dtype"):
        if getattr(there, field) != getattr(wanted, field):
            parts.append(f"{field} is {getattr(there, field)}, now {getattr(wanted, field)}")
    for key in sorted({*there.attrs, *wanted.attrs}):
        old, new = there.attrs.get(key, "absent"), wanted.attrs.get(key, "absent")
        if old != new:
            parts.append(f"{key} is {files.short(old)}, now {files.short(new)}")
            differing.append(key)
    return StoreMismatchError(
        f"{path} was begun with other settings: {'; '.join(parts)}. Use the old settings to go on, or choose another output.",
        differing,
    )
