"""How far a student's probabilities agree with its teacher's, over recordings, beside what a constant answer reaches.

Letters: W windows, N recordings, L classes.
"""

from __future__ import annotations

import numpy as np

FLAT = 1e-6  # standard deviation of a class below which nothing can correlate with it


def of_recordings(values: np.ndarray, index: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Means [N, L] over each recording's windows. values: [W, L]. index [W]: whose window. valid [W]: frames, the window's weight."""
    _, row = np.unique(index, return_inverse=True)
    sums = np.zeros((row.max() + 1, values.shape[1]))
    np.add.at(sums, row, values * valid[:, None])
    return sums / np.bincount(row, weights=valid)[:, None]


def agreement(student: np.ndarray, teacher: np.ndarray) -> dict[str, float]:
    """Return figures of probabilities [N, L] of both, N from 1 on.

    teacher_divergence: mean over recordings and classes of the Kullback-Leibler divergence of the student's probability from the teacher's, in nats
    (0: the same). teacher_top1: share of recordings whose most probable class is the teacher's. teacher_correlation: mean over classes of the
    correlation over recordings (0 for a class that either gives the same everywhere). constant_divergence, constant_top1: what the best constant
    answer reaches, the mean of the teacher's probabilities and its most frequent first class; of these very recordings, so that no
    real constant does better.
    """
    constant = np.broadcast_to(teacher.mean(0), teacher.shape)
    first = teacher.argmax(1)
    return {
        "teacher_divergence": _divergence(teacher, student),
        "teacher_top1": float((student.argmax(1) == first).mean()),
        "teacher_correlation": _correlation(student, teacher),
        "constant_divergence": _divergence(teacher, constant),
        "constant_top1": float(np.bincount(first).max() / len(first)),
    }


def _divergence(p: np.ndarray, q: np.ndarray) -> float:
    p, q = (np.clip(x.astype(np.float64), 1e-7, 1 - 1e-7) for x in (p, q))
    return float((p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean())


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean(0), b - b.mean(0)
    spread = a.std(0) * b.std(0)
    return float(np.divide((a * b).mean(0), spread, out=np.zeros(a.shape[1]), where=spread > FLAT**2).mean())
