"""How a track of any length is cut into windows of a model's length: one rule for prediction, extraction, validation and test.

Conventions: lengths and positions count frames (or samples) from 0; a window covers [start, stop) of the track; where stop - start is less than
the model's length the window is padded with silence, (length - valid) // 2 before and the rest behind (as in training).
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

Tail = Literal["pad", "shift", "drop"]
MIN_TAIL = 0.1  # share of a window below which a remainder is not worth one


def plan_windows(n: int, length: int, hop: int | None = None, tail: Tail = "pad") -> np.ndarray:
    """Windows of a track of `n` frames, [W, 2] int64: start and stop of the frames that each covers.

    Consecutive windows every `hop` (default: `length`) from 0. What lies behind the last full window is treated by `tail`:
    "pad": it becomes one more, padded window when it is at least 10 % of `length`; "shift": one more full window that ends at the last frame;
    "drop": left out. A track shorter than one window is always one padded window.

    A 10 s clip has 626 frames and the model takes 625: under "pad" its one surplus frame makes no window.

    Raises ValueError for n < 1, length < 1, hop < 1 or an unknown tail.
    """
    hop = length if hop is None else hop
    if n < 1 or length < 1 or hop < 1:
        raise ValueError(f"Windows need at least one frame, a length and a hop of 1 or more; got {n} frames, length {length}, hop {hop}.")
    if tail not in get_args(Tail):
        raise ValueError(f"tail is '{tail}'; choose one of {', '.join(get_args(Tail))}.")
    if n <= length:
        return np.array([[0, n]], dtype=np.int64)
    starts = np.arange(0, n - length + 1, hop, dtype=np.int64)
    remainder = n - (starts[-1] + length)
    if tail == "pad" and remainder >= MIN_TAIL * length:
        starts = np.append(starts, starts[-1] + hop)
    elif tail == "shift" and remainder > 0:
        starts = np.append(starts, n - length)
    return np.stack([starts, np.minimum(starts + length, n)], axis=1)


def left_padding(valid: int, length: int) -> int:
    """Frames of silence before `valid` frames that stand centred in a window of `length`."""
    return max(length - valid, 0) // 2
