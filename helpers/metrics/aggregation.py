"""From the windows of a track to the track: how outputs are put together, named, because the ways rank tracks differently.

mean_prob: mean of the windows' probabilities (the default). mean_logit: mean of the outputs before the sigmoid or softmax; prob_of_mean_logit:
that mean's probability (MARBLE; ranks as mean_logit does). vote: share of windows that vote for the class (the most probable one; for tags,
those above one half). max_logit: the highest output of any window. For numbers (regression) the three
means are one, and the others mean nothing.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from models.errors import ConfigError, nearest

from .ranking import as_numbers

How = Literal["mean_prob", "mean_logit", "prob_of_mean_logit"]
Aggregation = Literal["mean_prob", "mean_logit", "prob_of_mean_logit", "vote", "max_logit"]
AGGREGATIONS = get_args(Aggregation)


def check_aggregation(how: str, loss: str) -> None:
    """Raises ConfigError for an unknown way, and for one that means nothing for numbers."""
    known = (*AGGREGATIONS, "best")
    if how not in known:
        raise ConfigError(f"aggregate is '{how}'; choose one of {', '.join(known)}.{nearest(how, known)}")
    if loss == "mse" and how in ("vote", "max_logit", "best"):
        raise ConfigError(f"aggregate is '{how}', which means nothing for numbers: leave it at mean_prob, the mean.")


def aggregate(
    logits: np.ndarray, track: np.ndarray | None, n_tracks: int, how: str, loss: str, one_class: bool = False
) -> np.ndarray:
    """Predictions of tracks [..., N, L] from the logits of their windows [..., W, L].

    track: int [W], the track of each window, rising, each of 0..N-1 at least once; None: every track is one window. loss: what the logits were
    trained with, which says what a probability is (`tasks.activate`). one_class: a track has one class, and a window one vote.
    """
    check_aggregation(how, loss)
    if track is None:
        return activate(loss, logits)
    starts = np.searchsorted(track, np.arange(n_tracks))
    if how == "max_logit":
        return np.maximum.reduceat(logits, starts, axis=-2)
    if how == "mean_prob":
        values = activate(loss, logits)
    elif how == "vote":
        values = (logits == logits.max(axis=-1, keepdims=True)) if one_class else logits > 0
    else:
        values = logits
    counts = np.diff(np.append(starts, len(track)))
    mean = np.add.reduceat(values.astype(np.float64), starts, axis=-2) / counts[:, None]
    return activate(loss, mean) if how == "prob_of_mean_logit" else mean


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
    logits = as_numbers(logits).astype(np.float64)
    mean = track_means(sigmoid(logits) if how == "mean_prob" else logits, track, valid)[1]
    return sigmoid(mean) if how == "prob_of_mean_logit" else mean


def track_means(values: Any, track: Any, valid: Any | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Weighted means of the windows' `values` [W, L] per track: (sorted distinct values of `track` [W], means [n_tracks, L]).

    valid [W]: weights, the windows' valid frames (none: all equal). Raises ValueError as `aggregate_tracks` does.
    """
    values, track = as_numbers(values), as_numbers(track)
    if values.ndim != 2 or track.shape != values.shape[:1] or len(track) == 0:
        raise ValueError(
            f"Windows are [W, L] with a track id each [W], W >= 1; got {list(values.shape)} and {list(track.shape)}."
        )
    if not np.isfinite(values).all():
        raise ValueError(f"{int((~np.isfinite(values)).any(1).sum())} of {len(values)} windows hold NaN or infinite scores.")
    weights = np.ones(len(values)) if valid is None else as_numbers(valid).astype(np.float64)
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


def activate(loss: str, logits: np.ndarray) -> np.ndarray:
    """Logits [..., L] as predictions, float64: probabilities of labels ("bce", "bce_boundary") or of classes ("ce"), or themselves ("mse").

    In float32 all logits above 17 would be the same probability, 1, and tie.
    """
    logits = np.asarray(logits, dtype=np.float64)
    if loss in ("bce", "bce_boundary"):
        return sigmoid(logits)
    if loss == "ce":
        shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return shifted / shifted.sum(axis=-1, keepdims=True)
    return logits


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), without overflow for any finite x."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, small) / (1.0 + small)
