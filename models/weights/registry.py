"""ModelCard registry: name -> where the weights are, their format, labels, front end and licence.

Weights are looked for in the folder that MAEST_WEIGHTS names, then in torch.hub's and the Hugging Face hub's caches, then downloaded there
(models/downloads.py): from the mirror that MAEST_MIRROR names, if any, from the release, from the hub. When nothing gives them the caller is
told which file to place and where; nothing is ever random silently.
"""

from __future__ import annotations

import fnmatch
import importlib
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import WeightsNotFoundError, nearest
from . import downloads

if TYPE_CHECKING:
    from ..encoder import AudioEncoder

log = logging.getLogger(__name__)
LABELS = Path(__file__).parents[1] / "labels"
WEIGHTS_VARIABLE = "MAEST_WEIGHTS"
FAMILIES = ("maest", "clmr")  # folders of models/: each has `archs` (its cards), `build`, `load` and `recognise`
MIRROR_VARIABLE = "MAEST_MIRROR"  # an address that serves the cards' files: <address>/<file>


@dataclass(frozen=True)
class ModelCard:
    """What is known of a published set of weights.

    Attributes:
        name: unique. family: the folder of models/ that builds the network.
        file: name of the weights' file. url: where it is released. format: who wrote it ("maest", "passt", "deit"), which picks the conversion.
        n_classes: columns of its heads. labels: name of the label list in models/labels, None when the heads are not kept.
        sample_rate: Hz. front_end: name of the front end's settings. max_seconds: longest input of one pass.
        encoder: of a head's weights: the card of the encoder that they belong to.
        licence: of the weights; shown when they are downloaded. sha256: of the file, or its first digits; None when not known: kept on the first
            download then. hub: Hugging Face repository with the same weights, if any.
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
    encoder: str | None = None


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
    family = importlib.import_module(f"..{get_card(name).family}", __package__)
    return family.build(name, **kwargs)


def load_model(source: str | Path, **kwargs: Any) -> AudioEncoder:
    """A trained model, in eval mode: by a registered name with its published weights, or from a weight file or folder, whose size it tells.

    `load_model("maest_30s").tag("song.mp3").top(5)`. `kwargs` are those of the family's builder. Raises ValueError naming the nearest name,
    WeightsNotFoundError, WeightsError.
    """
    _load_families()
    if not Path(source).exists() and str(source) in _CARDS and _CARDS[str(source)].family != "maest":
        return get_model(str(source), **kwargs).eval()
    if Path(source).exists() and (family := _family_of(Path(source))) != "maest":
        found: AudioEncoder = importlib.import_module(f"..{family}", __package__).load(source, **kwargs)
        return found.eval()
    from ..maest import load_maest

    return load_maest(source, **kwargs)


def _family_of(path: Path) -> str:
    """The family that a weight file says it is of, or whose names it has; "maest" where it does neither."""
    from .checkpoints import read_settings, read_state

    said = read_settings(path).get("family")
    if said in FAMILIES:
        return str(said)
    state = read_state(path)
    others = (name for name in FAMILIES if name != "maest")
    return next((name for name in others if importlib.import_module(f"..{name}", __package__).recognise(state)), "maest")


def _load_families() -> None:
    """Their cards; a family's module registers them when it is imported."""
    for family in FAMILIES:
        importlib.import_module(f"..{family}.archs", __package__)


@cache
def load_labels(name: str) -> tuple[str, ...]:
    """A label list of models/labels, in column order."""
    path = LABELS / f"{name}_labels.txt"
    return tuple(line for line in path.read_text(encoding="utf-8").splitlines() if line.strip())


def default_labels(n_classes: int) -> tuple[str, ...] | None:
    """The published label list of that length (Discogs' 400 or 519 styles), None where there is none."""
    return load_labels(f"discogs_{n_classes}") if n_classes in (400, 519) else None


def weight_folders() -> list[Path]:
    """Where files of weights are looked for, the first one first. Raises WeightsNotFoundError where MAEST_WEIGHTS names no folder."""
    import torch

    named = os.environ.get(WEIGHTS_VARIABLE)
    if named and not Path(named).is_dir():
        raise WeightsNotFoundError(f"{WEIGHTS_VARIABLE} is '{named}', which is not a folder. Create it, or unset the variable.")
    return ([Path(named)] if named else []) + [Path(torch.hub.get_dir()) / "checkpoints"]


def local_weights(card: ModelCard) -> Path | None:
    """The card's file, or a folder of its weights, where it is on this machine; the network is not asked.

    MAEST_WEIGHTS may hold the file, or a folder named as the card (an export, or a copy of the hub's repository).
    """
    for folder in weight_folders():
        if (folder / card.file).is_file():
            return folder / card.file
        if os.environ.get(WEIGHTS_VARIABLE) and (folder / card.name).is_dir():
            return folder / card.name
    if card.hub is not None:
        with suppress(downloads.DownloadError):
            return downloads.from_hub(card.hub, cached_only=True)
    return None


def find_weights(card: ModelCard) -> Path:
    """The card's file, or a folder of its weights: on this machine (`local_weights`), or downloaded.

    Raises WeightsNotFoundError naming the file to place and where, WeightsError when the network gives another file than it should.
    """
    named = os.environ.get(WEIGHTS_VARIABLE)
    found = local_weights(card)
    if found is not None:
        return found
    cache_folder = weight_folders()[-1]
    reasons = []
    for attempt in _attempts(card, cache_folder):
        try:
            return attempt()
        except OSError as error:  # DownloadError is one
            reasons.append(str(error))
    where = named or f"a folder that {WEIGHTS_VARIABLE} names (or {cache_folder})"
    why = "; ".join(reasons) if reasons else "HF_HUB_OFFLINE forbids the network"
    raise WeightsNotFoundError(
        f"The weights of '{card.name}' are not on this machine and could not be downloaded.\n"
        f"Get {card.url} elsewhere and place it as {card.file} in {where}.\n"
        f"({why}.) To try a network with random weights: pretrained=False in Python, or a config's twin NAME_smoke."
    )


def _attempts(card: ModelCard, folder: Path) -> Iterator[Callable[[], Path]]:
    """Ways to the card's weights on the network, the first one first."""
    if downloads.offline():
        return
    mirror = os.environ.get(MIRROR_VARIABLE)
    for url in ([f"{mirror.rstrip('/')}/{card.file}"] if mirror else []) + [card.url]:
        log.warning("Looking for %s at %s. Licence of these weights: %s", card.file, url, card.licence)
        yield partial(downloads.download, url, folder / card.file, card.sha256)
    if card.hub is not None:
        log.warning("Looking for %s on the Hugging Face hub. Licence of these weights: %s", card.hub, card.licence)
        yield partial(downloads.from_hub, card.hub)
