"""One process at a time works in a run folder."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
from typing import Any

from models.bounded_files import never_through_a_link
from models.errors import ConfigError

log = logging.getLogger(__name__)
LOCK = ".lock"


class RunLock:
    """Keeps a run folder to one process as long as that lives. A process that is killed leaves no lock behind."""

    def __init__(self, folder: Path):
        """Take the lock. Raises ConfigError where another process works in `folder`."""
        self.path = folder / LOCK
        self._file: Any = None
        try:
            import fcntl
        except ImportError:  # Windows
            return
        file = open(self.path, "a+", opener=never_through_a_link)  # noqa: SIM115  held until release
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            file.seek(0)
            owner = file.read().strip()
            file.close()
            raise ConfigError(
                f"{folder} is being written by {owner or 'another process'}: wait for it, or end it first."
            ) from error
        except OSError as error:  # a file system without locks
            log.info("%s cannot be locked (%s): see to it that one run at a time works there.", folder, error)
            file.close()
            return
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        self._file = file

    def release(self) -> None:
        """Let others in."""
        if self._file is not None:
            self._file.truncate(0)
            self._file.close()
            self._file = None
