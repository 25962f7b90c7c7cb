"""Musical keys: the weighted score of mir_eval (1 same, .5 fifth, .3 relative, .2 parallel key; MIREX), accuracy, and the task that has them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from models.errors import GroundtruthError

from .classes import ACCURACY, BALANCED_ACCURACY, check_one_class, count_remark
from .metric import Metric, Predictions, mean_over_items
from .tasks import Task, register_task


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


def _check(targets: np.ndarray, keys: Sequence[str], labels: Sequence[str]) -> None:
    check_one_class("key")(targets, keys, labels)
    key_weights(tuple(labels))


def _weights(data: Predictions) -> np.ndarray:
    return key_weights(data.labels)[data.targets.argmax(axis=1), data.values.argmax(axis=1)]


def _best_constant(data: Predictions) -> float:
    """What the one key scores that suits all tracks best."""
    return float((data.targets.mean(axis=0) @ key_weights(data.labels)).max())


_score, _drawn = mean_over_items(_weights)
KEY = register_task(
    Task("key", ("ce", "bce"), ("class", "classes"), one_class=True, check=_check, remark=count_remark),
)
KEY.register(
    Metric(
        "weighted_score", "key score", _score, resample=_drawn, chance=_best_constant, curve="val_key", log_name="weighted_score", headline=True,
        definition="Key score: 1 for the right key, 0.5 a fifth off, 0.3 the relative, 0.2 the parallel key (MIREX, as mir_eval).",
    )
)  # fmt: skip
KEY.register(ACCURACY)
KEY.register_outputs(BALANCED_ACCURACY)  # the recall of every key
