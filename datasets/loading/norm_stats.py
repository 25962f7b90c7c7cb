"""Mean and standard deviation of a store's log-mels: what inputs are normalised by."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from models.errors import GroundtruthError

from ..groundtruth.groundtruth import match
from ..store.track_store import TrackStore

CHUNK = 65536  # frames in memory at a time


def norm_stats(store: TrackStore, keys: Sequence[str] | None = None) -> tuple[float, float, int]:
    """Return mean and standard deviation over all values of the tracks `keys` (default: all), and the number of frames; in float64, in one pass.

    Chunks are merged by their means and squared deviations (Chan, Golub, LeVeque 1979), which stays exact for millions of tracks.

    Raises GroundtruthError when a key is not in the store.
    """
    numbers = np.arange(len(store))
    if keys is not None:
        found = match(keys, store.names)
        if found.absent:
            raise GroundtruthError(found.message("the store"))
        numbers = found.numbers
    count, mean, squares, frames = 0, 0.0, 0.0, 0
    for number in numbers.tolist():
        length = int(store.lengths[number])
        for start in range(0, length, CHUNK):
            values = store.read(number, start, min(start + CHUNK, length)).astype(np.float64)
            n, m = values.size, float(values.mean())
            delta, total = m - mean, count + n
            squares += float(np.square(values - m).sum()) + delta * delta * count * n / total
            mean, count, frames = mean + delta * n / total, total, frames + len(values)
    return mean, math.sqrt(squares / count), frames
