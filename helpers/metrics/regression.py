"""Numbers: R2 (mean over outputs, as scikit-learn's r2_score), the mean squared error, and the task that has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from models.errors import GroundtruthError

from .metric import Draws, Metric, Predictions
from .tasks import Task, register_task


def varies(values: np.ndarray) -> np.ndarray:
    """Which columns of [N, L] hold different numbers, bool [L]; differences of rounding are none."""
    return values.std(axis=0) > 1e-12 * np.abs(values.mean(axis=0))


def _numbers(data: Predictions) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(data.targets, np.float64), np.asarray(data.values, np.float64)


def _r2(data: Predictions) -> np.ndarray:
    target, predicted = _numbers(data)
    spread = ((target - target.mean(axis=0)) ** 2).sum(axis=0)
    error = ((target - predicted) ** 2).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(varies(target), 1 - error / spread, np.nan)


def _r2_drawn(data: Predictions, draws: Draws) -> np.ndarray:
    target, predicted = _numbers(data)
    weights = draws.weights.astype(np.float64)
    error = weights @ (target - predicted) ** 2
    centred = target - target.mean(axis=0)  # else the difference of two large sums is left
    squares = weights @ centred**2
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = squares - (weights @ centred) ** 2 / weights.sum(axis=1, keepdims=True)
        return np.where(varies(target) & (spread > 1e-10 * squares), 1 - error / spread, np.nan)


def _mse(data: Predictions) -> float:
    target, predicted = _numbers(data)
    return float(((target - predicted) ** 2).mean())


def _mse_drawn(data: Predictions, draws: Draws) -> np.ndarray:
    target, predicted = _numbers(data)
    weights = draws.weights.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (weights @ (target - predicted) ** 2).mean(axis=1) / weights.sum(axis=1)


def _check(targets: np.ndarray, keys: Sequence[str], labels: Sequence[str]) -> None:
    if not np.isfinite(np.asarray(targets, dtype=np.float64)).all():
        raise GroundtruthError("Values to be predicted are NaN or infinite: take these tracks out.")


def _remark(counted: Mapping[str, int], n: int) -> str:
    return (
        f"R2 is the mean over {min(counted.values())} of {n} values; MSE is of values z-scored by the training and validation tracks (1: as far off "
        "as their mean)"
    )


def _variance(data: Predictions) -> float:
    """The mean squared error of who always names the mean."""
    return float(_numbers(data)[0].var(axis=0).mean())


_R2_MEANS = "R2: share of a value's variance that is explained; 0 is what the mean of the scored tracks explains."

REGRESSION = register_task(Task("regression", ("mse",), ("value", "values"), numeric=True, check=_check, remark=_remark))
REGRESSION.register(
    Metric(
        "r2", "R2", _r2, bounds=(-np.inf, 1.0), resample=_r2_drawn, chance=lambda data: 0.0, outputs="class_r2", curve="val_r2", log_name="r2",
        headline=True, needs="numbers that differ", definition=_R2_MEANS, in_folds="together",
    )
)  # fmt: skip
REGRESSION.register(
    Metric(
        "mse", "MSE", _mse, bounds=(0.0, np.inf), direction="lower", resample=_mse_drawn, chance=_variance, log_name="mse", headline=True,
        definition="MSE: mean squared error of the values; lower is better.",
    )
)  # fmt: skip
