"""The least that any system has to beat: one answer for every track, made of the training tracks' targets alone.

Of classes and keys the most frequent one, of tags each one's frequency, of numbers their mean, of grades the mean grade.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from datasets.groundtruth.annotations import Annotations, Truth

from ..metrics.ordinal import ORDINAL
from ..metrics.scores import SystemScores
from ..metrics.tasks import get_task


def guess_name(task: str) -> str:
    """Return what the guess of a task is called."""
    spec = get_task(task)
    if task == ORDINAL.name:
        return "mean grade"
    return "majority class" if spec.one_class else "mean of training" if spec.numeric else "label frequencies"


def constant_guess(like: SystemScores, truths: Mapping[str, Truth]) -> SystemScores:
    """Return the scores of the guess on the tracks, and the folds where there are some, that another system was scored on.

    truths: by split, whose "train" is guessed from; of a cross-validation each fold's guess is of the folds that a system of it is trained on.
    """
    if like.folds is None:
        train = truths["train"]
        assert not isinstance(train, Annotations)  # tasks in time have guesses of their own (frame_guesses.py)
        predictions = np.tile(_shares(train.matrix()), (1, len(like.keys), 1))
    else:
        predictions = np.empty(like.predictions.shape)
        for repeat, fold in enumerate(like.folds):
            n_folds = int(fold.max()) + 1
            for f in range(n_folds):
                trained = (fold != f) & (fold != (f + 1) % n_folds)
                predictions[repeat, fold == f] = _shares(like.targets[trained])
    seeds = [0] if like.folds is None else list(like.seeds)
    kept: dict[str, Any] = {key: like.settings[key] for key in ("n_folds", "n_repeats", "n_groups") if key in like.settings}
    return replace(
        like,
        name=guess_name(like.task),
        predictions=predictions,
        seeds=seeds,
        validation={},
        history={},
        windows={},
        warn=False,  # the first system says which outputs have no score
        settings={"system": "constant guess", "deterministic": like.folds is None, **kept},
    )


def _shares(targets: np.ndarray) -> np.ndarray:
    """The mean of each output, [L]: its frequency, or the numbers' mean."""
    return np.asarray(targets, dtype=np.float64).mean(axis=0)
