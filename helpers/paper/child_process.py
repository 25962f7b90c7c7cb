"""A step's process: in a session of its own, its output in a log file, ended when its starter is, and never two of them at once.

The lock of a step's folder is inherited by its process: where the starter alone is killed, the next one waits until the process has saved what it
has and is gone (on Linux it is asked to end at once).
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from models.bounded_files import never_through_a_link

log = logging.getLogger(__name__)
GRACE_SECONDS = 60.0  # s that processes that were asked to end have for their last checkpoints
_PR_SET_PDEATHSIG = 1


class ChildProcess:
    """A Python command in a process of its own.

    The thread that starts it must outlive it: on Linux the process is asked to end when that thread does.

    Args:
        arguments: of Python: a script and its words.
        log_file: what its output is appended to.
        lock: an open, locked file that the process inherits.
        env: environment variables.
    """

    def __init__(self, arguments: Sequence[str], log_file: Path, lock: IO[str], env: Mapping[str, str]):
        starter = os.getpid()
        libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

        def in_child() -> None:  # in the new process, before it is Python
            if libc is not None:
                libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
                if os.getppid() != starter:
                    os.kill(os.getpid(), signal.SIGTERM)

        with open(log_file, "ab", opener=never_through_a_link) as out:
            out.write(f"$ {' '.join(arguments)}\n".encode())
            out.flush()
            self._process = subprocess.Popen(
                [sys.executable, *arguments], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=dict(env),
                start_new_session=True, pass_fds=(lock.fileno(),), preexec_fn=in_child,
            )  # fmt: skip
        self.started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Return the seconds since its start."""
        return time.monotonic() - self.started

    def exit_code(self, patience: float = 0.0) -> int | None:
        """Return its exit code; None while it runs. patience: s to wait for its end."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(patience)
        return None

    def signal(self, number: int) -> None:
        """Send a signal to the process and to all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


def terminate(children: Sequence[ChildProcess]) -> None:
    """Ask processes to save and end; after GRACE_SECONDS seconds those that have not are killed."""
    running = [child for child in children if child.exit_code() is None]
    for child in running:
        child.signal(signal.SIGTERM)
    until = time.monotonic() + GRACE_SECONDS
    for child in running:
        if child.exit_code(max(until - time.monotonic(), 0.0)) is None:
            log.warning("A process does not end: it is killed.")
            child.signal(signal.SIGKILL)
            child.exit_code(GRACE_SECONDS)
