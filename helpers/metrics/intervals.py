"""Intervals of scores: how far a score may lie from what it stands for, and when nothing can be said of that.

The variance over tracks comes from the score on random halves of the tracks, or of their groups (delete-half jackknife: Shao and Wu, 1989), in pairs
that have none in common: the score on a half varies about the whole's as the whole's does about the score on endlessly many. Quantiles are Student's,
with as many degrees of freedom as there are tracks, groups or positives. Scores within 0..1 have Wilson's interval at the number of tracks that would
give that variance (Korn and Graubard, 1998), errors without a bound one of their logarithm. docs/intervals.md: how, and what they cover.

Letters: S results (seeds, repetitions), R parts, N tracks, L outputs, U units: the groups, or the tracks where there are none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from datasets.groundtruth.splits import group_units

from .metric import Metric

FEWEST = 5  # tracks or groups: with fewer no interval is given
FEWEST_POSITIVES = 8  # of a label, harmonic mean over labels: with fewer AP is too far above what it is of many tracks
DRAW, NETWORK = "draw", "network"  # what several results of a system may differ in beside their seed
TOO_FEW_TRACKS, TOO_FEW_GROUPS, TOO_FEW_POSITIVES = "too few tracks", "too few groups", "too few positives"
NONE = (math.nan, math.nan)


class Units:
    """What tracks are drawn as. groups: [N] names, whose tracks are drawn together; None (or empty ones): each track by itself.

    effective: how many groups of one size would tell a variance as surely, (sum m^2)^2 / sum m^4 of sizes m: few large ones decide it (Carter,
    Schnepel and Steigerwald, 2017).
    """

    def __init__(self, n_tracks: int, groups: Sequence[str] | None = None):
        self.numbers = None if groups is None else group_units(groups)
        self.n = n_tracks if self.numbers is None else int(self.numbers.max(initial=-1)) + 1
        self.effective = float(self.n)
        if self.numbers is not None and self.n:
            squares = np.bincount(self.numbers).astype(np.float64) ** 2
            self.effective = float(squares.sum() ** 2 / (squares**2).sum())

    def having(self, targets: np.ndarray) -> np.ndarray:
        """In how many units each output occurs and, where that is fewer, is absent, int [L]; 0 for outputs that none has. targets: bool [N, L]."""
        targets = np.asarray(targets, dtype=bool)
        if self.numbers is None:
            counts = [targets.sum(axis=0), (~targets).sum(axis=0)]
        else:
            counts = []
            for side in (targets, ~targets):
                seen = np.zeros((self.n, targets.shape[1]), dtype=bool)
                np.logical_or.at(seen, self.numbers, side)
                counts.append(seen.sum(axis=0))
        found: np.ndarray = np.where(counts[1] > 0, np.minimum(*counts), counts[0])
        return found


@dataclass(frozen=True)
class Evidence:
    """What an interval stands on.

    df: degrees of freedom of the variance over tracks. count: units, or positives of all outputs. why: there is none, and why.
    """

    df: float
    count: float
    why: str = ""


def evidence_of(metric: Metric, targets: np.ndarray, units: Units) -> Evidence:
    """How much is known of a metric's variance: targets bool [N, L], or anything where the metric is not `rare`."""
    if units.n < FEWEST:
        return Evidence(1.0, units.n, TOO_FEW_TRACKS if units.numbers is None else TOO_FEW_GROUPS)
    if not metric.rare:
        return Evidence(max(units.effective - 1.0, 1.0), units.n)
    having = units.having(targets)
    having = having[having > 0]
    if (
        not len(having) or len(having) / (1.0 / having).sum() < FEWEST_POSITIVES
    ):  # the harmonic mean: the variance goes with 1 / positives
        return Evidence(1.0, max(int(having.sum()), 1), TOO_FEW_POSITIVES)
    df = min(having.sum() * units.effective / units.n - len(having), units.effective - 1)
    return Evidence(max(float(df), 1.0), float(having.sum()))


