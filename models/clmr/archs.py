"""CLMR's published weights by name, and `build`, which makes networks of them.

Sources: the releases of the CLMR repository (Apache-2.0; no other licence is stated for the weights) and its README. Heads' classes are
MagnaTagATune's 50 tags in musicnn's order of frequency.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..weights.cards import ModelCard, get_card, load_labels, register
from ..weights.checkpoints import register_settings_check
from ..weights.foreign import network_settings
from ..weights.locate import find_weights
from .checkpoints import load_checkpoint
from .network import SAMPLE_RATE, SampleCNN, check

register_settings_check("clmr", check)
log = logging.getLogger(__name__)
_RELEASES = "https://github.com/Spijkervet/CLMR/releases/download/"
_LICENCE = "Apache-2.0 (the repository's; none is stated for the weights)"
LABELS = "magnatagatune_50"


def _add(name: str, release: str, file: str, note: str, encoder: str | None = None) -> None:
    labels = LABELS if encoder else None
    register(
        ModelCard(
            name, "clmr", file, f"{_RELEASES}{release}/{file}", "clmr", 50 if encoder else 0, SAMPLE_RATE, "waveform", 59049 / SAMPLE_RATE,
            _LICENCE, labels=labels, note=note, encoder=encoder, paradigm="contrastive", training_seconds=59049 / SAMPLE_RATE,
        )
    )  # fmt: skip


_add("clmr-magnatagatune", "2.1", "clmr_magnatagatune_mlp.zip", "encoder, MagnaTagATune, 10 000 epochs; MARBLE's CLMR")
_add("clmr-magnatagatune-10000", "2.0", "clmr_checkpoint_10000.zip", "encoder, MagnaTagATune, batch 96, 10 000 epochs")
_add("clmr-magnatagatune-1550", "1.0", "clmr_checkpoint_1550.pt", "encoder, MagnaTagATune, batch 48, 1550 epochs")
_add(
    "clmr-magnatagatune-10000-tags", "2.0", "finetuner_checkpoint_200.zip", "with its linear head: ROC-AUC 88.7, PR-AUC 35.6",
    "clmr-magnatagatune-10000",
)  # fmt: skip
_add(
    "clmr-magnatagatune-1550-tags", "1.0-l", "finetuner_checkpoint_20.pt", "with its linear head: ROC-AUC 87.7, PR-AUC 34.3",
    "clmr-magnatagatune-1550",
)  # fmt: skip


def build(
    name: str = "clmr-magnatagatune",
    pretrained: bool = True,
    checkpoint: str | Path | None = None,
    head_checkpoint: str | Path | None = None,
    out_dim: int | None = None,
    labels: Sequence[str] | None = None,
    averaged: bool = True,
    **settings: Any,
) -> SampleCNN:
    """A SampleCNN by its published name, or from files.

    pretrained: with the published weights (MAEST_WEIGHTS, the cache, or a download). checkpoint, head_checkpoint: files in their place.
    out_dim: classes of a head; None: those of the head's file, or no head. Without any weights it is random, `out_dim` wide
    (by its name alone: with that name's classes).
    averaged: of an own training checkpoint the averaged weights, where there are any. settings: of SampleCNN, for random weights; the
    size of loaded ones is the file's.

    Raises ValueError for an unknown name, WeightsNotFoundError, WeightsError for files that do not fit.
    """
    card = get_card(name, "clmr")
    if checkpoint is None and not pretrained:
        if head_checkpoint is not None:
            raise ConfigError("A trained head without a trained encoder says nothing: name the encoder's checkpoint too.")
        if card.labels and out_dim is None and not settings:  # asked for by its name alone: with the classes that the name has
            labels = load_labels(card.labels)
            out_dim = len(labels)
        return SampleCNN(**settings, out_dim=out_dim, labels=labels)
    if checkpoint is not None:
        path, head = Path(checkpoint), head_checkpoint
    else:
        path = find_weights(get_card(card.encoder) if card.encoder else card)
        head = head_checkpoint or (find_weights(card) if card.encoder else None)
        if head is not None and labels is None and card.labels and head_checkpoint is None:
            labels = load_labels(card.labels)
    more: dict[str, Any] = {} if labels is None else {"labels": list(labels)}
    known = network_settings(path, "clmr")  # an own file says its rate, a published one does not
    for key in ("supervised", "sample_rate"):
        if key in settings and (key == "supervised" or key not in known):
            more[key] = settings[key]
    model = load_checkpoint(path, head, out_dim, averaged, **more)
    for key in ("channels", "strides", "sample_rate"):
        if key in settings and model.settings[key] != (settings[key] if key == "sample_rate" else list(settings[key])):
            log.info("%s: %s as the file says, %s.", path.name, key, model.settings[key])
    if checkpoint is None:
        model.card = card
    log.info("Weights: %s%s.", path, f" ({card.licence})" if checkpoint is None else "")
    return model
