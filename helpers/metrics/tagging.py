"""Scores of multi-label tagging, exact and in float64, with scikit-learn's definitions.

ROC-AUC: trapezoids over the distinct thresholds. AP: sum over thresholds of (R_n - R_(n-1)) P_n, without interpolation. Items
with equal scores share a threshold. A class without a positive has neither score, a class without a negative has no ROC-AUC (and
an AP of 1): such classes are left out of the macro means, which say how many classes they hold. (scikit-learn returns NaN or
counts 0, torchmetrics counts 0: both mislead.)

Letters: N items (windows or tracks), L labels.
"""

from __future__ import annotations

import logging
from typing import Any, Literal, get_args

import numpy as np

log = logging.getLogger(__name__)

How = Literal["mean_prob", "mean_logit", "prob_of_mean_logit"]
_BLOCK = 32  # resamples scored at once: bounds memory to about _BLOCK * N float64 values


def tagging_scores(targets: Any, scores: Any, *, warn: bool = True) -> dict[str, Any]:
    """Macro and micro ROC-AUC and average precision of `scores` [N, L] against `targets` [N, L] (0/1 or bool).

    Scores are probabilities or logits: only their order within a class counts (within all classes, for the micro ones).

    Returns macro_roc, macro_ap (unweighted means over the classes where they are defined), micro_roc, micro_ap (all N * L
    decisions as one class), class_roc [L], class_ap [L] (NaN where undefined), n_roc, n_ap (classes in each mean). With no class
    left a mean is NaN. warn: log the degenerate classes once per call.

    Raises ValueError for shapes that are not one [N, L] with N, L >= 1, targets other than 0 and 1, and scores that are NaN or
    infinite.
    """
    targets, scores = _checked(targets, scores)
    classes = [_roc_ap(s, t) for s, t in zip(np.ascontiguousarray(scores.T), np.ascontiguousarray(targets.T))]
    roc, ap = (np.array(column, dtype=np.float64) for column in zip(*classes))
    micro_roc, micro_ap = _roc_ap(scores.reshape(-1), targets.reshape(-1))
    n_roc, n_ap = int(np.isfinite(roc).sum()), int(np.isfinite(ap).sum())
    if warn and n_roc < len(roc):
        positives = targets.sum(0)
        without_negative = int((positives == len(targets)).sum())
        log.warning(
            "Of %d classes, %d have no positive and %d no negative among %d items: macro ROC-AUC is over %d, macro AP over %d.",
            *(len(roc), int((positives == 0).sum()), without_negative, len(targets), n_roc, n_ap),
        )
    return {
        "macro_roc": _mean(roc),
        "macro_ap": _mean(ap),
        "micro_roc": micro_roc,
        "micro_ap": micro_ap,
        "class_roc": roc,
        "class_ap": ap,
        "n_roc": n_roc,
        "n_ap": n_ap,
    }