def repetition_factor(repetitions: int, order: int = 2) -> float:
    """By how much the variance of a cross-validation is above that of one repetition's score on fixed heads.

    Such a factor cannot be had from the data (Bengio and Grandvalet, 2004). Nadeau and Bengio (2003) set it, for five folds, to 2 at three
    repetitions; in both worlds of benchmarks/coverage.py it is 0.7 to 1.5, from which these numbers are. order: of the metric; hits and misses have
    more of one repetition's heads in them, which repetitions level out.
    """
    return (0.9 if order == 1 else 1.2) + 0.3 / repetitions


def track_variance(drawn: np.ndarray, share: float, factor: float | None = None, middle: float = -1.0) -> float:
    """The variance over tracks of the mean of S results, from their scores on R halves, in pairs, that hold `share` of the units, [S, R]; NaN: not
    known.

    factor: of a cross-validation, whose repetitions the results are. They share tracks, and their training tracks overlap: what another sample of
    tracks would change in what is learned shows in none of them. The mean of their variances, not the variance of their mean, is about what is
    wanted: times `repetition_factor`. middle: see `of_halves`.
    """
    if factor is None:
        return of_halves(drawn.mean(axis=0), share, middle)
    return factor * float(np.mean([of_halves(one, share, middle) for one in drawn]))


def of_halves(values: np.ndarray, share: float, middle: float = -1.0) -> float:
    """The variance over units of a score, from its values on R halves, in pairs that have no unit in common and hold `share` of them each.

    Of a score that is a mean over units, half the difference within a pair varies as the score does. Where pairs of units count as well (a positive
    beside a negative), by B of A + B in all, it varies by A + 2 B, since there are fewer pairs in halves; the mean of the two halves varies by B
    about the score, and is taken off (middle = -1). Where more counts this would be too little: it is left (0), or added, which gives the variance
    over halves as it is (1), A + 3 B.

    NaN where fewer than two pairs have a score, or where some have none and the others are all alike.
    """
    one, other = values[0 : len(values) - 1 : 2], values[1::2]
    known = np.isfinite(one + other)
    one, other = one[known], other[known]
    if len(one) < 2 or (not known.all() and np.ptp([one, other]) == 0):
        return math.nan
    apart = float(np.mean((one - other) ** 2)) / 4
    return 2 * share * max(apart + middle * float(((one + other) / 2).var(ddof=1)), apart / 2)


@dataclass(frozen=True)
class Uncertainty:
    """A variance with the degrees of freedom that it is known by, of parts that add up (Satterthwaite, 1946)."""

    parts: tuple[tuple[float, float], ...]  # variance, degrees of freedom

    @cached_property
    def se(self) -> float:
        """The standard error."""
        return math.sqrt(sum(variance for variance, _ in self.parts))

    @cached_property
    def df(self) -> float:
        """Degrees of freedom of the sum."""
        total = sum(variance**2 / df for variance, df in self.parts)
        return self.se**4 / total if total > 0 else self.parts[0][1]

    def quantile(self, level: float) -> float:
        """Student's two-sided quantile."""
        from scipy.stats import t  # late: 0.3 s

        return float(t.ppf(0.5 + level / 2, self.df))

    def p_value(self, distance: float) -> float:
        """Two-sided: how probable a distance at least as large is where there is none in truth; 1 where nothing varies and nothing differs."""
        from scipy.stats import t  # late: 0.3 s

        if self.se == 0:
            return 1.0 if distance == 0 else 0.0
        return float(2 * t.sf(abs(distance) / self.se, self.df))


def overlap_of(draws: Sequence[np.ndarray]) -> float:
    """How far draws of as many tracks, each their numbers, are of the same tracks, 0..1: the share that another draw has too, mean over pairs.

    It is how far scores would correlate that add up over tracks. Scores of heads do so by no more (in groups, too: benchmarks/coverage.py).
    """
    shared = [len(np.intersect1d(one, other)) / len(one) for i, one in enumerate(draws) for other in draws[:i]]
    return float(np.mean(shared)) if shared else 0.0


@dataclass(frozen=True)
class Between:
    """What draws of training tracks, or networks, let the mean of results differ by: its variance, which goes into an interval, with its degrees of
    freedom, and how much of it the variance over tracks has counted already.
    """

    variance: float
    df: float
    counted: float


