"""Which tracks of a store hold nothing but zeros: what is trained on them, or asked of them, says nothing."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import numpy as np

from datasets.store.track_store import TrackStore
from models.errors import listed

log = logging.getLogger(__name__)
_GLANCE = 512  # numbers in the middle of a track: only where these are zeros all of it is read
MOST = 20_000  # tracks that are looked at: of more, as many at even distances


def silent_tracks(store: TrackStore, numbers: Sequence[int] | np.ndarray) -> list[str]:
    """Names of the tracks, of those numbers, that are zeros from end to end (silence in a store of samples or of raw mels)."""
    found = []
    for number in np.asarray(numbers, dtype=np.int64).tolist():
        length = int(store.lengths[number])
        glance = max(_GLANCE // math.prod(store.item_shape), 1)
        start = max((length - glance) // 2, 0)
        if not store.read(number, start, min(start + glance, length)).any() and not store.read(number).any():
            found.append(store.names[number])
    return found


def warn_of_silence(store: TrackStore, numbers: Sequence[int] | np.ndarray, what: str) -> None:
    """Log how many of these tracks are silent. what: they are, such as "training"."""
    looked_at = np.asarray(numbers)[:: -(-len(numbers) // MOST)] if len(numbers) > MOST else np.asarray(numbers)
    silent = silent_tracks(store, looked_at)
    if silent:
        log.warning(
            "%d of %d %s tracks%s are silent: %s. Nothing is learned from them: leave them out.",
            len(silent), len(looked_at), what, "" if len(looked_at) == len(numbers) else " that were looked at", listed(silent),
        )  # fmt: skip
