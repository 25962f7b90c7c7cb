"""From the windows of a track to the track: how outputs are put together, named, because the ways rank tracks differently.

mean_prob: mean of the windows' probabilities (the default). mean_logit: mean of the outputs before the sigmoid or softmax; prob_of_mean_logit:
that mean's probability (MARBLE; ranks as mean_logit does). vote: share of windows that vote for the class (the most probable one; for tags,
those above one half). max_logit: the highest output of any window. For numbers (regression) the three
means are one, and the others mean nothing.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from models.errors import ConfigError, nearest

from .tasks import activate

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
