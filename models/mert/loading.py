"""MERT's weight files: `build` by a card's name, and `load` of whatever holds a network. No code of a repository is ever run.

Forms: folders as transformers writes them (config.json with model.safetensors or pytorch_model.bin, and preprocessor_config.json), the weight file in
one, this suite's checkpoints and exports.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..weights.build import build_from_card
from ..weights.cards import get_card
from ..weights.strict import load_strictly
from .archs import SIZES
from .files import read
from .network import MERT


def load(path: str | Path, averaged: bool = True, **settings: Any) -> MERT:
    """The network in a weight file or folder of any form, in eval mode; its size is the file's.

    averaged: of an own training checkpoint the averaged weights, where there are any. settings: max_seconds, normalize and sdpa, in place of the
    file's.

    Raises WeightsNotFoundError, WeightsError for files that do not fit, and for networks that HuBERT's code does not compute.
    """
    state, said = read(path, averaged)
    model = MERT(**{**said, **settings})
    load_strictly(model, state, str(path))
    return model.eval()


def build(
    name: str = "mert-v1-95m",
    pretrained: bool = True,
    checkpoint: str | Path | None = None,
    averaged: bool = True,
    labels: Sequence[str] | None = None,
    out_dim: int | None = None,
    **settings: Any,
) -> MERT:
    """A MERT by its published name, or from files.

    pretrained: with the published weights (MAEST_WEIGHTS, the cache, or a download). checkpoint: a weight file or folder in their place.
    averaged: of an own training checkpoint the averaged weights, where there are any. labels, out_dim: of a fresh head, for random weights.
    settings: of MERT; the size of loaded weights is the file's.

    Raises ConfigError for an unknown name or a head that a file has not, WeightsNotFoundError, WeightsError for files that do not fit.
    """
    card = get_card(name, "mert")
    return build_from_card(
        card,
        lambda: MERT(**{**SIZES[card.name], **settings}, out_dim=out_dim, labels=labels),
        lambda path: load(path, averaged, **settings),
        pretrained,
        checkpoint,
        out_dim,
    )
