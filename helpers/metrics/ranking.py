"""ROC-AUC and average precision, exact and in float64, with scikit-learn's definitions.

ROC-AUC: trapezoids over the distinct thresholds. AP: sum over thresholds of (R_n - R_(n-1)) P_n, without interpolation. Items
with equal scores share a threshold. A class without a positive has neither score, a class without a negative has no ROC-AUC (and
an AP of 1): both are NaN then. (scikit-learn returns NaN or counts 0, torchmetrics counts 0: both mislead.)

Letters: N items (windows or tracks), L labels, R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.errors import ConfigError

_BLOCK = 32  # resamples scored at once, and more where items are few: bounds memory to about _BLOCK * N int32 values, or
_VALUES = 1 << 17


def class_scores(targets: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ROC-AUC and AP of every label, [L] each, of checked targets and scores [N, L]."""
    classes = [roc_ap(s, t) for s, t in zip(np.ascontiguousarray(scores.T), np.ascontiguousarray(targets.T))]
    roc, ap = (np.array(column, dtype=np.float64) for column in zip(*classes))
    return roc, ap


def resampled_class_scores(
    targets: np.ndarray, scores: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ROC-AUC, AP and AP without the positives themselves of every label in every resample, [R, L] each; weights [R, N]: how often each resample
    holds each item.

    Each class is sorted once and the resamples enter as weights: MagnaTagATune's test set (5329 x 50) at 1000 resamples takes seconds, not minutes.
    """
    orders = [_sorted(scores[:, c], targets[:, c]) for c in range(targets.shape[1])]
    return _in_blocks(orders, weights, max(_BLOCK, _VALUES // len(targets)))


def resampled_micro_scores(
    targets: np.ndarray, scores: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same of all N * L decisions as one class, [R] each: a track's weight is that of all its labels."""
    n_classes = targets.shape[1]
    order, hits, ends = _sorted(scores.reshape(-1), targets.reshape(-1))
    roc, ap, others = _in_blocks([(order // n_classes, hits, ends)], weights, max(_BLOCK // n_classes, 1))
    return roc[:, 0], ap[:, 0], others[:, 0]


def _in_blocks(
    orders: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], weights: np.ndarray, block: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    found = []
    for first in range(0, len(weights), block):
        w = np.ascontiguousarray(
            weights[first : first + block].T
        )  # an item's weights side by side: sums run over rows, several times faster
        found.append(np.stack([_weighted_roc_ap(*order, w) for order in orders]))  # [L, 3, block]
    roc, ap, others = np.concatenate(found, axis=2).transpose(1, 2, 0)
    return roc, ap, others


# ---- one class
def _sorted(scores: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(order [N] by falling score, targets in that order [N], last position of each run of equal scores)."""
    order = np.argsort(scores)[::-1]  # the order within equal scores plays no part, and the unstable sort is several times faster
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    return order, targets[order], ends


def _sorted_hits(scores: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The last two of `_sorted`. Scores of float32 are sorted together with their targets as one integer each, several times faster."""
    if scores.dtype != np.float32:
        return _sorted(scores, targets)[1:]
    bits = (scores + np.float32(0)).view(np.uint32)  # -0 becomes 0
    rising = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31)).astype(np.uint64)  # integers in the order of the numbers
    keys = np.sort(rising << np.uint64(1) | targets)[::-1]
    ends = np.append(np.flatnonzero(np.diff(keys >> np.uint64(1))), len(keys) - 1)
    return (keys & np.uint64(1)).astype(bool), ends


def roc_ap(scores: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    """ROC-AUC and AP of one class: scores [N], targets bool [N]."""
    hits, ends = _sorted_hits(scores, targets)
    true = np.cumsum(hits)[ends]  # true positives at each threshold
    # between two thresholds that gain positives both curves are straight: only the corners are needed
    gains = np.append(np.diff(true, prepend=0) > 0, True)
    corners = gains[:-1] | gains[1:]
    roc, ap = _areas(true[corners].astype(np.float64)[None], (ends[corners] + 1.0)[None])
    return float(roc[0]), float(ap[0])


def _weighted_roc_ap(order: np.ndarray, hits: np.ndarray, ends: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """ROC-AUC, AP, and AP without the positives themselves [3, R] of one class with each item counted `weights` [N, R] times; NaN where undefined.

    All change at thresholds that gain a positive alone: the others are passed over.

    AP is the mean over positives of the precision at their place, in which each of them counts as found: the fewer they are, the more of it is
    this. Without: a positives among the m others that stand as high, a / m is on average what the precision is among endlessly many (given m, a is
    binomial, where both are drawn as independent Poisson numbers), with a times P / (P - 1), since one of P positives is not counted. The
    uppermost keeps its 1: nothing else is known there.
    """
    w = weights[order]
    upto = np.cumsum(hits)[ends]  # positives at each threshold, unweighted
    gains = np.diff(upto, prepend=0) > 0
    first = np.concatenate([[0], ends[:-1] + 1])[gains]
    taken = np.cumsum(w, axis=0, dtype=np.int32)
    true = np.cumsum(w[hits], axis=0, dtype=np.int32)[upto[gains] - 1].astype(np.float64)  # [thresholds, R]
    positives = true[-1] if len(true) else np.zeros(w.shape[1])
    negatives = taken[-1] - positives
    gained, below, above = (
        np.diff(true, axis=0, prepend=0.0),
        taken[ends[gains]],
        np.where(first[:, None] > 0, taken[first - 1], 0),
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        # twice the negatives above an item, and once those beside it
        roc = 1.0 - (gained * (above + below - 2.0 * true + gained)).sum(axis=0) / (2.0 * positives * negatives)
        ap = (gained * np.where(below > 0, true / below, 0.0)).sum(axis=0) / positives
        more = (true - 1.0) * positives / (positives - 1.0)
        others = (gained * np.where(below > 1, more / (more + below - true), 1.0)).sum(axis=0) / positives
    others = np.where(positives > 1, others, ap)
    defined = positives * negatives > 0, positives > 0, positives > 0
    return np.stack([np.where(where, values, np.nan) for where, values in zip(defined, (roc, ap, others))])


def _areas(true: np.ndarray, taken: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ROC-AUC and AP [R] from true positives and items taken at each threshold [R, thresholds]; NaN where undefined."""
    false = taken - true
    positives, negatives = true[:, -1], false[:, -1]
    with np.errstate(invalid="ignore", divide="ignore"):
        before = np.concatenate([np.zeros_like(true[:, :1]), true[:, :-1]], axis=1)
        roc = (np.diff(false, axis=1, prepend=0.0) * (true + before)).sum(1) / (2.0 * positives * negatives)
        precision = np.where(taken > 0, true / taken, 0.0)
        ap = ((true - before) * precision).sum(1) / positives
    return np.where(positives * negatives > 0, roc, np.nan), np.where(positives > 0, ap, np.nan)


# ---- input
def as_numbers(x: Any) -> np.ndarray:
    """An array of an array, a list, or a tensor on any device."""
    return np.asarray(x.detach().cpu() if hasattr(x, "detach") else x)


def checked(targets: Any, scores: Any) -> tuple[np.ndarray, np.ndarray]:
    """Targets as bool [N, L] and scores as floats [N, L].

    Raises ValueError for shapes that are not one [N, L] with N, L >= 1, targets other than 0 and 1, and scores that are NaN or infinite.
    """
    targets, scores = as_numbers(targets), as_numbers(scores)
    if targets.ndim != 2 or targets.shape != scores.shape or 0 in targets.shape:
        raise ValueError(
            f"Targets and scores share one shape [N items, L labels], none 0; got {list(targets.shape)} and {list(scores.shape)}."
        )
    if targets.dtype != np.bool_ and not np.isin(targets, (0, 1)).all():
        raise ValueError(f"Targets are 0 or 1; got values from {targets.min()} to {targets.max()}.")
    bad = ~np.isfinite(scores)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ConfigError(
            f"{int(bad.sum())} scores are NaN or infinite, the first at item {row}, label {column}: their training diverged. Lower its learning rate."
        )
    return targets.astype(bool), scores if scores.dtype.kind == "f" else scores.astype(np.float64)
