"""Grades: numbers of a few ordered steps (the difficulty of a piece), predicted step by step, scored in their own units; and the task that has them.

A grade is told by whether it lies above each lower one (Frank and Hall, 2001): an output per step from a grade to the next, with binary
cross-entropy. What is predicted is the lowest grade and, of each step, as much as its probability says. The outputs' names, "2 to 3", say which
grades they part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from models.errors import GroundtruthError

from .metric import Metric, Predictions, mean_over_items
from .tasks import Task, register_task

BETWEEN = " to "


def step_names(grades: Sequence[float]) -> list[str]:
    """Names of the outputs of ascending grades: one less than there are."""
    return [f"{low:.12g}{BETWEEN}{high:.12g}" for low, high in pairwise(grades)]


def grades_of(labels: Sequence[str]) -> np.ndarray:
    """The ascending grades that the outputs' names part, float64 [L + 1]. Raises GroundtruthError for names that do not."""
    try:
        pairs = [tuple(map(float, label.split(BETWEEN))) for label in labels]
        grades = np.array([pairs[0][0], *(high for _, high in pairs)])
        fits = all(low == before for (low, _), before in zip(pairs, grades))
    except (ValueError, IndexError):
        fits = False
    if not fits or (np.diff(grades) <= 0).any():
        raise GroundtruthError(
            f"The task ordinal has outputs named such as '1{BETWEEN}2', ascending; got {', '.join(labels[:5])}."
        )
    return grades


def decoded(steps: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """Grades, float64 [N], of whether (or how probably) each step is passed, [N, L]."""
    grades = grades_of(labels)
    found: np.ndarray = grades[0] + np.asarray(steps, dtype=np.float64) @ np.diff(grades)
    return found


def _both(data: Predictions) -> tuple[np.ndarray, np.ndarray]:
    return data.shared("grades", lambda: (decoded(data.targets, data.labels), decoded(data.values, data.labels)))


def _squared(data: Predictions) -> np.ndarray:
    target, predicted = _both(data)
    return (target - predicted) ** 2


def _right(data: Predictions) -> np.ndarray:
    target, predicted = _both(data)
    grades = grades_of(data.labels)
    nearest = grades[np.abs(predicted[:, None] - grades).argmin(axis=1)]
    return (nearest == target).astype(np.float64)


def _variance(data: Predictions) -> float:
    """The mean squared error of who always names the mean."""
    return float(_both(data)[0].var())


def _most_frequent(data: Predictions) -> float:
    return float(np.unique(_both(data)[0], return_counts=True)[1].max() / len(data.targets))


def _check(targets: np.ndarray, keys: Sequence[str], labels: Sequence[str]) -> None:
    grades_of(labels)


def _remark(counted: Mapping[str, int], n: int) -> str:
    return f"{n + 1} grades; MSE is in their own units"


ORDINAL = register_task(Task("ordinal", ("bce",), ("step", "steps"), check=_check, remark=_remark, probabilities=True))
_mse, _mse_drawn = mean_over_items(_squared)
_accuracy, _accuracy_drawn = mean_over_items(_right)
ORDINAL.register(
    Metric(
        "grade_mse", "MSE", _mse, bounds=(0.0, np.inf), direction="lower", resample=_mse_drawn, chance=_variance, curve="val_grade_mse",
        log_name="grade_mse", headline=True, definition="MSE: mean squared error of the grades, in their own units; lower is better.",
    )
)  # fmt: skip
ORDINAL.register(
    Metric(
        "grade_accuracy", "right grades", _accuracy, resample=_accuracy_drawn, chance=_most_frequent, curve="val_grade_acc",
        log_name="grade_accuracy", headline=True, order=1,
        definition="Right grades: share of tracks whose grade is the one nearest to what is predicted.",
    )
)  # fmt: skip
