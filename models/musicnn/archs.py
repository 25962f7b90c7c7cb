"""musicnn's published weights by name, and `build`, which makes networks of them.

Source: the distribution `musicnn` 0.1.0 of the Python package index, a wheel that is fetched as a file and read, never installed or imported.
Scores are those of its own logs, on the test sets of MagnaTagATune and of the Million Song Dataset.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigError, WeightsError
from ..untrained import note_untrained
from ..weights.cards import ModelCard, get_card, load_labels, register
from ..weights.checkpoints import read_state, register_settings_reader
from ..weights.foreign import network_settings
from ..weights.locate import find_weights
from ..weights.undrawn import build_filled
from .convert import FILE, LICENCE, MEMBERS, SHA256, SIZE, VERSION, read_network
from .network import FRONT_END, MusiCNN

log = logging.getLogger(__name__)
WHEEL = ".whl"
_MARK = "front.4.norm.running_mean"


def _add(name: str, labels: str, note: str) -> None:
    command = f"python ex_maest.py predict with {name.replace('-', '_')} predict.audio=FILE_OR_DIR"
    register(
        ModelCard(
            name, "musicnn", FILE, "https://github.com/jordipons/musicnn", "musicnn", 50, FRONT_END.sample_rate, FRONT_END.name, 3.0, LICENCE,
            labels=labels, sha256=SHA256, size=SIZE, hashes_from=f"the wheel of musicnn {VERSION} itself", note=note,
            package=f"musicnn=={VERSION}", command=command, paradigm="supervised", training_seconds=3.0,
        )
    )  # fmt: skip


_add("musicnn-mtt", "magnatagatune_50", "50 tags of MagnaTagATune: ROC-AUC 0.907, PR-AUC 0.383 by its own log")
_add("musicnn-msd", "msd_50", "50 tags of the Million Song Dataset (Last.fm): ROC-AUC 0.880, PR-AUC 0.289 by its own log")
register_settings_reader(WHEEL, lambda path: {"family": "musicnn"})


def build(
    name: str = "musicnn-mtt",
    pretrained: bool = True,
    checkpoint: str | Path | None = None,
    labels: Sequence[str] | None = None,
    averaged: bool = True,
    **settings: Any,
) -> MusiCNN:
    """A MusiCNN by its published name, or from a file.

    Args:
        name: whose weights, or whose network of a wheel.
        pretrained: with the published weights (MAEST_WEIGHTS, the cache, or pip). False, without a checkpoint: random weights.
        checkpoint: a file in their place: the wheel, an own training checkpoint, an export.
        labels: names of the classes. Of another number than the file's, or other names: the last layer starts fresh, and the log says so.
        averaged: of an own training checkpoint the averaged weights, where there are any.
        settings: of MusiCNN, for random weights (without sizes and labels: with the name's classes); the sizes of loaded ones are the file's.

    Raises ConfigError for an unknown name, WeightsNotFoundError, WeightsError for files that do not fit.
    """
    card = get_card(name, "musicnn")
    assert card.labels is not None
    if checkpoint is None and not pretrained:
        if labels is None and "n_classes" not in settings:
            labels = load_labels(card.labels)
        if labels is not None:
            settings = {**settings, "n_classes": settings.get("n_classes", len(labels)), "labels": labels}
        return MusiCNN(**settings)
    path = Path(checkpoint) if checkpoint is not None else find_weights(card)
    published = path.suffix == WHEEL
    model = load(path, name, averaged, **{k: settings[k] for k in ("exclusive",) if settings.get(k)})
    if labels is not None and list(labels) != model.label_names:
        model = _with_classes(model, labels, str(path))
    elif published:
        model.card = card
    log.info("Weights: %s%s.", f"{name} in {path}" if published else path, f" ({card.licence})" if published else "")
    return model


def load(path: str | Path, name: str = "musicnn-mtt", averaged: bool = True, **settings: Any) -> MusiCNN:
    """A MusiCNN from a file, as large as it says, in eval mode.

    Args:
        path: the published wheel, an own training checkpoint, an export.
        name: which network of a wheel.
        averaged: of an own training checkpoint the averaged weights, where there are any.
        settings: of MusiCNN.

    Raises WeightsNotFoundError; WeightsError for files that are damaged or do not fit, ConfigError for an unknown name.
    """
    path = Path(path)
    if path.suffix == WHEEL and not path.is_dir():
        card = get_card(name, "musicnn")
        if card.name not in MEMBERS or card.labels is None:
            raise ConfigError(f"A wheel of musicnn holds {', '.join(MEMBERS)}; '{name}' is none of them.")
        state = read_network(path, card.name)
        given = {"labels": load_labels(card.labels), **settings}
        model = build_filled(lambda: MusiCNN(**given), state, str(path))
        model.card = card
        return model.eval()
    own, state = network_settings(path, "musicnn"), read_state(path, averaged)
    found = {**_sizes_of(state, path), **own, **settings}
    return build_filled(lambda: MusiCNN(**found), state, str(path)).eval()


def recognise(state: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Whether a file that names no family holds a MusiCNN."""
    return _MARK in state and "cnn.2.conv.weight" in state


def _sizes_of(state: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The sizes that shapes tell. Raises WeightsError for other weights."""
    if not recognise(state, {}) or "head.weight" not in state or "dense.weight" not in state:
        raise WeightsError(f"{path} is no MusiCNN: it lacks {_MARK} and others. Is it of another family?")
    return {
        "n_classes": int(state["head.weight"].shape[0]),
        "timbral": int(state["front.0.conv.weight"].shape[0]),
        "temporal": int(state["front.4.conv.weight"].shape[0]),
        "middle": int(state["cnn.2.conv.weight"].shape[0]),
        "hidden": int(state["dense.weight"].shape[0]),
    }


def _with_classes(model: MusiCNN, labels: Sequence[str], source: str) -> MusiCNN:
    """The network with a fresh last layer for other classes."""
    log.warning("%s: its last layer starts fresh for %d other classes.", source, len(labels))
    own = MusiCNN(**{**model.settings, "n_classes": len(labels), "labels": labels})
    kept = {k: v for k, v in model.state_dict().items() if not k.startswith("head.")}
    own.load_state_dict({**own.state_dict(), **kept})
    note_untrained(own, ["head.weight", "head.bias"], f"its last layer is fresh, since {source} has other classes")
    return own.eval()
