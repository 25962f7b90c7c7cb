"""Beats: mir_eval's F-measure with its tolerance of 70 ms, of picked peaks and of a small DBN's beats, and the task that has them.

Nothing is trimmed: beats of the first five seconds count too (mir_eval's own `evaluate` leaves them out). A track without annotated beats scores
0, as mir_eval has it.
"""

from __future__ import annotations

import numpy as np

from .beat_tracking import pick_beats, track_beats
from .frames import FrameRules, centres, mean_over_tracks, nearest_frames, track_scores
from .metric import Metric, Predictions
from .tasks import Task, register_task

TOLERANCE = 0.07  # seconds
USUAL_PERIOD = 0.5  # seconds, where the annotations do not tell


def beat_f(reference: np.ndarray, estimated: np.ndarray) -> float:
    """mir_eval's F-measure of beat times, seconds, within 70 ms; 0 where either has none."""
    from mir_eval.beat import f_measure  # here for start-up time

    if not len(reference) or not len(estimated):  # which mir_eval warns of, track by track
        return 0.0
    return float(f_measure(reference, estimated, f_measure_threshold=TOLERANCE))


def beat_targets(rows: np.ndarray, spans: np.ndarray, n_outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """1 at the frame nearest to each beat, else 0, [T, 1]; all frames count."""
    out = np.zeros((len(spans), n_outputs), dtype=np.float32)
    out[nearest_frames(rows[:, 0], spans), 0] = 1
    return out, np.ones(len(spans), dtype=bool)


def period(beats: np.ndarray) -> float:
    """Median time from beat to beat, seconds; NaN for fewer than two."""
    return float(np.median(np.diff(beats))) if len(beats) > 1 else float("nan")


def metronome(seconds: float, every: float) -> np.ndarray:
    """Beats from 0 on, `every` so many seconds."""
    return np.arange(0.0, seconds, every)


def _peaks(rows: np.ndarray, values: np.ndarray, spans: np.ndarray) -> float:
    return beat_f(rows[:, 0], pick_beats(values[:, 0], centres(spans)))


def _dbn(rows: np.ndarray, values: np.ndarray, spans: np.ndarray) -> float:
    return beat_f(rows[:, 0], track_beats(values[:, 0], centres(spans)))


def _steady(data: Predictions) -> float:
    """Of a metronome from 0 on, at the tracks' median tempo."""
    known = [p for i in range(len(data.targets)) if np.isfinite(p := period(data.targets.track(i)[:, 0]))]
    every = float(np.median(known)) if known else USUAL_PERIOD
    found = track_scores("metronome", lambda rows, values, spans: beat_f(rows[:, 0], metronome(float(spans[-1, 1]), every)))(data)
    return float(found.mean())


BEATS = register_task(
    Task("beats", ("bce",), ("output", "outputs"), frames=FrameRules("beats", beat_targets, events=(0,), metronome=True)),
)
_dbn_score, _dbn_drawn = mean_over_tracks("beats by DBN", _dbn)
_peak_score, _peak_drawn = mean_over_tracks("beats by peaks", _peaks)
BEATS.register(
    Metric(
        "beat_f_dbn", "beat F1 (DBN)", _dbn_score, resample=_dbn_drawn, chance=_steady, log_name="beat_f_dbn", headline=True,
        definition="Beat F1 (DBN): mir_eval's F-measure within 70 ms, mean over tracks, of the beats that a small dynamic Bayesian network of this "
        "suite (tempo and phase, no bars) reads from the outputs; no beat is trimmed. Chance: a metronome from 0 on at the tracks' median tempo.",
    )
)  # fmt: skip
BEATS.register(
    Metric(
        "beat_f_peaks", "beat F1 (peaks)", _peak_score, resample=_peak_drawn, chance=_steady, curve="val_beat_f", log_name="beat_f_peaks",
        headline=True, definition="Beat F1 (peaks): the same of the outputs' peaks, at least a third as high as the highest within 2 s.",
    )
)  # fmt: skip
