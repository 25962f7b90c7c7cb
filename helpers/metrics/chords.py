"""Chords: mir_eval's weighted accuracy of major and minor triads (MIREX's majmin), the accuracy of frames, and the task that has them."""

from __future__ import annotations

import numpy as np

from datasets.groundtruth.chords import CHORDS

from .frames import FrameRules, centres, label_at, mean_over_tracks, ratio_over_tracks, segments
from .metric import Metric, Predictions
from .tasks import Task, register_task

UNKNOWN = "X"


def chord_targets(rows: np.ndarray, spans: np.ndarray, n_outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """The chord at each frame's centre, one-hot [T, L]; frames whose chord is not in the vocabulary do not count."""
    label = label_at(rows, centres(spans))
    known = label >= 0
    out = np.zeros((len(spans), n_outputs), dtype=np.float32)
    out[known, label[known]] = 1
    return out, known


def majmin(rows: np.ndarray, estimated: np.ndarray) -> tuple[float, float]:
    """Seconds of the reference [E, 3] whose chord the estimate [E, 3] has, and seconds that count, as mir_eval's majmin compares them."""
    from mir_eval.chord import majmin as compare  # here for start-up time
    from mir_eval.util import adjust_intervals, intervals_to_durations, merge_labeled_intervals

    names = [CHORDS[int(k)] if k >= 0 else UNKNOWN for k in rows[:, 2]]
    guessed = [CHORDS[int(k)] for k in estimated[:, 2]]
    intervals, guessed = adjust_intervals(estimated[:, :2], guessed, rows[0, 0], rows[-1, 1], "N", "N")
    merged, names, guessed = merge_labeled_intervals(rows[:, :2], names, intervals, guessed)
    right, seconds = compare(names, guessed), intervals_to_durations(merged)
    counts = right >= 0
    return float((right * seconds)[counts].sum()), float(seconds[counts].sum())


def _compared(rows: np.ndarray, values: np.ndarray, spans: np.ndarray) -> tuple[float, float]:
    return majmin(rows, segments(values.argmax(axis=1), spans, float(rows[-1, 1])))


def _seconds(rows: np.ndarray, values: np.ndarray, spans: np.ndarray, n: int) -> tuple[float, float]:
    return _compared(rows, values, spans)


def _of_track(rows: np.ndarray, values: np.ndarray, spans: np.ndarray) -> float:
    right, counted = _compared(rows, values, spans)
    return right / counted if counted > 0 else 0.0  # as mir_eval


def _frames(rows: np.ndarray, values: np.ndarray, spans: np.ndarray, n: int) -> tuple[float, float]:
    label = label_at(rows, centres(spans))
    return float((values.argmax(axis=1) == label)[label >= 0].sum()), float((label >= 0).sum())


def _most_frequent(data: Predictions) -> float:
    """Of the one chord that is right for most of the time."""
    rows = data.targets.values
    known = rows[:, 2] >= 0
    seconds = np.bincount(rows[known, 2].astype(int), (rows[:, 1] - rows[:, 0])[known], minlength=1)
    return float(seconds.max() / seconds.sum()) if seconds.sum() else float("nan")


TASK = register_task(Task("chords", ("ce", "bce"), ("chord", "chords"), frames=FrameRules("chords", chord_targets)))
_score, _drawn = ratio_over_tracks("chords", _seconds)
_track_score, _track_drawn = mean_over_tracks("chords by track", _of_track)
_frame_score, _frame_drawn = ratio_over_tracks("chord frames", _frames)
TASK.register(
    Metric(
        "chord_majmin", "chord acc. (majmin)", _score, resample=_drawn, chance=_most_frequent, log_name="chord_majmin", headline=True,
        definition="Chord accuracy (majmin): share of the time at which the chord is right, by mir_eval's comparison of roots and triads; time with "
        "other chords than major, minor and none does not count. Neither smoothed nor decoded: each frame's most probable chord.",
    )
)  # fmt: skip
TASK.register(
    Metric(
        "chord_majmin_tracks", "by track", _track_score, resample=_track_drawn, log_name="chord_majmin_tracks",
        chance=_most_frequent, definition="By track: the mean over tracks of the same, whatever their length.",
    )
)  # fmt: skip
TASK.register(
    Metric(
        "chord_frame_accuracy", "frame accuracy", _frame_score, resample=_frame_drawn, chance=_most_frequent, curve="val_chord_acc",
        log_name="chord_frame_accuracy", headline=True,
        definition="Frame accuracy: share of the frames whose most probable chord is the one at their middle.",
    )
)  # fmt: skip
