"""How a track of any length is cut into windows of a model's length: one rule for prediction, extraction, validation and test.

Conventions: lengths and positions count frames (or samples) from 0; a window covers [start, stop) of the track; where stop - start is less than
the model's length the window is padded with silence, (length - valid) // 2 before and the rest behind (as in training).
Families that take any length compute of such a window the recording's part alone (`own_part`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

import numpy as np

from .errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor  # not at start-up

Windows = TypeVar("Windows", np.ndarray, "Tensor")
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
        raise ConfigError(
            f"Windows need at least one frame, a length and a hop of 1 or more; got {n} frames, length {length}, hop {hop}."
        )
    if tail not in get_args(Tail):
        raise ConfigError(f"tail is '{tail}'; choose one of {', '.join(get_args(Tail))}.")
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


def own_part(window: Windows, valid: int, least: int) -> Windows:
    """What a recording fills of a window [..., length] in which its `valid` units stand centred; of fewer than `least` units so many, as centred."""
    length = window.shape[-1]
    n = min(max(valid, least), length)
    left = left_padding(valid, length) - left_padding(valid, n)
    return window[..., left : left + n]


def stream_windows(
    blocks: Iterable[np.ndarray], length: int, hop: int | None = None, tail: Tail = "pad", silence: float = 0.0
) -> Iterator[tuple[np.ndarray, int, int]]:
    """The windows of `plan_windows` from blocks that arrive one after the other, in bounded memory.

    Args:
        blocks: arrays [..., n_i], consecutive along the last axis (samples, or mel frames).
        silence: the value that padding has (a normalised log-mel's silence is not 0).

    Yields: (window [..., length], start, stop), padded as said above.

    Raises ValueError when the blocks hold nothing, and as `plan_windows` does.
    """
    hop = length if hop is None else hop
    held: np.ndarray | None = None  # what later windows may need: frames [first, first + held.shape[-1])
    first = start = total = 0
    for block in blocks:
        held = block if held is None else np.concatenate([held, block], axis=-1)
        total += block.shape[-1]
        while start + length <= total:
            yield held[..., start - first : start - first + length], start, start + length
            start += hop
        # "shift" needs the last `length` frames, whatever comes
        keep_from = max(first, min(start, total - length))
        held, first = held[..., keep_from - first :], keep_from
    if held is None or total < 1:
        raise ConfigError("There is no audio to cut into windows: the stream is empty.")
    for begin, stop in plan_windows(total, length, hop, tail)[count_full(total, length, hop) :]:
        left = left_padding(int(stop - begin), length)
        window = np.full((*held.shape[:-1], length), silence, dtype=held.dtype)
        window[..., left : left + stop - begin] = held[..., begin - first : stop - first]
        yield window, int(begin), int(stop)


def count_full(n: int, length: int, hop: int) -> int:
    """Number of consecutive windows that `n` frames fill entirely."""
    return 0 if n < length else (n - length) // hop + 1
