"""ModelCard registry: name -> where the weights are, their format, labels, front end and licence.

Weights are looked for in the folder that MAEST_WEIGHTS names, then in torch.hub's cache, then downloaded there. When none of the three gives them the
caller is told which file to place and where; nothing is ever random silently.
"""

from __future__ import annotations

import fnmatch
import importlib
import logging
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

from .errors import WeightsError, WeightsNotFoundError, nearest

if TYPE_CHECKING:
    from .encoder import AudioEncoder

log = logging.getLogger(__name__)
LABELS = Path(__file__).parent / "labels"
WEIGHTS_VARIABLE = "MAEST_WEIGHTS"


@dataclass(frozen=True)
class ModelCard:
    """What is known of a published set of weights.

    Attributes:
        name: unique. family: the folder of models/ that builds the network.
        file: name of the weights' file. url: where it is released. format: who wrote it ("maest", "passt", "deit"), which picks the conversion.
        n_classes: columns of its heads. labels: name of the label list in models/labels, None when the heads are not kept.
        sample_rate: Hz. front_end: name of the front end's settings. max_seconds: longest input of one pass.
        licence: of the weights; shown when they are downloaded. sha256: of the file, None when not known. hub: Hugging Face repository, if any.
    """

    name: str
    family: str
    file: str
    url: str
    format: str
    n_classes: int
    sample_rate: int
    front_end: str
    max_seconds: float
    licence: str
    labels: str | None = None
    sha256: str | None = None
    hub: str | None = None
    note: str = ""


_CARDS: dict[str, ModelCard] = {}


def register(card: ModelCard) -> ModelCard:
    """Add a card. Raises ValueError when its name is taken."""
    if card.name in _CARDS:
        raise ValueError(f"There is a model card '{card.name}' already: names are unique.")
    _CARDS[card.name] = card
    return card


def list_models(pattern: str = "*") -> list[str]:
    """Names of the registered models that match a shell pattern, sorted."""
    _load_families()
    return sorted(fnmatch.filter(_CARDS, pattern))


def get_card(name: str) -> ModelCard:
    """The card of a model. Raises ValueError naming the nearest for an unknown name."""
    _load_families()
    if name not in _CARDS:
        raise ValueError(f"There is no model '{name}'.{nearest(name, _CARDS)} Known: {', '.join(sorted(_CARDS))}.")
    return _CARDS[name]


def get_model(name: str, **kwargs: Any) -> AudioEncoder:
    """The registered model `name`, with its weights. `kwargs` are those of its family's builder (MAEST: `get_maest`).

    Raises ValueError naming the nearest for an unknown name, and what the builder raises.
    """
    family = importlib.import_module(f".{get_card(name).family}", __package__)
    return family.build(name, **kwargs)


def _load_families() -> None:
    from .maest import archs  # noqa: F401  registers its cards


@cache
def load_labels(name: str) -> tuple[str, ...]:
    """A label list of models/labels, in column order."""
    path = LABELS / f"{name}_labels.txt"
    return tuple(line for line in path.read_text(encoding="utf-8").splitlines() if line.strip())


def default_labels(n_classes: int) -> tuple[str, ...] | None:
    """The published label list of that length (Discogs' 400 or 519 styles), None where there is none."""
    return load_labels(f"discogs_{n_classes}") if n_classes in (400, 519) else None


def find_weights(card: ModelCard) -> Path:
    """The card's file: in MAEST_WEIGHTS, in the cache, or downloaded. Raises WeightsNotFoundError naming the file to place and where."""
    import torch

    folder = os.environ.get(WEIGHTS_VARIABLE)
    if folder and not Path(folder).is_dir():
        raise WeightsNotFoundError(f"{WEIGHTS_VARIABLE} is '{folder}', which is not a folder. Create it, or unset the variable.")
    cache_folder = Path(torch.hub.get_dir()) / "checkpoints"
    for place in ([Path(folder)] if folder else []) + [cache_folder]:
        if (place / card.file).is_file():
            return place / card.file
    try:
        return _download(card, cache_folder)
    except (URLError, OSError) as error:
        where = folder or f"a folder that {WEIGHTS_VARIABLE} names (or {cache_folder})"
        raise WeightsNotFoundError(
            f"The weights of '{card.name}' are not on this machine and could not be downloaded ({error}). "
            f"Get {card.url} elsewhere and place it as {card.file} in {where}."
        ) from error


def _download(card: ModelCard, folder: Path) -> Path:
    """Into a temporary name first: what carries the file's name is whole. Raises URLError or OSError when it cannot be had."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    target, partial = folder / card.file, folder / f"{card.file}.{os.getpid()}.part"
    log.warning("Downloading %s (%s). Licence of these weights: %s", card.file, card.url, card.licence)
    try:
        torch.hub.download_url_to_file(card.url, str(partial), hash_prefix=card.sha256, progress=True)
        os.replace(partial, target)
    except RuntimeError as error:  # torch.hub's word for a hash that differs
        raise WeightsError(f"{card.url} is not the file that '{card.name}' stands for: {error}.") from error
    finally:
        partial.unlink(missing_ok=True)
    return target
