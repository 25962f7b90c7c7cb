"""A metric: its name, how it is shown, how it scores predictions, how it is resampled over tracks, and what a guess scores.

Conventions: N items (windows or tracks), L outputs, R resamples. A metric gives one number, or one per output [L] whose mean over the outputs where
it is defined (not NaN) is the metric; the others are left out and counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeVar

import numpy as np

T = TypeVar("T")


class Predictions:
    """One set of predictions and what they are judged by. targets: bool [N, L], of a regression float; values: [N, L]; labels: L names.

    Of frame-level tasks both are Ragged (frames.py).
    """

    def __init__(self, targets: Any, values: Any, labels: Sequence[str] = ()):
        self.targets, self.values, self.labels = targets, values, tuple(labels)
        self._made: dict[Hashable, Any] = {}

    def shared(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` returns, made once for all metrics that ask for `key`."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def rows(self, which: np.ndarray) -> Predictions:
        """These items alone: numbers [n] or bool [N]."""
        return Predictions(self.targets[which], self.values[which], self.labels)


class Draws:
    """Tracks drawn with replacement. weights: how often each resample holds each track, uint32 [R, N]."""

    def __init__(self, weights: np.ndarray):
        self.weights = weights

    @classmethod
    @lru_cache(maxsize=4)
    def of(cls, n_tracks: int, n_resamples: int, seed: int) -> Draws:
        """The draws of a seed, the same for all predictions of as many tracks. Raises ValueError for fewer than 2 tracks or no resample."""
        if n_tracks < 2 or n_resamples < 1:
            raise ValueError(f"A bootstrap needs 2 or more tracks and 1 or more resamples; got {n_tracks} and {n_resamples}.")
        rng = np.random.default_rng(seed)
        drawn = (rng.integers(n_tracks, size=n_tracks) for _ in range(n_resamples))
        return cls(np.stack([np.bincount(rows, minlength=n_tracks).astype(np.uint32) for rows in drawn]))

    def of_tracks(self, which: np.ndarray) -> Draws:
        """The same draws, as far as they hold these tracks (bool [N])."""
        return Draws(self.weights[:, which])


Scorer = Callable[[Predictions], "float | np.ndarray"]
Resampler = Callable[[Predictions, Draws], np.ndarray]


@dataclass(frozen=True)
class Metric:
    """A score of predictions.

    name: in files ("macro_roc"). title: in tables ("macro ROC-AUC"). score: a number, or one per output [L], NaN where undefined.
    short: the score without its mean, for single outputs ("ROC-AUC"; none: the title).
    bounds: least and greatest value. direction: which of two values is better.
    resample: the score on every resample, [R] or [R, L]; none: `score` on the drawn rows, resample by resample.
    chance: what a constant or random predictor scores on these targets, a number or one per output; none: not known.
    outputs: name of the scores per output in files ("class_roc"); "": they have none. column: their column in labels.csv.
    curve: name of the validation curve ("val_roc"), by which an epoch can be chosen; "": none. log_name: in `test_<log_name>`.
    headline: whether tables show it. definition: a sentence for reports. needs: what an output's targets
    must hold for its score to be defined, for messages.
    """

    name: str
    title: str
    score: Scorer
    short: str = ""
    bounds: tuple[float, float] = (0.0, 1.0)
    direction: Literal["higher", "lower"] = "higher"
    resample: Resampler | None = None
    chance: Scorer | None = None
    outputs: str = ""
    curve: str = ""
    log_name: str = ""
    headline: bool = False
    definition: str = ""
    needs: str = ""

    @property
    def sign(self) -> float:
        """1 where higher is better, else -1: `sign * score` is the better the higher."""
        return 1.0 if self.direction == "higher" else -1.0

    @property
    def short_title(self) -> str:
        """The title of a single output's score."""
        return self.short or self.title

    @property
    def column(self) -> str:
        """The column of the scores per output in labels.csv."""
        return self.outputs.removeprefix("class_")

    def is_defined(self, targets: np.ndarray, labels: Sequence[str]) -> bool:
        """Whether any output of these targets [N, L] has a score."""
        return bool(np.isfinite(self.score(Predictions(targets, np.zeros(targets.shape), labels))).any())

    def chance_of(self, data: Predictions) -> float | np.ndarray | None:
        """What a guess scores on these targets: a number, or [L]; None where it is not known."""
        return None if self.chance is None else self.chance(data)

    def resampled(self, data: Predictions, draws: Draws, folds: np.ndarray | None = None) -> np.ndarray:
        """The score on every resample, [R]; NaN where it is undefined. folds: int [N] of a cross-validation, as `score_folds`."""
        resample = self.resample or (lambda data, draws: score_rows(self.score, data, draws))
        if folds is None:
            return mean_of_defined(resample(data, draws))
        parts = []
        for fold in np.unique(folds):
            rows = folds == fold
            own = data.shared(("fold", fold), lambda rows=rows: data.rows(rows))  # type: ignore[misc]
            drawn = data.shared(("fold", fold, draws), lambda rows=rows: draws.of_tracks(rows))  # type: ignore[misc]
            parts.append(resample(own, drawn))
        return mean_of_defined(mean_over_folds(parts))


