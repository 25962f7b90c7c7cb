"""Which file crashed the process that was at it, and how often, for work on shards that goes on after a crash.

Where one worker of this machine's pool dies, all are ended: the files under way in the others are not to blame. Such a crash is not counted: the
shards are made again, each alone in a process (parallel.py), and there it shows whose it is.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from models.bounded_files import parsed, read_json

MAX_CRASHES = 3  # times that a file may end its process before it is given up
SUFFIX = ".deaths"  # of the file's name, which preparations under way have beside their shards


def crash_counts_path(shard: Path) -> Path:
    """Return where the crashes of a shard that is being made are kept."""
    return shard.with_name(shard.name + SUFFIX)


class CrashCounts:
    """How often each file of a shard crashed the process that was at it, kept in a file beside the shard while it is made.

    Args:
        path: where the counts are kept.
        alone: whether a crash of this process will be its own; that of one whose pool was ended with it says nothing about the file under way.
    """

    def __init__(self, path: Path, alone: bool = True):
        self.path, self.alone = path, alone
        self._counts: dict[str, int] = {}
        self._handle = -1
        self._length = 0

    def __enter__(self) -> CrashCounts:
        self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
        with contextlib.suppress(ValueError, TypeError, KeyError):  # torn, or new
            text = os.read(self._handle, 1 << 22)
            self._length = len(text)
            there = parsed(text)
            if not all(isinstance(one, int) for one in dict(there["deaths"]).values()):
                raise ValueError("counts of another kind")
            self._counts = dict(there["deaths"])
            at = there["at"]
            if at is not None and there.get("alone", True):
                self._counts[at] = self._counts.get(at, 0) + 1
        return self

    def __exit__(self, *_: object) -> None:
        if self._handle >= 0:  # an error, such as a full disk: nothing crashed
            with contextlib.suppress(OSError):
                self._write(None)
            os.close(self._handle)

    def of(self, name: str) -> int:
        """Return how often a file crashed its process."""
        return self._counts.get(name, 0)

    def begin(self, name: str) -> None:
        """Note that a file is worked on from now on."""
        self._write(name)

    def _write(self, name: str | None) -> None:
        # one call, blanks over what was longer: a kill between two calls would leave half a text, and every crash forgotten
        data = json.dumps({"at": name, "alone": self.alone, "deaths": self._counts}).encode().ljust(self._length)
        self._length = len(data)
        os.pwrite(self._handle, data, 0)

    def end(self) -> None:
        """Remove the counts: the shard is done."""
        os.close(self._handle)
        self._handle = -1
        self.path.unlink(missing_ok=True)

    @staticmethod
    def total(path: Path) -> int:
        """Return all crashes so far of a shard that is not done."""
        try:
            there = read_json(path)
            return sum(there["deaths"].values()) + (there["at"] is not None and there.get("alone", True))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return 0
