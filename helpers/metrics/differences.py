"""Results of several systems on the same tracks: their paired differences, and several results of one system as one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from datasets.utils.ragged import equal, stacked
from models.errors import ConfigError

from .intervals import NONE, TOO_FEW_TRACKS, Uncertainty
from .metric import Metric
from .scores import SystemScores


@dataclass(frozen=True)
class Difference:
    """Score of system `a` minus that of `b` on the same tracks, in score units, with the interval of what it is on endlessly many; (nan, nan) where
    `why` says that too little is known.
    """

    a: str
    b: str
    metric: str
    mean: float
    interval: tuple[float, float]
    known: Uncertainty | None = None
    why: str = ""

    def p_value(self, of: float = 0.0) -> float:
        """Two-sided: how probable it is to find this much, where the difference is `of` in truth; 1 where too little is known."""
        return 1.0 if self.known is None else self.known.p_value(self.mean - of)


def as_one(results: Sequence[SystemScores], factor: str) -> SystemScores:
    """Results of one system on the same tracks as one, whose intervals know what the results differ in: "draw" (of the training tracks) or
    "network" (a pre-training).
    """
    for other in results[1:]:
        check_comparable(results[0], other)
    numbers = [i for i, one in enumerate(results) for _ in one.seeds]
    factors = {name: [n for one in results for n in one.factors[name]] for name in results[0].factors}
    predictions = stacked([one.predictions for one in results])
    return replace(
        results[0],
        predictions=predictions,
        seeds=list(range(len(numbers))),
        validation={},
        history={},
        windows={},
        factors={**factors, factor: numbers},
    )


def check_comparable(a: SystemScores, b: SystemScores) -> None:
    """Raises ConfigError for systems that were not scored on the same task, tracks and labels."""
    if a.task != b.task:
        raise ConfigError(
            f"'{a.name}' is {a.task}, '{b.name}' {b.task}: results of different tasks have no scores in common and cannot be compared."
        )
    if a.folds is None or b.folds is None:
        same_folds = a.folds is b.folds
    else:
        same_folds = np.array_equal(a.folds, b.folds)
    if not same_folds or a.split != b.split or a.keys != b.keys or a.labels != b.labels or not equal(a.targets, b.targets):
        raise ConfigError(
            f"'{a.name}' ({a.split}) and '{b.name}' ({b.split}) were not scored on the same tracks, labels and folds."
        )


def compare(
    a: SystemScores, b: SystemScores, metric: str | Metric | None = None, share: float = 0.95, n_resamples: int = 1000
) -> Difference:
    """Paired comparison of two systems that were scored on the same tracks and labels. Raises ConfigError when they were not."""
    check_comparable(a, b)
    chosen = a.spec.metric(metric)
    mean, why = a.mean(chosen) - b.mean(chosen), a.evidence(chosen).why
    known = None if why else a.minus(b, chosen, n_resamples)
    if known is None or math.isnan(known.se):
        return Difference(a.name, b.name, chosen.name, mean, NONE, why=why or TOO_FEW_TRACKS)
    half = known.quantile(share) * known.se
    return Difference(a.name, b.name, chosen.name, mean, (mean - half, mean + half), known)