def score_rows(score: Scorer, data: Predictions, draws: Draws) -> np.ndarray:
    """A score on the rows of every resample, [R] or [R, L]; NaN where a resample holds no row: right for any metric, and slow."""
    rows = [np.repeat(np.arange(len(data.targets)), weights) for weights in draws.weights]
    empty = np.full_like(np.asarray(score(data), dtype=np.float64), np.nan)
    return np.stack([np.asarray(score(data.rows(which)) if len(which) else empty, dtype=np.float64) for which in rows])


def mean_over_items(values: Callable[[Predictions], np.ndarray]) -> tuple[Scorer, Resampler]:
    """`score` and `resample` of a metric that is the mean of a value per item [N]."""

    def score(data: Predictions) -> float:
        return float(np.mean(values(data)))

    def resample(data: Predictions, draws: Draws) -> np.ndarray:
        weights = draws.weights.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):  # a fold of which nothing was drawn
            return weights @ values(data) / weights.sum(axis=1)

    return score, resample


def mean_of_defined(values: np.ndarray) -> np.ndarray:
    """Mean over the outputs of [R, L] -> [R] of what is not NaN; NaN where nothing is left. [R] stays as it is."""
    if values.ndim == 1:
        return values
    if values.shape[1] == 1:
        return values[:, 0]
    counted = np.isfinite(values).sum(axis=1)
    return np.where(counted > 0, np.nansum(values, axis=1) / np.maximum(counted, 1), np.nan)


def mean_over_folds(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Mean of arrays of one shape where they are defined; NaN where none is."""
    if len(parts) == 1:
        return parts[0]
    stacked = np.stack(parts)
    counted = np.isfinite(stacked).sum(0)
    return np.where(counted > 0, np.nansum(stacked, axis=0) / np.maximum(counted, 1), np.nan)


def mean_of_outputs(values: float | np.ndarray) -> float:
    """The metric of a score: the mean over the outputs where it is defined, NaN where none is; a number stays as it is."""
    if np.ndim(values) == 0:
        return float(values)
    known = np.asarray(values)[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def score_folds(metric: Metric, parts: Sequence[Predictions]) -> float | np.ndarray:
    """The score of a cross-validation's parts: an output's is the mean over the folds that it is defined in, a number the mean over all.

    Predictions of different folds come from different heads and are not ranked against each other (Forman and Scholz, 2010).
    """
    found = [metric.score(part) for part in parts]
    if np.ndim(found[0]) == 0:
        return float(np.mean([float(one) for one in found]))
    return mean_over_folds([np.asarray(one) for one in found])


def interval_of(resampled: np.ndarray, score: float, level: float = 0.95) -> tuple[float, float]:
    """The bootstrap's interval of `score`: percentiles of the resampled scores, less their bias (how far their mean lies from the score).

    Tracks that are drawn twice rank beside themselves, which raises AP: by 0.05 in folds of 40 tracks, hardly at all among thousands. Without
    the shift an interval need not hold its own score. NaN where no resample is defined, or where those that are all score the same while others
    are not defined: of a few tracks a single draw counts then, which is no interval. Raises ValueError for a level outside 0..1.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"The level of an interval lies between 0 and 1; got {level}.")
    known = resampled[np.isfinite(resampled)]
    if len(known) == 0 or (len(known) < len(resampled) and np.ptp(known) == 0):
        return float("nan"), float("nan")
    low, high = np.percentile(known, [50.0 * (1.0 - level), 50.0 * (1.0 + level)]) - (known.mean() - score)
    return float(low), float(high)


def within(metric: Metric, interval: tuple[float, float]) -> tuple[float, float]:
    """An interval cut to the metric's bounds."""
    low, high = interval
    return interval if math.isnan(low) else (max(low, metric.bounds[0]), min(high, metric.bounds[1]))
