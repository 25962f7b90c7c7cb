"""A step's process: in a session of its own, heard by its log file alone, ended when its starter is, and never two of them at once.

The lock of a step's folder is inherited by its process: where the starter alone is killed, the next one waits until the process has saved what it
has and is gone (on Linux it is asked to end at once).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

log = logging.getLogger(__name__)
PARTING = 60.0  # s that a process that was asked to end has for its last checkpoint
LOOK = 0.2  # s between two looks at a lock
TICK = 1.0  # s between two words of a process that runs
_PR_SET_PDEATHSIG = 1


@contextlib.contextmanager
def locked(path: Path, waiting: Callable[[], object]) -> Iterator[IO[str]]:
    """Hold the lock file `path`; yields it, to be inherited. Waits where others hold it, and calls `waiting` once then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+") as file:
        told = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not told:
                    waiting()
                told = True
                time.sleep(LOOK)
        yield file  # closing it lets go, once the process that inherited it is gone too


def run_child(
    words: Sequence[str],
    log_file: Path,
    lock: IO[str],
    env: Mapping[str, str],
    tick: Callable[[float], object] = lambda seconds: None,
) -> int:
    """Run a Python command to its end; its exit code. All it says goes to `log_file`, behind what earlier tries said.

    tick: called every second, with the seconds since its start.

    Whatever ends the wait (Ctrl-C, SIGTERM) is passed on: the process is asked to save and end, and after PARTING seconds it is killed.
    """
    starter = os.getpid()
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

    def before() -> None:  # in the new process, before it is Python
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
            if os.getppid() != starter:
                os.kill(os.getpid(), signal.SIGTERM)

    with open(log_file, "ab") as out:
        out.write(f"$ {' '.join(words)}\n".encode())
        out.flush()
        process = subprocess.Popen(
            [sys.executable, *words], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=dict(env), start_new_session=True,
            pass_fds=(lock.fileno(),), preexec_fn=before,
        )  # fmt: skip
        begun = time.monotonic()
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return process.wait(TICK)
                tick(time.monotonic() - begun)
        except BaseException:
            _end(process)
            raise


def _end(process: subprocess.Popen[bytes]) -> None:
    for number, patience in ((signal.SIGTERM, PARTING), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            return
        log.warning("Process %d does not end: it is killed.", process.pid)
