"""Multi-label tagging: macro and micro ROC-AUC and average precision (ranking.py), and the task that has them.

A class without a positive has neither score, a class without a negative has no ROC-AUC (and an AP of 1): such classes are left out of the macro
means, which say how many classes they hold.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .metric import Draws, Metric, Predictions, Resampler, Scorer, mean_of_outputs
from .ranking import checked, class_scores, resampled_class_scores, resampled_micro_scores, roc_ap
from .tasks import Task, register_task

log = logging.getLogger(__name__)


def tagging_scores(targets: Any, scores: Any, *, warn: bool = True) -> dict[str, Any]:
    """Macro and micro ROC-AUC and average precision of `scores` [N, L] against `targets` [N, L] (0/1 or bool).

    Scores are probabilities or logits: only their order within a class counts (within all classes, for the micro ones).

    Returns macro_roc, macro_ap (unweighted means over the classes where they are defined), micro_roc, micro_ap (all N * L
    decisions as one class), class_roc [L], class_ap [L] (NaN where undefined), n_roc, n_ap (classes in each mean). With no class
    left a mean is NaN. warn: log the degenerate classes once per call.

    Raises ValueError for shapes that are not one [N, L] with N, L >= 1, targets other than 0 and 1, and scores that are NaN or
    infinite.
    """
    data = Predictions(targets, scores)
    roc, ap = _classes(data)
    micro_roc, micro_ap = _micro(data)
    if warn:
        log_degenerate(data)
    return {
        "macro_roc": mean_of_outputs(roc),
        "macro_ap": mean_of_outputs(ap),
        "micro_roc": micro_roc,
        "micro_ap": micro_ap,
        "class_roc": roc,
        "class_ap": ap,
        "n_roc": int(np.isfinite(roc).sum()),
        "n_ap": int(np.isfinite(ap).sum()),
    }


def log_degenerate(data: Predictions) -> None:
    """Log how many classes have no score."""
    targets, (roc, ap) = _checked(data)[0], _classes(data)
    if np.isfinite(roc).all():
        return
    positives = targets.sum(0)
    log.warning(
        "Of %d classes, %d have no positive and %d no negative among %d items: macro ROC-AUC is over %d, macro AP over %d.",
        *(len(roc), int((positives == 0).sum()), int((positives == len(targets)).sum()), len(targets)),
        *(int(np.isfinite(roc).sum()), int(np.isfinite(ap).sum())),
    )


def _checked(data: Predictions) -> tuple[np.ndarray, np.ndarray]:
    return data.shared("checked", lambda: checked(data.targets, data.values))


def _classes(data: Predictions) -> tuple[np.ndarray, np.ndarray]:
    return data.shared("classes", lambda: class_scores(*_checked(data)))


def _micro(data: Predictions) -> tuple[float, float]:
    def both() -> tuple[float, float]:
        targets, scores = _checked(data)
        return roc_ap(scores.reshape(-1), targets.reshape(-1))

    return data.shared("micro", both)


Resampled = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]


def _ranking(which: int, scores: Callable[[Predictions], tuple[Any, ...]], resampled: Resampled) -> tuple[Scorer, Resampler]:
    """`score` and `resample` of ROC-AUC (0), AP (1) or AP without the positives themselves (2), whose work is done once for all."""

    def resample(data: Predictions, draws: Draws) -> np.ndarray:
        return data.shared((resampled, draws), lambda: resampled(*_checked(data), draws.weights))[which]

    return (lambda data: scores(data)[which]), resample


def _others(resampled: Resampled) -> Callable[[Predictions], tuple[Any, Any, Any]]:
    """What `resampled` has of all tracks, once each."""

    def scores(data: Predictions) -> tuple[Any, Any, Any]:
        targets, values = _checked(data)
        found = resampled(targets, values, np.ones((1, len(targets)), np.uint8))
        return found[0][0], found[1][0], found[2][0]

    return scores


def _share(data: Predictions) -> np.ndarray:
    """The share of tracks that has each label, what AP is by chance, [L]; NaN for labels without tracks."""
    share = np.asarray(data.targets, dtype=np.float64).mean(axis=0)
    return np.where(share > 0, share, np.nan)


def _remark(counted: Mapping[str, int], n: int) -> str:
    each = " and ".join(f"{counted[metric.name]} ({metric.short_title})" for metric in TAGGING.headline if metric.outputs)
    return f"Means over {each} of {n} labels"


TAGGING = register_task(
    Task(
        "multi-label", ("bce",), monitors={"auto_ap": "val_ap"}, fit_curves=("val_roc", "val_ap"), log_undefined=log_degenerate, remark=_remark,
    )
)  # fmt: skip
_ROC_MEANS = "ROC-AUC: probability that a track with the label is ranked above one without it (ties count half); 0.5 is chance."
_AP_MEANS = "AP: average precision without interpolation; its chance level is the label's share of tracks."
_roc, _roc_drawn = _ranking(0, _classes, resampled_class_scores)
_ap, _ap_drawn = _ranking(1, _classes, resampled_class_scores)
_micro_roc, _micro_roc_drawn = _ranking(0, _micro, resampled_micro_scores)
_micro_ap, _micro_ap_drawn = _ranking(1, _micro, resampled_micro_scores)
_ap_about, _ap_about_drawn = _ranking(2, _others(resampled_class_scores), resampled_class_scores)
_micro_about, _micro_about_drawn = _ranking(2, _others(resampled_micro_scores), resampled_micro_scores)

TAGGING.register(
    Metric(
        "macro_roc", "macro ROC-AUC", _roc, "ROC-AUC", resample=_roc_drawn, chance=lambda data: 0.5,
        outputs="class_roc", curve="val_roc", log_name="roc", headline=True, definition=_ROC_MEANS, needs="a track with it and one without",
        rare=True,
    )
)  # fmt: skip
TAGGING.register(
    Metric(
        "macro_ap", "macro AP", _ap, "AP", resample=_ap_drawn, chance=_share,
        outputs="class_ap", curve="val_ap", log_name="ap", headline=True, definition=_AP_MEANS, needs="a track with it",
        rare=True, order=3, in_folds="comparable",
        about=Metric("macro_ap_others", "macro AP", _ap_about, resample=_ap_about_drawn, rare=True, order=3, in_folds="comparable"),
    )
)  # fmt: skip
TAGGING.register(
    Metric(
        "micro_roc", "micro ROC-AUC", _micro_roc, resample=_micro_roc_drawn, chance=lambda data: 0.5, log_name="micro_roc",
        definition="Micro: all decisions, every label of every track, ranked as one class.",
    )
)  # fmt: skip
TAGGING.register(
    Metric(
        "micro_ap", "micro AP", _micro_ap, resample=_micro_ap_drawn, chance=lambda data: float(np.mean(data.targets)), log_name="micro_ap",
        order=3, in_folds="comparable_all",
        about=Metric("micro_ap_others", "micro AP", _micro_about, resample=_micro_about_drawn, order=3, in_folds="comparable_all"),
    )
)  # fmt: skip
