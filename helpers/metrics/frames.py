"""Frame-level tasks: what is predicted are vectors in time, what is scored are tracks.

Of such a task the targets of `Predictions` are a Ragged of annotations, [start, end, label] per row, and its values a Ragged of a head's outputs per
frame, probabilities [T, L] with the frames' times. A metric gives a number per track, and the mean over tracks, or a ratio of sums over them; both
are resampled over tracks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from datasets.groundtruth.annotation_files import Kind
from datasets.utils.ragged import Ragged

from .metric import Draws, Predictions, Resampler, Scorer, mean_over_items

Targets = Callable[[np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]]
PerTrack = Callable[[np.ndarray, np.ndarray, np.ndarray], float]
Parts = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[float, float]]


@dataclass(frozen=True)
class FrameRules:
    """How a task goes from annotations to frames.

    kind: of the annotations. targets: of rows [E, 3], times of frames [T, 2] and L: what the head learns, float32 [T, L], and which frames count,
    bool [T]. events: outputs that are events, counted from either end; the others are classes, one at a time. metronome: whether events recur, so
    that a constant guess is a steady one.
    """

    kind: Kind
    targets: Targets
    events: tuple[int, ...] = ()
    metronome: bool = False

    def classes(self, n_outputs: int) -> list[int]:
        """Return the numbers of the outputs that are classes."""
        events = {number % n_outputs for number in self.events}
        return [i for i in range(n_outputs) if i not in events]


def centres(spans: np.ndarray) -> np.ndarray:
    """Middle of each span [T, 2], [T]."""
    found: np.ndarray = spans.mean(axis=1)
    return found


def nearest_frames(times: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """The frame nearest to each time, int [E]; of times that no frame stands for (farther off than a frame's share) none."""
    middle = centres(spans)
    right = np.clip(np.searchsorted(middle, times), 1, max(len(middle) - 1, 1))
    left = right - 1
    right = np.minimum(right, len(middle) - 1)
    chosen = np.where(np.abs(times - middle[left]) <= np.abs(times - middle[right]), left, right)
    near: np.ndarray = chosen[np.abs(times - middle[chosen]) <= (spans[chosen, 1] - spans[chosen, 0])]
    return near


def label_at(rows: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The label that spans [E, 3] have at each time, int [T]; -1 where none is."""
    if not len(rows):
        return np.full(len(times), -1)
    which = np.searchsorted(rows[:, 0], times, side="right") - 1
    inside = (which >= 0) & (times < rows[np.maximum(which, 0), 1])
    found: np.ndarray = np.where(inside, rows[np.maximum(which, 0), 2], -1).astype(np.int64)
    return found


def segments(labels: np.ndarray, spans: np.ndarray, end: float) -> np.ndarray:
    """Runs of equal labels [T] as rows [E, 3] that touch, from 0 to `end`: one gives way to the next between their frames."""
    first = np.flatnonzero(np.diff(labels, prepend=-2) != 0)
    middle = centres(spans)
    starts = np.concatenate([[0.0], (middle[first[1:] - 1] + middle[first[1:]]) / 2])
    stop = max(end, float(starts[-1]) + 1e-6)
    return np.stack([starts, np.append(starts[1:], stop), labels[first]], axis=1)


def _tracks(data: Predictions) -> tuple[Ragged, Ragged]:
    targets, values = data.targets, data.values
    assert isinstance(targets, Ragged)
    assert isinstance(values, Ragged)
    return targets, values


def track_scores(key: str, score: PerTrack) -> Callable[[Predictions], np.ndarray]:
    """A function that gives `score` (of annotation rows, values and spans) of every track, [N]; computed once for all that ask."""

    def values(data: Predictions) -> np.ndarray:
        def every() -> np.ndarray:
            targets, found = _tracks(data)
            return np.array([score(targets.track(i), found.track(i), found.spans(i)) for i in range(len(targets))])

        return data.shared(key, every)

    return values


def mean_over_tracks(key: str, score: PerTrack) -> tuple[Scorer, Resampler]:
    """`score` and `resample` of a metric that is the mean of the tracks' own."""
    return mean_over_items(track_scores(key, score))


def ratio_over_tracks(key: str, parts: Callable[..., tuple[Any, Any]]) -> tuple[Scorer, Resampler]:
    """`score` and `resample` of sums over tracks: parts(rows, values, spans, L) gives what counts for and what counts in all, [K] each.

    A metric of K outputs has K numbers, NaN where nothing counts; of one output a number.
    """

    def summed(data: Predictions) -> tuple[np.ndarray, np.ndarray]:
        def every() -> tuple[np.ndarray, np.ndarray]:
            targets, found = _tracks(data)
            n = targets.width
            pairs = [parts(targets.track(i), found.track(i), found.spans(i), n) for i in range(len(targets))]
            right, counted = (np.array([pair[k] for pair in pairs], dtype=np.float64).reshape(len(pairs), -1) for k in (0, 1))
            return right, counted

        return data.shared(key, every)

    def score(data: Predictions) -> float | np.ndarray:
        right, counted = summed(data)
        total = counted.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            found = np.where(total > 0, right.sum(axis=0) / total, np.nan)
        return float(found[0]) if len(found) == 1 else found

    def resample(data: Predictions, draws: Draws) -> np.ndarray:
        right, counted = summed(data)
        weights = draws.weights.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            found: np.ndarray = (weights @ right) / (weights @ counted)
        return found[:, 0] if found.shape[1] == 1 else found

    return score, resample
