"""A network by its card: random, or with the weights of the card or of a file, which says the network's size. One way for several families."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ..card import ModelCard
from ..encoder import AudioEncoder
from ..errors import ConfigError
from .locate import find_weights

log = logging.getLogger(__name__)
Network = TypeVar("Network", bound=AudioEncoder)


def build_from_card(
    card: ModelCard,
    random: Callable[[], Network],
    load: Callable[[Path], Network],
    pretrained: bool = True,
    checkpoint: str | Path | None = None,
    out_dim: int | None = None,
) -> Network:
    """Return the network of a card; with published weights it bears the card, and the log names their file and licence.

    Args:
        card: of the published weights.
        random: builds the network without weights.
        load: builds it from a weight file or folder.
        pretrained: take the card's weights (MAEST_WEIGHTS, the cache, or a download), where there is no checkpoint.
        checkpoint: weight file or folder in their place.
        out_dim: classes that a loaded network must have; None: whatever it has.

    Raises WeightsNotFoundError, ConfigError for a head that the file has not, and what `load` raises.
    """
    if checkpoint is None and not pretrained:
        return random()
    path = find_weights(card) if checkpoint is None else Path(checkpoint)
    model = load(path)
    if out_dim is not None and model.out_dim != out_dim:
        raise ConfigError(f"{path} has {model.out_dim or 'no'} classes, {out_dim} were asked for: train a probe (ex_tl.py).")
    if checkpoint is None:
        model.card = card
    log.info("Weights: %s%s.", path, f" ({card.licence})" if checkpoint is None else "")
    return model
