"""Musical keys: the weighted score of mir_eval (1 same, .5 fifth, .3 relative, .2 parallel key; MIREX), accuracy, and the task that has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from models.errors import GroundtruthError

from .classes import ACCURACY, BALANCED_ACCURACY, check_one_class, count_remark
from .metric import Draws, Metric, Predictions, mean_over_items
from .tasks import Task, register_task


@lru_cache(maxsize=8)
def key_weights(labels: tuple[str, ...]) -> np.ndarray:
    """mir_eval's weighted score of every pair of keys (true, estimated), [L, L].

    labels: keys such as "C major", "F# minor", "Eb:min". Raises GroundtruthError for a label that is no key.
    """
    from mir_eval.key import weighted_score

    names = [_key_name(label) for label in labels]
    return np.array([[weighted_score(true, estimated) for estimated in names] for true in names])


_LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_SIGNS = {"": 0, "#": 1, "♯": 1, "b": -1, "♭": -1}
_MODES = {"major": "major", "maj": "major", "minor": "minor", "min": "minor"}
_TONICS = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")


def key_class(label: str) -> tuple[int, str]:
    """Return pitch class (0..11, C is 0) and mode of a key: C# major and Db major are one. Raises GroundtruthError for a label that is no key."""
    words = label.replace(":", " ").split()
    tonic, mode = (words[0], words[1].lower()) if len(words) == 2 else ("", "")
    letter, sign = tonic[:1].upper(), tonic[1:].replace("B", "b")
    if letter not in _LETTERS or sign not in _SIGNS or mode not in _MODES:
        raise GroundtruthError(
            f"The label '{label}' is no key: the task key wants names such as 'C major' and 'Eb minor'; data.label_column=... takes another column."
        )
    return (_LETTERS[letter] + _SIGNS[sign]) % 12, _MODES[mode]


def _key_name(label: str) -> str:
    pitch, mode = key_class(label)
    return f"{_TONICS[pitch]} {mode}"


@lru_cache(maxsize=8)
def _numbers(labels: tuple[str, ...]) -> np.ndarray:
    """The number of each label's key, [L]: the same for two names of one."""
    known: dict[tuple[int, str], int] = {}
    return np.array([known.setdefault(key_class(label), len(known)) for label in labels])


def _check(targets: np.ndarray, keys: Sequence[str], labels: Sequence[str]) -> None:
    check_one_class("key")(targets, keys, labels)
    key_weights(tuple(labels))


def _weights(data: Predictions) -> np.ndarray:
    return key_weights(data.labels)[data.targets.argmax(axis=1), data.values.argmax(axis=1)]


def _best_constant(data: Predictions) -> float:
    """What the one key scores that suits all tracks best."""
    return float((data.targets.mean(axis=0) @ key_weights(data.labels)).max())


def _is_right(data: Predictions) -> np.ndarray:
    """1 for items whose most probable key is the true one, by whichever of its names, else 0, float64 [N]."""
    numbers = _numbers(data.labels) if data.labels else np.arange(data.targets.shape[1])
    return (numbers[data.targets.argmax(axis=1)] == numbers[data.values.argmax(axis=1)]).astype(np.float64)


def _recall(data: Predictions) -> np.ndarray:
    counts = data.targets.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(counts > 0, (data.targets * _is_right(data)[:, None]).sum(axis=0) / counts, np.nan)


def _recall_drawn(data: Predictions, draws: Draws) -> np.ndarray:
    weights = draws.weights.astype(np.float64)
    members = weights @ data.targets.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(members > 0, weights @ (data.targets * _is_right(data)[:, None]) / members, np.nan)


def _largest_share(data: Predictions) -> float:
    shares = data.targets.mean(axis=0)
    return float(np.bincount(_numbers(data.labels), weights=shares).max() if data.labels else shares.max())


_score, _drawn = mean_over_items(_weights)
KEY = register_task(
    Task("key", ("ce", "bce"), ("class", "classes"), one_class=True, check=_check, remark=count_remark),
)
KEY.register(
    Metric(
        "weighted_score", "key score", _score, resample=_drawn, chance=_best_constant, curve="val_key", log_name="weighted_score", headline=True,
        order=1,
        definition="Key score: 1 for the right key, 0.5 a fifth off, 0.3 the relative, 0.2 the parallel key (MIREX, as mir_eval).",
    )
)  # fmt: skip
_right, _right_drawn = mean_over_items(_is_right)
KEY.register(replace(ACCURACY, score=_right, resample=_right_drawn, chance=_largest_share))
KEY.register_outputs(replace(BALANCED_ACCURACY, score=_recall, resample=_recall_drawn))  # the recall of every key
