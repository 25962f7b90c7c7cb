"""Data files mapped into memory, of which only some are open at a time.

A map holds its file open: a store of thousands of shards would run into the system's limit on open files (1024 by default). The ones
used longest ago are let go; opening one again costs tens of microseconds.
"""

from __future__ import annotations

import resource
from collections import OrderedDict
from collections.abc import Callable

import numpy as np

MOST = 4096  # maps open at a time in one store, whatever the system allows
SHARE = 4  # a store takes at most this part of the files that the process may have open


def limit() -> int:
    """Return how many files one store may hold open here."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else max(4, min(MOST, soft // SHARE))


class Maps:
    """The maps of one store, by number of the file: `maps(i)`."""

    def __init__(self, opened: Callable[[int], np.ndarray]):
        self._open, self._limit = opened, limit()
        self._held: OrderedDict[int, np.ndarray] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def __call__(self, number: int) -> np.ndarray:
        held = self._held.get(number)
        if held is None:
            while len(self._held) >= self._limit:
                self._held.popitem(last=False)
            held = self._held[number] = self._open(number)
        elif len(self._held) >= self._limit // 2:  # below that none will be let go soon
            self._held.move_to_end(number)
        return held
