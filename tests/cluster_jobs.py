"""What the workers of the cluster tests run; importable there."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np


def frames_of(path: Path) -> np.ndarray:
    """A few frames that depend on the name; a file called "crash" ends the process, whoever looks at it."""
    if "crash" in path.name:
        os.kill(os.getpid(), signal.SIGKILL)
    return np.full((3, 4), sum(path.name.encode()) % 1000, dtype=np.float32)


def first_hangs(folder: str, task: tuple[int, bool]) -> tuple[int, bool]:
    """Task 3 does not come back in its first attempt, until the second one has."""
    number, again = task
    sign = Path(folder) / "second"
    if number == 3 and not again:
        for _ in range(3000):
            if sign.exists():
                break
            time.sleep(0.02)
        else:
            raise TimeoutError("no second attempt was made")
    if number == 3 and again:
        sign.touch()
    return task


def nothing(task: int) -> int:
    """The task."""
    return task
