"""config.json of a folder in Hugging Face's AST format, read: every value that bears on what is computed is obeyed, or refused.

A MAEST is an AST of one activation, one eps, patches of 16 x 16 and biases in its attention; a folder that says otherwise was made for another
network, whatever its tensors' shapes. This suite's own folders say their settings twice, in AST's words and in MAEST's: both must say the same.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from ..settings import Choice, Number, Rules, check_settings, shown
from .labels import default_labels
from .patchout import PATCH
from .sizes import RULES

MODEL_TYPE = "audio-spectrogram-transformer"
EPS = 1e-6
PUBLISHED_FRAMES = (312, 625, 1250, 1875)
_NONE = Number(0, 0, whole=False)
_COUNTS: Rules = {
    "num_mel_bins": RULES["input_f"], "hidden_size": RULES["embed_dim"], "num_hidden_layers": RULES["depth"],
    "num_attention_heads": RULES["num_heads"], "frequency_stride": Number(1, 1000), "time_stride": Number(1, 1000),
    "max_length": Number(PATCH, 225_000), "intermediate_size": Number(1, 1 << 20),
}  # fmt: skip
_FIXED: Rules = {
    "hidden_act": Choice(("gelu",)), "layer_norm_eps": Number(0.999 * EPS, 1.001 * EPS, whole=False), "patch_size": Number(PATCH, PATCH),
    "qkv_bias": Choice((True,)), "hidden_dropout_prob": _NONE, "attention_probs_dropout_prob": _NONE,
    "problem_type": Choice(("multi_label_classification", None)),
}  # fmt: skip
_OURS = {
    "num_mel_bins": "input_f", "hidden_size": "embed_dim", "num_hidden_layers": "depth", "num_attention_heads": "num_heads",
}  # fmt: skip


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """What builds the MAEST of an AST folder's config.json: as far as it says, the published lengths where they fit.

    Raises ValueError for values that no MAEST has, and for a block "maest" that says otherwise than AST's keys.
    """
    said = {name: config[name] for name in (*_COUNTS, *_FIXED) if name in config}
    check_settings(said, {**_COUNTS, **_FIXED}, "A MAEST in AST's format", ValueError)
    own = config.get("maest", {})
    if not isinstance(own, Mapping):
        raise ValueError(f"its block 'maest' is {shown(own)}, wanted names and values")
    stride = [said.get("frequency_stride", 10), said.get("time_stride", 10)]
    found: dict[str, Any] = {ours: said[theirs] for theirs, ours in _OURS.items() if theirs in said}
    if {"frequency_stride", "time_stride"} & set(said) or not own:
        found["stride"] = stride
    if "hidden_size" in said and "intermediate_size" in said:
        found["mlp_ratio"] = said["intermediate_size"] / said["hidden_size"]
    if "id2label" in config:
        labels = _labels(config["id2label"], config.get("label2id"))
        found["n_classes"], found["labels"] = len(labels), labels
    columns = (said["max_length"] - PATCH) // stride[1] + 1 if "max_length" in said else None
    if own:
        _compare(found, columns, own)
        return dict(own)
    if columns is not None:
        found["input_t"] = next((n for n in PUBLISHED_FRAMES if n // stride[1] == columns), columns * stride[1])
    if "labels" in found:
        found["labels"] = _own_spelling(found["labels"])
    return found


def _compare(found: Mapping[str, Any], columns: int | None, own: Mapping[str, Any]) -> None:
    """Raise ValueError where AST's keys say otherwise than the block "maest", which `archs` compares with the tensors."""
    for name, value in found.items():
        if name not in own or (name == "labels" and own[name] is None):
            continue
        mine = own[name]
        if name == "labels" and isinstance(mine, Sequence):
            mine = [unicodedata.normalize("NFKC", one) if isinstance(one, str) else one for one in mine]
        near = (
            name == "mlp_ratio"
            and isinstance(mine, float)
            and math.isclose(mine * found.get("embed_dim", 1), value * found.get("embed_dim", 1), abs_tol=1)
        )
        if not near and mine != value:
            raise ValueError(
                f"its block 'maest' says {name} {shown(own[name])}, and AST's own keys {shown(value)}: one of them was changed"
            )
    step, frames = own.get("stride", [10, 10]), own.get("input_t")
    plain = isinstance(step, list) and len(step) == 2 and isinstance(step[1], int) and step[1] > 0
    if (
        columns is not None
        and plain
        and isinstance(frames, int)
        and columns != max(frames // step[1], (frames - PATCH) // step[1] + 1)
    ):
        raise ValueError(
            f"its block 'maest' says input_t {shown(frames)}, and max_length is of {columns} time columns: one of them was changed"
        )


def _labels(by_number: Any, back: Any) -> list[str]:
    """The names of id2label in order. Raises ValueError where it numbers them otherwise than 0, 1, 2, ..., or label2id says otherwise."""
    if not isinstance(by_number, Mapping) or not all(isinstance(name, str) for name in by_number.values()):
        raise ValueError(f"its id2label is {shown(by_number)}, wanted texts by number")
    if set(by_number) != {str(k) for k in range(len(by_number))}:
        odd = sorted(set(by_number) ^ {str(k) for k in range(len(by_number))})
        raise ValueError(f"its id2label has {len(by_number)} names, numbered otherwise than 0, 1, 2, ...: {shown(odd[0])}")
    labels = [by_number[str(k)] for k in range(len(by_number))]
    if back is not None and (
        not isinstance(back, Mapping) or set(back) != set(labels) or any(labels[k] != name for name, k in _numbers(back, labels))
    ):
        raise ValueError("its label2id is not id2label the other way round")
    return labels


def _numbers(back: Mapping[str, Any], labels: Sequence[str]) -> list[tuple[str, int]]:
    """Items of label2id. Raises ValueError for a number that is none of a label's."""
    for name, number in back.items():
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(labels):
            raise ValueError(f"its label2id numbers {shown(name)} as {shown(number)}")
    return list(back.items())


def _own_spelling(labels: Sequence[str]) -> list[str]:
    """The published list where these are its NFKC forms."""
    published = default_labels(len(labels))
    if published is not None and [unicodedata.normalize("NFKC", name) for name in published] == list(labels):
        return list(published)
    return list(labels)
