"""What may stand where a file is wanted: pipes, sockets, devices behind links, folders, links to nothing and to themselves, files of no end."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

KINDS = ("pipe", "socket", "zero", "full", "folder", "nothing", "loop", "endless", "empty")
GUARD = 120  # s after which a reader that waits for ever is ended, so that the tests go on


def put(path: Path, kind: str) -> None:
    """Place a thing under a name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        here = os.open(path.parent, os.O_RDONLY)  # names of sockets are short
        try:
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(f"/proc/self/fd/{here}/{path.name}")
        finally:
            os.close(here)
    elif kind in ("zero", "full"):
        path.symlink_to(f"/dev/{kind}")
    elif kind == "folder":
        path.mkdir()
    elif kind == "nothing":
        path.symlink_to("nowhere")
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "endless":
        path.touch()
        os.truncate(path, 1 << 43)  # 8 TB of nothing, sparse
    else:
        path.touch()


@contextmanager
def watched() -> Iterator[None]:
    """End what waits for ever with a TimeoutError; no measure of time."""

    def wake(*_: object) -> None:
        raise TimeoutError("It waits for ever.")

    before = signal.signal(signal.SIGALRM, wake)
    signal.alarm(GUARD)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
