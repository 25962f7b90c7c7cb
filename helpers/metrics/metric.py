"""A metric: its name, how it is shown, how it scores predictions, how it is resampled over tracks, and what a guess scores.

Conventions: N items (windows or tracks), L outputs, R resamples. A metric gives one number, or one per output [L] whose mean over the outputs where
it is defined (not NaN) is the metric; the others are left out and counted.
"""

from __future__ import annotations

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
    """Halves of the tracks, in pairs. weights: whether each half holds each track, uint8 [R, N]; 2 i and 2 i + 1 have none in common. share: of the
    units (tracks or groups) that a half holds.
    """

    def __init__(self, weights: np.ndarray, share: float = 0.5):
        self.weights, self.share = weights, share

    @classmethod
    def of(cls, n_tracks: int, n_resamples: int, seed: int, units: np.ndarray | None = None) -> Draws:
        """Random halves of the tracks, drawn without replacement (Politis and Romano, 1994), each beside the other half; of a seed the same for all
        predictions of as many. Of an odd number of units one is in neither half.

        units: int [N], the number of each track's group from 0, whose tracks are drawn together; None: every track by itself. Nothing is drawn
        twice, so that no track ranks beside itself. Raises ValueError for fewer than 2 units and no resample.
        """
        return _halves(n_tracks, n_resamples, seed, None if units is None else units.astype(np.int64).tobytes())

    def of_tracks(self, which: np.ndarray) -> Draws:
        """The same draws, as far as they hold these tracks (bool [N])."""
        return Draws(self.weights[:, which], self.share)


@lru_cache(maxsize=4)
def _halves(n_tracks: int, n_resamples: int, seed: int, units: bytes | None) -> Draws:
    unit = np.arange(n_tracks) if units is None else np.frombuffer(units, dtype=np.int64)
    n = int(unit.max()) + 1 if len(unit) else 0
    if n < 2 or n_resamples < 1:
        raise ValueError(f"An interval needs 2 or more tracks or groups and 1 or more resamples; got {n} and {n_resamples}.")
    rng, kept = np.random.default_rng(seed), n // 2
    chosen = np.zeros((-(-n_resamples // 2), 2, n), dtype=np.uint8)
    for one, other in chosen:
        order = rng.permutation(n)
        one[order[:kept]] = other[order[kept : 2 * kept]] = 1
    halves = chosen.reshape(-1, n)[:n_resamples]
    return Draws(halves if units is None else halves[:, unit], kept / n)


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
    rare: whether an output's score hangs on the tracks that have it, however many others there are. order: how many tracks count together in
    it: 1, a mean of hits (accuracy); 2, pairs (ROC-AUC: a track with the label and one without), or a mean or ratio of numbers (R2); 3, more (AP),
    so that its variance is told less closely. about: of a score that is higher of few tracks than of many, one that is (nearly) as high of few:
    what intervals stand about.
    in_folds: how the folds of a cross-validation are scored: "apart", the mean over folds; "together", as one set; "comparable", as one set after
    each fold's outputs, of each output or ("comparable_all") of all, have been brought to one scale (`comparable`).
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
    rare: bool = False
    order: Literal[1, 2, 3] = 2
    about: Metric | None = None
    in_folds: Literal["apart", "together", "comparable", "comparable_all"] = "apart"

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
        if folds is None or self.in_folds != "apart":
            return mean_of_defined(resample(data if folds is None else joined_folds(self, data, folds), draws))
        parts = []
        for fold in np.unique(folds):
            rows = folds == fold
            drawn = data.shared(("fold", fold, draws), lambda rows=rows: draws.of_tracks(rows))  # type: ignore[misc]
            parts.append(resample(fold_of(data, folds, fold), drawn))
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


def score_folds(metric: Metric, data: Predictions, folds: np.ndarray) -> float | np.ndarray:
    """The score of a cross-validation with folds int [N], as `Metric.in_folds` says; apart: an output's is the mean over the folds that it is defined
    in, a number the mean over all.

    Predictions of different folds come from different heads and are not ranked against each other as they are (Forman and Scholz, 2010); AP of
    small folds, one by one, is far above AP of many tracks.
    """
    if metric.in_folds != "apart":
        return metric.score(joined_folds(metric, data, folds))
    found = [metric.score(fold_of(data, folds, fold)) for fold in np.unique(folds)]
    if np.ndim(found[0]) == 0:
        return float(np.mean([float(one) for one in found]))
    return mean_over_folds([np.asarray(one) for one in found])


def fold_of(data: Predictions, folds: np.ndarray, fold: int) -> Predictions:
    """The tracks of one fold."""
    return data.shared(("fold", fold), lambda: data.rows(folds == fold))


def joined_folds(metric: Metric, data: Predictions, folds: np.ndarray) -> Predictions:
    """All folds as one set of predictions, on one scale where the metric wants it."""
    if metric.in_folds == "together":
        return data
    axis = None if metric.in_folds == "comparable_all" else 0
    return data.shared(("joined", axis), lambda: Predictions(data.targets, comparable(data.values, folds, axis), data.labels))


def comparable(probabilities: np.ndarray, folds: np.ndarray, axis: int | None = 0) -> np.ndarray:
    """Logits of probabilities [N, L], each fold's (int [N]) less their mean and over their sd, of each output (axis 0) or of all (None).

    Labels play no part, and the order within a fold (and output) stays. A fold whose logits are all equal stands at 0.
    """
    kept = np.clip(np.asarray(probabilities, dtype=np.float64), 1e-12, 1 - 1e-12)
    out = np.log(kept) - np.log1p(-kept)
    for fold in np.unique(folds):
        own = out[folds == fold]
        sd = own.std(axis=axis)
        flat = sd <= 1e-12  # what rounding leaves of a constant would order the folds
        out[folds == fold] = np.where(flat, 0.0, (own - own.mean(axis=axis)) / np.where(flat, 1.0, sd))
    return out
