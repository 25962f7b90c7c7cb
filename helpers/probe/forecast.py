"""How long a probe's training will take, said once, from its first measured steps: for trainings of minutes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)
UNMEASURED, MEASURED = 5, 20  # steps of all heads together: the first ones also touch new memory
SAID_FROM = 60.0  # s


class Forecast:
    """Counts the steps of all heads that train side by side, and logs how many minutes all of them take.

    total: steps of all heads, if none is stopped early. heads: how many there are. clock: seconds, rising.
    """

    def __init__(self, total: int, heads: int, clock: Callable[[], float] = time.monotonic):
        self.total, self.heads, self._clock = total, heads, clock
        self._steps, self._began = 0, 0.0
        self._lock = threading.Lock()

    def step(self) -> None:
        """Count a step; the one behind those that are measured says it, where it is a minute or more."""
        if self._steps > UNMEASURED + MEASURED:
            return
        with self._lock:
            self._steps += 1
            if self._steps == UNMEASURED:
                self._began = self._clock()
            if self._steps != UNMEASURED + MEASURED:
                return
            seconds = (self._clock() - self._began) / MEASURED * self.total
        if seconds >= SAID_FROM:
            log.info(
                "Training %d head%s takes about %s, by the first %d of at most %d steps.",
                self.heads, "" if self.heads == 1 else "s", minutes(seconds), MEASURED, self.total,
            )  # fmt: skip


def minutes(seconds: float) -> str:
    """Return a time in whole minutes, above two hours in hours."""
    n = max(round(seconds / 60), 1)
    return f"{n} minute{'' if n == 1 else 's'}" if n <= 120 else f"{seconds / 3600:.1f} hours"
