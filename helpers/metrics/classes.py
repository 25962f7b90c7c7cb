"""One class per item: accuracy, balanced accuracy (mean recall over the classes that occur), and the task that has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from models.errors import GroundtruthError, listed

from .metric import Draws, Metric, Predictions, mean_over_items
from .tasks import Task, register_task


def check_one_class(task: str) -> Callable[[np.ndarray, Sequence[str], Sequence[str]], None]:
    """The check of a task whose items have one class each. It raises GroundtruthError for tracks with several or none."""

    def check(targets: np.ndarray, keys: Sequence[str], labels: Sequence[str]) -> None:
        wrong = np.flatnonzero(targets.sum(axis=1) > 1).tolist()
        if wrong:
            shown = ", ".join(f"{keys[i]} ({int(targets[i].sum())})" for i in wrong[:5])
            raise GroundtruthError(
                f"The task {task} wants one class per track; {len(wrong)} of {len(keys)} tracks have several: {shown}. For several "
                "labels per track the task is multi-label (data.task=multi-label)."
            )
        if len(bare := np.flatnonzero(~targets.any(axis=1)).tolist()):
            raise GroundtruthError(
                f"The task {task} wants one class per track; {len(bare)} of {len(keys)} tracks have none: {listed([keys[int(i)] for i in bare], 5)}. "
                "Give them one, or take them out of the groundtruth."
            )

    return check


def count_remark(counted: Mapping[str, int], n: int) -> str:
    """How many classes the scored tracks are of."""
    return f"{min(counted.values())} of {n} classes occur"


def is_right(data: Predictions) -> np.ndarray:
    """1 for items whose most probable class is the true one, else 0, float64 [N]."""
    return (data.targets.argmax(axis=1) == data.values.argmax(axis=1)).astype(np.float64)


def confusion(targets: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """How many items of each class (rows) are taken for each class (columns), int64 [L, L]."""
    n = targets.shape[1]
    pairs = targets.argmax(axis=1) * n + predictions.argmax(axis=1)
    return np.bincount(pairs, minlength=n * n).reshape(n, n)


def _recall(data: Predictions) -> np.ndarray:
    right, counts = is_right(data), data.targets.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(counts > 0, (data.targets * right[:, None]).sum(axis=0) / counts, np.nan)


def _recall_drawn(data: Predictions, draws: Draws) -> np.ndarray:
    weights = draws.weights.astype(np.float64)
    members = weights @ data.targets.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(members > 0, weights @ (data.targets * is_right(data)[:, None]) / members, np.nan)


def _largest_share(data: Predictions) -> float:
    return float(data.targets.mean(axis=0).max())


def _one_of_those_that_occur(data: Predictions) -> float:
    return 1.0 / max(int(data.targets.any(axis=0).sum()), 1)


_accuracy, _accuracy_drawn = mean_over_items(is_right)
ACCURACY = Metric(
    "accuracy", "accuracy", _accuracy, resample=_accuracy_drawn, chance=_largest_share, curve="val_acc", log_name="accuracy", headline=True, order=1,
    definition="Accuracy: share of tracks whose most probable class is the true one; who always names the most frequent class has its share.",
)  # fmt: skip
BALANCED_ACCURACY = Metric(
    "balanced_accuracy", "balanced acc.", _recall, "recall", resample=_recall_drawn, chance=_one_of_those_that_occur,
    outputs="class_recall", curve="val_balanced_acc", log_name="balanced_accuracy", headline=True, rare=True, in_folds="together",
    definition="Balanced accuracy: mean over the classes that occur of their recall, the share of a class's tracks that is recognised.",
)  # fmt: skip

SINGLE_LABEL = register_task(
    Task(
        "single-label",
        ("ce", "bce"),
        ("class", "classes"),
        one_class=True,
        check=check_one_class("single-label"),
        remark=count_remark,
    )
)
SINGLE_LABEL.register(ACCURACY)
SINGLE_LABEL.register(BALANCED_ACCURACY)