def bootstrap_interval(
    targets: Any, scores: Any, *, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Intervals of the macro scores over tracks: {"macro_roc": (low, high), "macro_ap": (low, high)}.

    Rows of `targets` and `scores` [N, L] are tracks; see `bootstrap_scores`. Raises ValueError as that does, and for a level outside 0..1.
    """
    resampled = bootstrap_scores(targets, scores, resamples=resamples, seed=seed)
    found = tagging_scores(targets, scores, warn=False)
    intervals = {name: interval_of(values, found[name], level) for name, values in resampled.items()}
    return {name: (float(np.clip(low, 0, 1)), float(np.clip(high, 0, 1))) for name, (low, high) in intervals.items()}


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


def bootstrap_scores(
    targets: Any,
    scores: Any,
    *,
    resamples: int = 1000,
    seed: int = 0,
    folds: Any | None = None,
    which: Literal["macro", "micro"] = "macro",
) -> dict[str, np.ndarray]:
    """The scores on tracks drawn with replacement: {"macro_roc": [resamples], "macro_ap": [resamples]}, or of `which` "micro" those.

    Rows of `targets` and `scores` [N, L] are tracks, resampled `resamples` times; one seed and N draw the same tracks for any scores, so that
    two systems can be compared resample by resample. In each resample the degenerate classes are left out. Each class is sorted once and the
    resamples enter as weights: MagnaTagATune's test set (5329 x 50) at 1000 resamples takes seconds, not minutes.
    folds [N]: of a cross-validation; a class's score, and a micro score, is then the mean over the folds that it is defined in.

    Raises ValueError as `tagging_scores` does, and for fewer than 2 tracks or no resample.
    """
    targets, scores = _checked(targets, scores)
    n, n_classes = targets.shape
    if n < 2 or resamples < 1:
        raise ValueError(f"A bootstrap needs 2 or more tracks and 1 or more resamples; got {n} and {resamples}.")
    rng = np.random.default_rng(seed)
    groups = [np.arange(n)] if folds is None else [np.flatnonzero(np.asarray(folds) == f) for f in np.unique(folds)]
    if which == "micro":  # one class of N * L decisions; a track's weight is that of all its labels
        decisions = [_sorted(scores[rows].reshape(-1), targets[rows].reshape(-1)) for rows in groups]
        orders, block = [[(order // n_classes, hits, ends) for order, hits, ends in decisions]], max(_BLOCK // n_classes, 1)
    else:
        orders, block = [[_sorted(scores[rows, c], targets[rows, c]) for rows in groups] for c in range(n_classes)], _BLOCK
    found: list[np.ndarray] = []
    for first in range(0, resamples, block):
        drawn = rng.integers(n, size=(min(block, resamples - first), n))
        weights = np.stack([np.bincount(row, minlength=n) for row in drawn]).astype(np.float64)
        parts = [weights[:, rows] for rows in groups]
        per_class = np.stack(
            [_defined_mean([_weighted_roc_ap(*o, w) for o, w in zip(order, parts)]) for order in orders]
        )  # [L, 2, block]
        found.append(_defined_mean(list(per_class)))
    return dict(zip((f"{which}_roc", f"{which}_ap"), np.concatenate(found, axis=1)))


def _defined_mean(values: list[np.ndarray]) -> np.ndarray:
    """Mean of arrays of one shape where they are defined; NaN where none is."""
    if len(values) == 1:
        return values[0]
    stacked = np.stack(values)
    counted = np.isfinite(stacked).sum(0)
    return np.where(counted > 0, np.nansum(stacked, axis=0) / np.maximum(counted, 1), np.nan)


def aggregate_tracks(logits: Any, track: Any, how: How = "mean_prob", valid: Any | None = None) -> np.ndarray:
    """Scores of tracks [n_tracks, L] from the logits of their windows [W, L].

    Rows follow the sorted distinct values of `track` [W].

    how: "mean_prob": mean of the windows' sigmoids; "mean_logit": mean of their logits; "prob_of_mean_logit": sigmoid of that
    mean. The first ranks differently from the other two. valid [W]: frames of each window that are not padding, as weights (none:
    all equal).

    Raises ValueError for an unknown `how`, shapes that do not fit, NaN or infinite logits, and weights that are negative or all 0
    in a track.
    """
    if how not in get_args(How):
        raise ValueError(f"how is '{how}'; choose one of {', '.join(get_args(How))}.")
    logits = _numbers(logits).astype(np.float64)
    mean = track_means(sigmoid(logits) if how == "mean_prob" else logits, track, valid)[1]
    return sigmoid(mean) if how == "prob_of_mean_logit" else mean


def track_means(values: Any, track: Any, valid: Any | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Weighted means of the windows' `values` [W, L] per track: (sorted distinct values of `track` [W], means [n_tracks, L]).

    valid [W]: weights, the windows' valid frames (none: all equal). Raises ValueError as `aggregate_tracks` does.
    """
    values, track = _numbers(values), _numbers(track)
    if values.ndim != 2 or track.shape != values.shape[:1] or len(track) == 0:
        raise ValueError(
            f"Windows are [W, L] with a track id each [W], W >= 1; got {list(values.shape)} and {list(track.shape)}."
        )
    if not np.isfinite(values).all():
        raise ValueError(f"{int((~np.isfinite(values)).any(1).sum())} of {len(values)} windows hold NaN or infinite scores.")
    weights = np.ones(len(values)) if valid is None else _numbers(valid).astype(np.float64)
    if weights.shape != track.shape or not (np.isfinite(weights) & (weights >= 0)).all():
        raise ValueError(
            f"The windows' weights are numbers of 0 or more, one for each of {len(track)}; got {list(weights.shape)}."
        )
    ids, row = np.unique(track, return_inverse=True)
    total = np.bincount(row, weights, minlength=len(ids))
    if (total == 0).any():
        raise ValueError(f"Every window of track {ids[int(np.argmin(total))]!r} has weight 0: it has no mean.")
    order = np.argsort(row, kind="stable")
    starts = np.searchsorted(row[order], np.arange(len(ids)))
    return ids, np.add.reduceat((values * weights[:, None])[order], starts, axis=0) / total[:, None]


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), without overflow for any finite x."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, small) / (1.0 + small)


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


def _roc_ap(scores: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    hits, ends = _sorted_hits(scores, targets)
    true = np.cumsum(hits)[ends]  # true positives at each threshold
    # between two thresholds that gain positives both curves are straight: only the corners are needed
    gains = np.append(np.diff(true, prepend=0) > 0, True)
    corners = gains[:-1] | gains[1:]
    roc, ap = _areas(true[corners].astype(np.float64)[None], (ends[corners] + 1.0)[None])
    return float(roc[0]), float(ap[0])


def _weighted_roc_ap(order: np.ndarray, hits: np.ndarray, ends: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """ROC-AUC and AP [2, R] of one class with each item counted `weights` [R, N] times."""
    w = weights[:, order]
    return np.stack(_areas(np.cumsum(w * hits, axis=1)[:, ends], np.cumsum(w, axis=1)[:, ends]))


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
def _numbers(x: Any) -> np.ndarray:
    return np.asarray(x.detach().cpu() if hasattr(x, "detach") else x)


def _checked(targets: Any, scores: Any) -> tuple[np.ndarray, np.ndarray]:
    targets, scores = _numbers(targets), _numbers(scores)
    if targets.ndim != 2 or targets.shape != scores.shape or 0 in targets.shape:
        raise ValueError(
            f"Targets and scores share one shape [N items, L labels], none 0; got {list(targets.shape)} and {list(scores.shape)}."
        )
    if targets.dtype != np.bool_ and not np.isin(targets, (0, 1)).all():
        raise ValueError(f"Targets are 0 or 1; got values from {targets.min()} to {targets.max()}.")
    bad = ~np.isfinite(scores)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ValueError(
            f"{int(bad.sum())} scores are NaN or infinite, the first at item {row}, label {column}: their model is broken."
        )
    return targets.astype(bool), scores if scores.dtype.kind == "f" else scores.astype(np.float64)


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
