"""Structure: which section each moment belongs to (frame accuracy), where sections change (hit rates of mir_eval), and the task that has them.

A head has an output per section, and a last one for boundaries.
"""

from __future__ import annotations

import numpy as np

from .beat_tracking import local_maxima
from .frames import FrameRules, centres, label_at, mean_over_tracks, nearest_frames, ratio_over_tracks
from .metric import Metric, Predictions
from .tasks import Task, register_task

CLASS_BOX = 10  # frames over which a section's target is smoothed
AROUND = {0: 1.0, 1: 0.7, 2: 0.3}  # frames from a boundary -> its target
RADIUS, PAST, NEXT = 6.0, 12.0, 6.0  # seconds: a boundary is the highest within, and above the mean of the past and the next
MARGIN = 0.1  # probability by which it is above
SHORT = 8  # in short tracks RADIUS is the length divided by so much


def section_targets(rows: np.ndarray, spans: np.ndarray, n_outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Sections one-hot, smoothed over 10 frames, and boundaries with .7 and .3 beside them, [T, L]; frames without a section do not count."""
    label = label_at(_sections(rows, n_outputs), centres(spans))
    known = label >= 0
    out = np.zeros((len(spans), n_outputs), dtype=np.float32)
    out[known, label[known]] = 1
    box = np.ones(min(CLASS_BOX, len(spans)))
    counted = np.convolve(np.ones(len(spans)), box, mode="same")
    for k in range(n_outputs - 1):
        out[:, k] = np.convolve(out[:, k], box, mode="same") / counted
    out[:, -1] = 0
    at = nearest_frames(_boundaries(rows, n_outputs), spans)
    for distance, value in sorted(AROUND.items(), reverse=True):
        for place in (at - distance, at + distance):
            inside = place[(place >= 0) & (place < len(spans))]
            out[inside, -1] = np.maximum(out[inside, -1], value)
    return out, known


def _sections(rows: np.ndarray, n_outputs: int) -> np.ndarray:
    found: np.ndarray = rows[rows[:, 2] < n_outputs - 1]
    return found


def _boundaries(rows: np.ndarray, n_outputs: int) -> np.ndarray:
    found: np.ndarray = rows[rows[:, 2] == n_outputs - 1, 0]
    return found


def pick_boundaries(activation: np.ndarray, times: np.ndarray, seconds: float) -> np.ndarray:
    """Times within (0, seconds) at which sections change: the highest activations [T] within 6 s, by 0.1 above the mean of the past 12 and next 6.

    In tracks shorter than 48 s an eighth of their length stands for the 6 s.
    """
    found = []
    for i in local_maxima(activation, times, min(RADIUS, seconds / SHORT)):
        around = (times >= times[i] - PAST) & (times <= times[i] + NEXT)
        if activation[i] > activation[around].mean() + MARGIN and 0 < times[i] < seconds:
            found.append(times[i])
    return np.array(found)


def hit_rate(reference: np.ndarray, estimated: np.ndarray, window: float) -> float:
    """mir_eval's F-measure of boundaries of intervals [E, 2] within `window` seconds, a track's ends among them."""
    from mir_eval.segment import detection  # here for start-up time

    return float(detection(reference, estimated, window=window)[2])


def between(boundaries: np.ndarray, seconds: float) -> np.ndarray:
    """Intervals [E, 2] from 0 to `seconds` that change at boundaries."""
    edges = np.concatenate([[0.0], boundaries, [seconds]])
    return np.stack([edges[:-1], edges[1:]], axis=1)


def _hits(window: float):  # type: ignore[no-untyped-def]
    def score(rows: np.ndarray, values: np.ndarray, spans: np.ndarray) -> float:
        sections = _sections(rows, values.shape[1])
        end = float(sections[-1, 1])
        return hit_rate(sections[:, :2], between(pick_boundaries(values[:, -1], centres(spans), end), end), window)

    return score


def _ends_alone(window: float):  # type: ignore[no-untyped-def]
    def chance(data: Predictions) -> float:
        """Of a track's beginning and end alone."""
        n, found = data.targets.shape[1], []
        for i in range(len(data.targets)):
            sections = _sections(data.targets.track(i), n)
            found.append(hit_rate(sections[:, :2], between(np.zeros(0), float(sections[-1, 1])), window))
        return float(np.mean(found))

    return chance


def _frames(rows: np.ndarray, values: np.ndarray, spans: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    label = label_at(_sections(rows, n), centres(spans))
    right = values[:, :-1].argmax(axis=1) == label
    bins = [np.bincount(label[which], minlength=n)[:n] for which in ((label >= 0) & right, label >= 0)]
    return bins[0], bins[1]


def _all_frames(rows: np.ndarray, values: np.ndarray, spans: np.ndarray, n: int) -> tuple[float, float]:
    right, counted = _frames(rows, values, spans, n)
    return float(right.sum()), float(counted.sum())


def _longest(data: Predictions) -> float:
    """Of the one section that is right for most of the time."""
    rows, n = data.targets.values, data.targets.shape[1]
    sections = _sections(rows, n)
    seconds = np.bincount(sections[:, 2].astype(int), sections[:, 1] - sections[:, 0])
    return float(seconds.max() / seconds.sum())


def _one_of_those_that_occur(data: Predictions) -> float:
    return 1.0 / max(int(data.targets.any(axis=0)[:-1].sum()), 1)


TASK = register_task(
    Task("structure", ("bce_boundary",), ("output", "outputs"), frames=FrameRules("sections", section_targets, events=(-1,))),
)
_score, _drawn = ratio_over_tracks("section frames", _all_frames)
_each, _each_drawn = ratio_over_tracks("frames of each section", _frames)
TASK.register(
    Metric(
        "frame_accuracy", "frame accuracy", _score, resample=_drawn, chance=_longest, curve="val_frame_acc", log_name="frame_accuracy",
        headline=True, definition="Frame accuracy: share of the frames whose most probable section is the annotated one.",
    )
)  # fmt: skip
TASK.register(
    Metric(
        "macro_frame_accuracy", "macro frame acc.", _each, "frame recall", resample=_each_drawn, chance=_one_of_those_that_occur,
        outputs="class_frame_recall", curve="val_macro_frame_acc", log_name="macro_frame_accuracy", headline=True,
        definition="Macro frame accuracy: mean over the sections that occur of the share of their frames that are recognised.",
    )
)  # fmt: skip
for _name, _window, _title in (("hit_rate_05", 0.5, "HR.5F"), ("hit_rate_3", 3.0, "HR3F")):
    _hit, _hit_drawn = mean_over_tracks(f"boundaries within {_window}", _hits(_window))
    TASK.register(
        Metric(
            _name, _title, _hit, resample=_hit_drawn, chance=_ends_alone(_window), curve=f"val_{_name}", log_name=_name, headline=True,
            definition=f"{_title}: mir_eval's F-measure of boundaries within {_window:g} s, mean over tracks, the ends of a track counted as "
            "mir_eval does by default. Chance: a track's beginning and end alone.",
        )
    )  # fmt: skip
