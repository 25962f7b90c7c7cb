"""music2vec's weight files: `build` by a card's name, and `load` of whatever holds a network.

Forms: folders as transformers writes them (config.json with model.safetensors or pytorch_model.bin), the weight file in one, this suite's checkpoints
and exports. Of own training checkpoints the network is taken, not its teacher.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..weights.cards import get_card
from ..weights.strict import load_strictly
from .files import read
from .network import Music2Vec

log = logging.getLogger(__name__)


def load(path: str | Path, averaged: bool = True, **settings: Any) -> Music2Vec:
    """The network in a weight file or folder of any form, in eval mode; its size is the file's.

    averaged: of an own training checkpoint the averaged weights, where there are any. settings: max_seconds and sdpa, in place of the file's.

    Raises WeightsNotFoundError, WeightsError for files that do not fit.
    """
    state, said, name = read(path, averaged)
    model = Music2Vec(**{**said, "source": None, **settings})
    load_strictly(model, state, name)
    return model.eval()


def build(
    name: str = "music2vec-v1",
    pretrained: bool = True,
    checkpoint: str | Path | None = None,
    averaged: bool = True,
    labels: Sequence[str] | None = None,
    out_dim: int | None = None,
    **settings: Any,
) -> Music2Vec:
    """A Music2Vec by its published name, or from files.

    pretrained: with the published weights (MAEST_WEIGHTS, the cache, or a download). checkpoint: a weight file or folder in their place.
    averaged: of an own training checkpoint the averaged weights, where there are any. labels, out_dim: of a fresh head, for random weights.
    settings: of Music2Vec; the size of loaded weights is the file's.

    Raises ConfigError for an unknown name or a head that a file has not, WeightsNotFoundError, WeightsError for files that do not fit.
    """
    card = get_card(name, "music2vec")
    if checkpoint is None and not pretrained:
        return Music2Vec(**{**settings, "source": None}, out_dim=out_dim, labels=labels)
    model = load(card.name if checkpoint is None else checkpoint, averaged, **settings)
    if out_dim is not None and model.out_dim != out_dim:
        where = card.name if checkpoint is None else checkpoint
        raise ConfigError(f"{where} has {model.out_dim or 'no'} classes, {out_dim} were asked for: train a probe (ex_tl.py).")
    if checkpoint is None:
        model.card = card
    else:
        log.info("Weights: %s.", checkpoint)
    return model
