"""Which tracks of a store hold nothing but zeros: what is trained on them, or asked of them, says nothing."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from datasets.store.track_store import TrackStore
from models.errors import listed

log = logging.getLogger(__name__)
_GLANCE = 512  # items in the middle of a track: only where these are zeros all of it is read


def silent_tracks(store: TrackStore, numbers: Sequence[int] | np.ndarray) -> list[str]:
    """Names of the tracks, of those numbers, that are zeros from end to end (silence in a store of samples or of raw mels)."""
    found = []
    for number in np.asarray(numbers, dtype=np.int64).tolist():
        length = int(store.lengths[number])
        start = max((length - _GLANCE) // 2, 0)
        if not store.read(number, start, min(start + _GLANCE, length)).any() and not store.read(number).any():
            found.append(store.names[number])
    return found


def warn_of_silence(store: TrackStore, numbers: Sequence[int] | np.ndarray, what: str) -> None:
    """Log how many of these tracks are silent. what: they are, such as "training"."""
    silent = silent_tracks(store, numbers)
    if silent:
        log.warning(
            "%d of %d %s tracks are silent: %s. Nothing is learned from them: leave them out.",
            len(silent), len(numbers), what, listed(silent),
        )  # fmt: skip
