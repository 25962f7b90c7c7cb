"""What is read of music2vec's weight files: the weights, and the settings that say their shape."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import WeightsError, WeightsNotFoundError, nearest
from ..weights.cards import get_card, has_card, list_cards
from ..weights.checkpoints import CONFIG, FAMILY, own_settings, read_settings, read_state
from ..weights.foreign import another_family, without_shape
from ..weights.locate import find_weights
from . import archs as archs  # its cards are registered
from .settings import MODEL_TYPE

log = logging.getLogger(__name__)
_FIRST = ("feature_extractor.conv_layers.0.conv.weight", "encoder.pos_conv_embed.layers.0.conv.weight")


def recognise(state: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Whether a file that names no family holds a music2vec."""
    return all(name in state for name in _FIRST)


def read(source: str | Path, averaged: bool = True) -> tuple[dict[str, Tensor], dict[str, Any], str]:
    """(state, settings, what it is called) of a registered name, or of a weight file or folder.

    averaged: of an own training checkpoint the averaged weights, where there are any. Raises WeightsNotFoundError for what is not there, WeightsError
    for weights of another family, or without the config.json that says their shape.
    """
    path = Path(source)
    if not path.exists():
        if not has_card(str(source)):
            raise WeightsNotFoundError(
                f"There is no folder or file '{source}', and no model of that name.{nearest(str(source), list_cards('music2vec*'))} "
                "For random weights: Music2Vec(None)."
            )
        card = get_card(str(source), "music2vec")
        path = find_weights(card)
        log.info("Weights: %s (%s).", path, card.licence)
    said = read_settings(path)
    if not said and path.is_file() and (path.parent / CONFIG).is_file():  # the weight file of a folder
        said = read_settings(path.parent)
    if said.get(FAMILY, "music2vec") != "music2vec":
        raise WeightsError(another_family(path, said[FAMILY], "music2vec"))
    if not said:
        raise WeightsError(without_shape(path, "music2vec", MODEL_TYPE))
    return read_state(path, averaged), own_settings(said), str(path)
