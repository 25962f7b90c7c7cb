"""Vectors in time as a probe sees them: each is an example, with a target made of its track's annotation; whole tracks are scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from datasets.groundtruth.annotations import Annotations
from datasets.store.track_store import TrackStore
from datasets.utils.ragged import Ragged
from models.errors import ConfigError, GroundtruthError, StoreError

from ..extraction.embeddings import find_names
from ..extraction.frames import TIMES
from ..metrics.aggregation import activate
from ..metrics.metric import Predictions
from ..metrics.tasks import TASKS, FrameRules

if TYPE_CHECKING:
    from .settings import ProbeSettings

BEYOND = 1.0  # seconds that an annotation may go on behind what was heard


@dataclass(frozen=True)
class Frames:
    """What belongs to the R vectors of N tracks.

    times: [R, 2], start and end in seconds. lengths: int [N], vectors of each track. targets: float32 [R, L], what a head learns. known: bool [R],
    whether a vector counts. truth: the tracks' annotations, of shape [N, L].
    """

    times: np.ndarray
    lengths: np.ndarray
    targets: np.ndarray
    known: np.ndarray
    truth: Ragged

    def outputs(self, logits: np.ndarray, loss: str) -> Ragged:
        """Probabilities of frames from a head's logits [..., R, L], float32."""
        return Ragged(activate(loss, logits).astype(np.float32), self.lengths, times=self.times)

    def predictions(self, logits: np.ndarray, settings: ProbeSettings, labels: Sequence[str]) -> Predictions:
        """Logits [R, L] beside the annotations."""
        return Predictions(self.truth, self.outputs(logits, settings.loss_name), labels)

    def rows(self, rows: np.ndarray) -> Frames:
        """Some vectors alone, for learning: they are no whole tracks."""
        truth = self.truth[np.zeros(0, dtype=np.int64)]
        return Frames(self.times[rows], np.array([len(rows)]), self.targets[rows], self.known[rows], truth)

    def tracks(self, tracks: np.ndarray) -> Frames:
        """Some tracks, in this order."""
        rows = Ragged(self.times, self.lengths).row_numbers(tracks)
        return Frames(self.times[rows], self.lengths[tracks], self.targets[rows], self.known[rows], self.truth[tracks])


def rules_of(kind: str) -> FrameRules:
    """How the task of a kind of annotations goes from them to frames."""
    return next(task.frames for task in TASKS.values() if task.frames is not None and task.frames.kind == kind)


def read_times(source: str | Path | TrackStore, keys: Sequence[str]) -> tuple[np.ndarray, np.ndarray, tuple[str, str] | None]:
    """Times [R, 2] of the stored vectors of tracks, how many each has [N], and the setting by which ends of tracks were left out, with the
    one that leaves nothing out (None: they were not).

    Raises ConfigError for a store of windows.
    """
    first = source.paths[0] if isinstance(source, TrackStore) else Path(source)
    folder = first if first.is_dir() else first.parent
    try:
        store = TrackStore.open(folder / TIMES)
    except StoreError as error:
        raise ConfigError(
            f"{folder} holds vectors of windows, not of moments: there are no times beside them. Beats, chords and sections are probed on every "
            "vector in time: extract_embeddings with ... predict.frames=True writes them, into a folder `frames`."
        ) from error
    store.require(kind=TIMES)
    names = find_names(keys, store.names, str(folder))
    numbers = np.array([store.index(name) for name in names])
    return store.read_many(numbers), store.lengths[numbers], _left_out(store.attrs)


def _left_out(attrs: Mapping[str, Any]) -> tuple[str, str] | None:
    if attrs.get("tail") == "drop":
        return "datamodule.tail=drop", "datamodule.tail=shift"
    ratio = attrs.get("last_chunk_ratio")
    return (f"last_chunk_ratio={ratio}", "last_chunk_ratio=0") if ratio else None


def frames_of(truth: Annotations, times: np.ndarray, lengths: np.ndarray, left_out: tuple[str, str] | None = None) -> Frames:
    """Targets of every vector.

    left_out: as `read_times` gives it. Raises GroundtruthError for annotations that go on behind their track's vectors.
    """
    rules, n = rules_of(truth.kind), truth.n_labels
    rows = Ragged(times, lengths)
    targets, known = np.empty((len(times), n), dtype=np.float32), np.empty(len(times), dtype=bool)
    long = []
    for i, key in enumerate(truth.keys):
        place, annotated = rows.rows_of(i), truth.rows.track(i)
        end = float(times[place][-1, 1])
        if len(annotated) and (last := float(annotated[:, :2].max())) > end + BEYOND:
            long.append(f"{key} ({last:.2f} s of {end:.2f} s)")
            continue
        targets[place], known[place] = rules.targets(annotated, times[place], n)
    if long:
        where = f"by more than {BEYOND:g} s: {', '.join(long[:5])}."
        if left_out is not None:
            raise GroundtruthError(
                f"{len(long)} of {len(truth)} annotations go on behind the vectors of their tracks, {where} The vectors were extracted with "
                f"{left_out[0]}, which leaves out ends of tracks: extract them again with {left_out[1]}. Or are the annotations of other recordings?"
            )
        raise GroundtruthError(
            f"{len(long)} of {len(truth)} annotations go on behind the end of their tracks, {where} Are they of other recordings?"
        )
    return Frames(times, lengths, targets, known, truth.rows)


def pooled(x: np.ndarray, times: np.ndarray, lengths: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means of each track's `size` consecutive vectors (its last mean may be over fewer), with their times and numbers."""
    if size == 1:
        return x, times, lengths
    counts = -(-lengths // size)
    starts = np.concatenate([first + np.arange(0, n, size) for first, n in zip(np.cumsum(lengths) - lengths, lengths)])
    share = np.diff(np.append(starts, len(x))).reshape(-1, *[1] * (x.ndim - 1))
    means = (np.add.reduceat(x, starts, axis=0, dtype=np.float64) / share).astype(np.float32)
    ends = np.append(starts[1:], len(x)) - 1
    return means, np.stack([times[starts, 0], times[ends, 1]], axis=1), counts
