"""What a probe may be asked: tags, one class, a key, numbers. Each task with its losses, its predictions and its scores.

Conventions: N items, L outputs. Targets are bool [N, L] (one True per row for "single-label" and "key") or float [N, L] for "regression".
Predictions are what the outputs become: probabilities (sigmoid for tags, softmax for classes), or the outputs themselves for regression.

Scores: multi-label: macro and micro ROC-AUC and AP (helpers/metrics.py). single-label: accuracy, and balanced accuracy (mean recall over the classes
that occur). key: the weighted score of mir_eval (1 same, .5 fifth, .3 relative, .2 parallel key; MIREX), and accuracy. regression: R2 (mean over
outputs, as scikit-learn's r2_score) and the mean squared error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch.nn import functional as F

from models.errors import ConfigError, GroundtruthError, listed, nearest

from .tagging import bootstrap_scores, sigmoid, tagging_scores

TaskName = Literal["multi-label", "single-label", "key", "regression"]
Loss = Literal["auto", "bce", "ce", "mse"]
METRIC_NAMES = {
    "macro_roc": "macro ROC-AUC",
    "macro_ap": "macro AP",
    "micro_roc": "micro ROC-AUC",
    "micro_ap": "micro AP",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced acc.",
    "weighted_score": "key score",
    "r2": "R2",
    "mse": "MSE",
}
BOUNDS = {"r2": (-math.inf, 1.0), "mse": (0.0, math.inf)}  # of all others 0 and 1
LOWER_IS_BETTER = frozenset({"mse", "val_loss"})


@dataclass(frozen=True)
class Task:
    """name. losses: that it may be trained with, the usual one first. metrics: its scores, the two that tables show first. per_label: its scores per
    output [L]. monitors: name of a validation curve -> score; the first is the usual one, and val_loss is there for every task.
    """

    name: str
    losses: tuple[str, ...]
    metrics: tuple[str, ...]
    per_label: tuple[str, ...]
    monitors: dict[str, str]

    def monitor(self, asked: str) -> str:
        """The curve that picks the epoch. Raises ConfigError for one that the task does not have.

        "auto" is the task's usual one; "auto_ap" the same, but val_ap of tags.
        """
        known = (*self.monitors, "val_loss")
        if asked == "auto_ap" and "val_ap" in known:
            return "val_ap"
        if asked in ("auto", "auto_ap"):
            return known[0]
        if asked not in known:
            raise ConfigError(f"The probe's monitor is '{asked}'; {self.name} has {', '.join(known)}.{nearest(asked, known)}")
        return asked

    def loss_name(self, asked: str) -> str:
        """The loss; "auto" is the task's usual one. Raises ConfigError for one that does not suit it."""
        if asked == "auto":
            return self.losses[0]
        if asked not in self.losses:
            raise ConfigError(f"The probe's loss is '{asked}'; {self.name} is trained with {' or '.join(self.losses)}.")
        return asked

    @property
    def one_class(self) -> bool:
        """Whether an item has exactly one class."""
        return self.name in ("single-label", "key")

    @property
    def headline(self) -> tuple[str, ...]:
        """The scores that tables show."""
        return self.metrics[:2]


TASKS = {
    "multi-label": Task(
        "multi-label",
        ("bce",),
        ("macro_roc", "macro_ap", "micro_roc", "micro_ap"),
        ("class_roc", "class_ap"),
        {"val_roc": "macro_roc", "val_ap": "macro_ap"},
    ),
    "single-label": Task(
        "single-label",
        ("ce", "bce"),
        ("accuracy", "balanced_accuracy"),
        ("class_recall",),
        {"val_acc": "accuracy", "val_balanced_acc": "balanced_accuracy"},
    ),
    "key": Task(
        "key",
        ("ce", "bce"),
        ("weighted_score", "accuracy"),
        ("class_recall",),
        {"val_key": "weighted_score", "val_acc": "accuracy"},
    ),
    "regression": Task("regression", ("mse",), ("r2", "mse"), ("class_r2",), {"val_r2": "r2"}),
}