def between(
    values: np.ndarray,
    drawn: np.ndarray,
    share: float,
    factors: Mapping[str, Sequence[int]],
    overlap: float = 0.0,
    middle: float = -1.0,
) -> list[Between]:
    """What other draws of training tracks, or other networks, would change in the mean of S values [S], which score `drawn` [S, R] on halves.

    factors: name ("draw", "network") -> which one each result is of, [S]. One alone says nothing of others and adds nothing. overlap: of draws, how
    far they are of the same training tracks (0..1): they differ by less than draws that are not, and their mean by more (Nadeau and Bengio, 2003).

    Draws differ in how good they are, and in which of these few tracks they are right on. Their spread has both; the second is in the variance over
    tracks as well. It leaves that one, which is well known, so that what is known by few draws stays as it was found (`together`).
    """
    found = []
    for name, ids in factors.items():
        numbers, members = len(set(ids)), [np.asarray(ids) == one for one in dict.fromkeys(ids)]
        if numbers < 2:
            continue
        means, parts = (np.array([of[own].mean(axis=0) for own in members]) for of in (values, drawn))
        on_tracks = np.mean([of_halves(one, share, middle) for one in parts - parts.mean(axis=0)]) * numbers / (numbers - 1)
        of_mean = 1 / numbers + (overlap / (1 - overlap) if name == DRAW else 0.0)
        found.append(Between(float(means.var(ddof=1)) * of_mean, numbers - 1.0, float(on_tracks) * of_mean))
    return found


def together(over_tracks: tuple[float, float], others: Sequence[Between]) -> Uncertainty:
    """The variance over tracks, with its degrees of freedom, and that between draws or networks, which is no less than the first alone: draws that
    happen to be alike make nothing surer.
    """
    variance = over_tracks[0] - sum(min(one.counted, one.variance) for one in others)
    variance = variance if math.isnan(variance) else max(variance, 0.0)
    return Uncertainty(((variance, over_tracks[1]), *((one.variance, one.df) for one in others)))


def interval_of(
    metric: Metric, score: float, centre: float, known: Uncertainty, count: float, level: float = 0.95
) -> tuple[float, float]:
    """The interval about `centre` (the score less its bias), as far as the score where that lies beyond, within the metric's bounds.

    count: tracks, groups or positives; the variance is never taken for that of more than four times as many. Raises ValueError for a level outside
    0..1.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"The level of an interval lies between 0 and 1; got {level}.")
    if math.isnan(known.se) or math.isnan(score):
        return NONE
    q, (least, most) = known.quantile(level), metric.bounds
    if (least, most) == (0.0, 1.0):
        low, high = _wilson(min(max(centre, 0.0), 1.0), known.se, q, count)
    elif most == 1.0:
        low, high = (1 - bound for bound in _log_interval(1 - centre, known.se, q)[::-1])
    elif least == 0.0:
        low, high = _log_interval(centre, known.se, q)
    else:
        low, high = centre - q * known.se, centre + q * known.se
    return min(low, score), max(high, score)


def _wilson(p: float, se: float, q: float, count: float) -> tuple[float, float]:
    inside = p * (1 - p)
    n = count if inside == 0 else min(inside / se**2, 4 * count) if se > 0 else 4 * count
    middle, half = (p + q**2 / (2 * n)) / (1 + q**2 / n), q / (1 + q**2 / n) * math.sqrt(inside / n + q**2 / (4 * n**2))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def _log_interval(value: float, se: float, q: float) -> tuple[float, float]:
    if value <= 0:
        return value, value
    factor = math.exp(min(q * se / value, 700.0))
    return value / factor, value * factor


def holm(p_values: Sequence[float], level: float = 0.05) -> list[bool]:
    """Which of several tests hold together, so that a false one among them is found in `level` of all cases at most (Holm, 1979)."""
    held = [False] * len(p_values)
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        if not p_values[i] <= level / (len(p_values) - rank):
            break
        held[i] = True
    return held
