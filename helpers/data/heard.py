"""Which tracks a network was trained on: kept beside its checkpoints, so that a probe can say whether its test tracks are among them.

A track is known by its name without suffix and by its length in the store, so that a file of that name in another collection is not taken for it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from datasets.store.track_store import TrackStore
from datasets.utils.arrays import load_arrays
from datasets.utils.files import atomic
from models.errors import StoreError

log = logging.getLogger(__name__)
FILE = "heard_tracks.npz"
PARTS = ("train", "val")


def track_marks(names: Iterable[str], lengths: Iterable[int] | np.ndarray) -> np.ndarray:
    """Return a number for each track, uint64 [N]: of its name without suffix and its length in items of the store."""
    texts = (f"{PurePosixPath(name).with_suffix('') if name else ''} {int(n)}" for name, n in zip(names, lengths))
    digests = [hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()[:8] for text in texts]
    return np.array([int.from_bytes(digest, "little") for digest in digests], dtype=np.uint64)


@dataclass(frozen=True)
class Heard:
    """Marks of the tracks that a network was trained on (train) and chosen by (val), uint64 each, sorted. labelled: whether with their labels."""

    train: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))
    val: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))
    labelled: bool = False

    def joined(self, other: Heard | None) -> Heard:
        """Return the tracks of both: of a training that began with the weights of another."""
        if other is None:
            return self
        return Heard(np.union1d(self.train, other.train), np.union1d(self.val, other.val), self.labelled or other.labelled)

    def among(self, names: Sequence[str], lengths: np.ndarray) -> dict[str, list[str]]:
        """Return which of these tracks were heard: "train" -> names, "val" -> names that are not among them."""
        marks = track_marks(names, lengths)
        trained = np.isin(marks, self.train)
        chosen = np.isin(marks, self.val) & ~trained
        return {part: [names[i] for i in np.flatnonzero(which).tolist()] for part, which in zip(PARTS, (trained, chosen))}

    def write(self, folder: Path) -> None:
        """Write it into a run's folder, whole or not at all."""
        with atomic(folder / FILE) as part, open(part, "wb") as file:
            np.savez(file, train=self.train, val=self.val, labelled=np.array(self.labelled))


def heard_of(stores: Mapping[str, tuple[TrackStore, np.ndarray]], labelled: bool) -> Heard:
    """Return what a training hears. stores: part -> the store, and the numbers of its tracks."""
    marks = {}
    for part, (store, numbers) in stores.items():
        names = [store.names[i] for i in numbers.tolist()]
        marks[part] = np.unique(track_marks(names, store.lengths[numbers]))
    return Heard(**marks, labelled=labelled)


def read_heard(weights: str | Path | None) -> Heard | None:
    """Return what the training that left a checkpoint heard, by the file in its run's folder; None for other weights, and where there is none."""
    if weights is None:
        return None
    path = Path(weights)
    for folder in (path.parent, path.parent.parent):
        if (folder / FILE).is_file():
            try:
                found = load_arrays(folder / FILE, StoreError)
                return Heard(found["train"], found["val"], bool(found["labelled"]))
            except (StoreError, KeyError, ValueError) as error:
                log.warning("%s cannot be read: which tracks these weights have heard is not known. %s", folder / FILE, error)
    return None
