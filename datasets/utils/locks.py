"""Locks between processes: one writer of a file or folder at a time."""

from __future__ import annotations

import fcntl
import logging
from pathlib import Path
from typing import IO

log = logging.getLogger(__name__)


def try_flock(file: IO | int, path: Path) -> bool:
    """Lock an open file for this process and those that inherit it. False where another holds it.

    The system drops the lock once all who share it closed the file or ended, however they ended. Where the file system has no locks (some network
    file systems) it warns, naming `path`, and says True: one writer alone can go on.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        log.warning("%s cannot be locked (%s): make sure that only one process at a time writes there.", path, error)
    return True
