"""Locks between processes: one writer of a file or folder at a time."""

from __future__ import annotations

import contextlib
import fcntl
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from models.bounded_files import never_through_a_link

log = logging.getLogger(__name__)


def try_flock(file: IO | int, path: Path) -> bool:
    """Lock an open file for this process and those that inherit it. Return False where another holds it.

    The system drops the lock once all who share it closed the file or ended, however they ended. Where the file system has no locks (some network
    file systems) it warns, naming `path`, and returns True: one writer alone can go on.
    """
    return _flock(file, path, fcntl.LOCK_NB)


def open_locked(path: Path, mode: str = "a+") -> IO[str] | None:
    """Open a file and lock it until it is closed or the process ends; None where another holds it. Modes that write make its folder."""
    if mode != "r":
        path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, mode, opener=never_through_a_link)  # noqa: SIM115  the caller holds it
    if not try_flock(file, path):
        file.close()
        return None
    return file


@contextlib.contextmanager
def wait_for_lock(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file `path` within the block, once no other process does; `on_wait` is called when another does.

    Where the file cannot be opened (a folder that may not be written) it warns and goes on.
    """
    with contextlib.ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(open(path, "a+", opener=never_through_a_link))
        except OSError as error:
            _warn(path, error)
        else:
            if not try_flock(file, path):
                on_wait()
                _flock(file, path, 0)
        yield


def _flock(file: IO | int, path: Path, how: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | how)
    except BlockingIOError:
        return False
    except OSError as error:
        _warn(path, error)
    return True


def _warn(path: Path, error: OSError) -> None:
    log.warning("%s cannot be locked (%s): make sure that only one process at a time writes there.", path, error)