def get_task(name: str) -> Task:
    """A task by name. Raises ConfigError for an unknown one."""
    if name not in TASKS:
        raise ConfigError(f"There is no task '{name}'; choose one of {', '.join(get_args(TaskName))}.{nearest(name, TASKS)}")
    return TASKS[name]


# ---- training
def loss_of(name: str, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Mean loss of logits [..., L] against y float [..., L]: "bce", "ce" (y holds one 1 per row) or "mse"."""
    if name == "bce":
        return F.binary_cross_entropy_with_logits(logits, y)
    if name == "ce":
        return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), y.reshape(-1, y.shape[-1]).argmax(-1))
    return F.mse_loss(logits, y)


def activate(loss: str, logits: np.ndarray) -> np.ndarray:
    """Logits [..., L] as predictions, float64: probabilities of labels ("bce") or of classes ("ce"), or themselves ("mse").

    In float32 all logits above 17 would be the same probability, 1, and tie.
    """
    logits = np.asarray(logits, dtype=np.float64)
    if loss == "bce":
        return sigmoid(logits)
    if loss == "ce":
        shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return shifted / shifted.sum(axis=-1, keepdims=True)
    return logits


def check_targets(task: str, y: np.ndarray, keys: Sequence[str], labels: Sequence[str]) -> None:
    """Raises GroundtruthError for targets that the task cannot use: several or no classes of a track, keys that are none, values not finite."""
    if task == "regression":
        if not np.isfinite(np.asarray(y, dtype=np.float64)).all():
            raise GroundtruthError("Values to be predicted are NaN or infinite: take these tracks out.")
        return
    if task in ("single-label", "key"):
        wrong = np.flatnonzero(y.sum(axis=1) > 1)
        if len(wrong):
            shown = ", ".join(f"{keys[i]} ({int(y[i].sum())})" for i in wrong[:5])
            raise GroundtruthError(
                f"The task {task} wants one class per track; {len(wrong)} of {len(keys)} tracks have several: {shown}. For several "
                "labels per track the task is multi-label (data.task=multi-label)."
            )
        if len(bare := np.flatnonzero(~y.any(axis=1))):
            raise GroundtruthError(
                f"The task {task} wants one class per track; {len(bare)} of {len(keys)} tracks have none: {listed([keys[i] for i in bare], 5)}. "
                "Give them one, or take them out of the groundtruth."
            )
    if task == "key":
        key_weights(tuple(labels))


# ---- scores
def score(
    task: str, targets: np.ndarray, predictions: np.ndarray, labels: Sequence[str] = (), warn: bool = True
) -> dict[str, Any]:
    """All scores of a task, by name: its metrics as numbers, its per_label ones as [L] (NaN where undefined).

    labels: names of the L outputs, which "key" needs.
    """
    if task == "multi-label":
        return tagging_scores(targets.astype(bool), predictions, warn=warn)
    if task == "regression":
        target, predicted = np.asarray(targets, np.float64), np.asarray(predictions, np.float64)
        spread = ((target - target.mean(axis=0)) ** 2).sum(axis=0)
        error = ((target - predicted) ** 2).sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            r2 = np.where(varies(target), 1 - error / spread, np.nan)
        defined = np.isfinite(r2)
        return {
            "r2": float(r2[defined].mean()) if defined.any() else float("nan"),
            "mse": float(((target - predicted) ** 2).mean()),
            "class_r2": r2,
            "n_classes": int(defined.sum()),
        }
    found = {name: float(np.mean(values)) for name, values in _per_item(task, targets, predictions, labels).items()}
    right, counts = _right(targets, predictions), targets.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = np.where(counts > 0, (targets * right[:, None]).sum(axis=0) / counts, np.nan)
    occurs = counts > 0
    found["balanced_accuracy"] = float(recall[occurs].mean())
    return {**found, "class_recall": recall, "n_classes": int(occurs.sum())}


def resampled(
    task: str,
    targets: np.ndarray,
    predictions: np.ndarray,
    labels: Sequence[str],
    resamples: int,
    seed: int,
    folds: np.ndarray | None = None,
    which: Literal["macro", "micro"] = "macro",
) -> dict[str, np.ndarray]:
    """The scores on tracks drawn with replacement, name -> [resamples]; one seed and N draw the same tracks for any predictions.

    which: of tags, whose macro and micro scores take as long again, the ones or the others.
    """
    if task == "multi-label":
        return bootstrap_scores(targets, predictions, resamples=resamples, seed=seed, folds=folds, which=which)
    n = len(targets)
    rng = np.random.default_rng(seed)
    weights = np.stack([np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(resamples)]).astype(np.float64)
    if task == "regression":
        y, p = np.asarray(targets, np.float64), np.asarray(predictions, np.float64)
        error = weights @ (y - p) ** 2
        defined = varies(y)
        centred = y - y.mean(axis=0)  # else the difference of two large sums is left
        squares = weights @ centred**2
        spread = squares - (weights @ centred) ** 2 / n
        with np.errstate(invalid="ignore", divide="ignore"):
            r2 = np.where(defined & (spread > 1e-10 * squares), 1 - error / spread, np.nan)
        return {"r2": _mean_of_defined(r2), "mse": error.mean(axis=1) / n}
    out = {name: weights @ values / n for name, values in _per_item(task, targets, predictions, labels).items()}
    members = weights @ targets.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = np.where(members > 0, weights @ (targets * _right(targets, predictions)[:, None]) / members, np.nan)
    return {**out, "balanced_accuracy": _mean_of_defined(recall)}


def varies(values: np.ndarray) -> np.ndarray:
    """Which columns of [N, L] hold different numbers, bool [L]; differences of rounding are none."""
    return values.std(axis=0) > 1e-12 * np.abs(values.mean(axis=0))


def _mean_of_defined(values: np.ndarray) -> np.ndarray:
    """Mean over columns [R, L] -> [R] of what is not NaN; NaN where nothing is left."""
    counted = np.isfinite(values).sum(axis=1)
    return np.where(counted > 0, np.nansum(values, axis=1) / np.maximum(counted, 1), np.nan)


def _right(targets: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    return (targets.argmax(axis=1) == predictions.argmax(axis=1)).astype(np.float64)


def _per_item(task: str, targets: np.ndarray, predictions: np.ndarray, labels: Sequence[str]) -> dict[str, np.ndarray]:
    """Scores that are means over items, item by item [N]."""
    out = {"accuracy": _right(targets, predictions)}
    if task == "key":
        out["weighted_score"] = key_weights(tuple(labels))[targets.argmax(axis=1), predictions.argmax(axis=1)]
    return out


# ---- keys
@lru_cache(maxsize=8)
def key_weights(labels: tuple[str, ...]) -> np.ndarray:
    """mir_eval's weighted score of every pair of keys (true, estimated), [L, L].

    labels: keys such as "C major", "F# minor", "Eb:min". Raises GroundtruthError for a label that is no key.
    """
    from mir_eval.key import weighted_score

    names = [_key_name(label) for label in labels]
    return np.array([[weighted_score(true, estimated) for estimated in names] for true in names])


def _key_name(label: str) -> str:
    words = label.replace(":", " ").split()
    modes = {"major": "major", "maj": "major", "minor": "minor", "min": "minor"}
    tonic = words[0][:1].upper() + words[0][1:].lower() if words else ""
    known = {f"{letter}{sign}" for letter in "ABCDEFG" for sign in ("", "#", "b")} - {"B#", "E#", "Cb", "Fb"}
    if len(words) != 2 or words[1].lower() not in modes or tonic not in known:
        raise GroundtruthError(
            f"The label '{label}' is no key: the task key wants names such as 'C major' and 'Eb minor'; data.label_column=... takes another column."
        )
    return f"{tonic} {modes[words[1].lower()]}"
