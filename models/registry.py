"""All families and their models: which there are, and networks by name or from a file.

A family is a folder of models/ with a module `archs`, which registers its cards; nothing lists them by hand. Its package offers
`build(name, **kwargs)` (a network by a card's name), `load(path, **kwargs)` (one from a weight file or folder), and
`recognise(state, settings) -> bool` (whether a file that names no family is its own), and may offer `FORMATS` (models/formats.py).
Families outside the checkout: the folders in MAEST_FAMILIES (models/__init__.py).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, overload

from .card import ModelCard
from .encoder import AudioEncoder
from .errors import ConfigError, WeightsError, WeightsNotFoundError, nearest
from .weights import cards
from .weights.card_table import card_table
from .weights.checkpoints import FAMILY, read_settings, read_state
from .weights.saved_head import with_saved_head

if TYPE_CHECKING:
    import torch
    from torch import Tensor

OTHER_CLASSES = (
    "labels",
    "n_classes",
    "out_dim",
    "head_checkpoint",
    "checkpoint_discard_head",
)  # of `build`: not those of the checkpoint
SHOWN = 4  # entries of a file in an error's text


FAMILIES: tuple[str, ...] = cards.find_families()


def family_package(name: str) -> ModuleType:
    """The package models.<name> of a family. Raises ConfigError naming the nearest for one that is not there."""
    if name not in FAMILIES:
        raise ConfigError(f"There is no family '{name}'.{nearest(name, FAMILIES)} Known: {', '.join(FAMILIES)}.")
    return importlib.import_module(f".{name}", __package__)


@overload
def list_models(pattern: str = "*", table: Literal[False] = False) -> list[str]: ...
@overload
def list_models(pattern: str, table: Literal[True]) -> str: ...
@overload
def list_models(*, table: Literal[True]) -> str: ...
def list_models(pattern: str = "*", table: bool = False) -> list[str] | str:
    """Names of the registered models that match a shell pattern, sorted; without aliases.

    table: what is known of them instead, as a Markdown table (weights/card_table.py): paradigm, hours of audio, context, size, rates, date, licence.
    """
    cards.load_all()
    names = cards.list_cards(pattern)
    return card_table([cards.get_card(name) for name in names]) if table else names


def get_card(name: str) -> ModelCard:
    """The card of a model, by its name or an alias. Raises ConfigError naming the nearest for an unknown name."""
    cards.load_all()
    return cards.get_card(name)


def default_model() -> str:
    """Name of the model that is taken where none is named. Raises ConfigError where no family offers one."""
    cards.load_all()
    card = cards.default_card()
    if card is None:
        raise ConfigError(f"No model is named, and none is the default: name one of {', '.join(cards.list_cards())}.")
    return card.name


def get_model(name: str, *, device: str | torch.device | None = None, **kwargs: Any) -> AudioEncoder:
    """The registered model `name` (or alias), with its weights, on a device. `kwargs` are those of its family's `build`.

    With a checkpoint= that was fine-tuned it names the classes learned so, unless other classes or another head are asked for. (A family's own
    `build`, get_<family>, takes the encoder and leaves such a head out, which the log says.)

    Raises ConfigError naming the nearest for an unknown name, and what the builder raises.
    """
    card = get_card(name)
    build, path = partial(family_package(card.family).build, card.name, **kwargs), kwargs.get("checkpoint")
    if path is None or any(kwargs.get(key) for key in OTHER_CLASSES):
        return _on(build(), device)
    return _on(with_saved_head(build, path, kwargs.get("averaged", kwargs.get("checkpoint_swa_weights", True))), device)


def _on(network: AudioEncoder, device: str | torch.device | None) -> AudioEncoder:
    return network if device is None else network.to(device)


def load_model(source: str | Path, *, device: str | torch.device | None = None, **kwargs: Any) -> AudioEncoder:
    """A trained model, in eval mode: by a registered name with its published weights, or from a weight file or folder, whose size it tells.

    `load_model("maest_30s").tag("song.mp3").top(5)`. A network that was fine-tuned names the classes that it has learned so. device: of the network;
    None: where it is built. `kwargs` are those of the family's `build` or `load`. Raises WeightsNotFoundError naming the nearest name, WeightsError.
    """
    cards.load_all()
    path = Path(source)
    if path.exists():
        family = family_package(_family_of(path, read_settings(path)))
        network: AudioEncoder = with_saved_head(partial(family.load, path, **kwargs), path, kwargs.get("averaged", True))
        return _on(network, device).eval()
    if not cards.has_card(str(source)):
        raise WeightsNotFoundError(
            f"There is no file or folder '{source}', and no model of that name.{cards.did_you_mean(str(source))}"
        )
    return get_model(str(source), device=device, **kwargs).eval()


def family_of(path: str | Path) -> str:
    """The family of a weight file or folder: what it says, else the one family that recognises what is in it.

    Raises WeightsError, saying what was seen, for a file of a family that is not here, and for one that no family or several recognise.
    """
    cards.load_all()
    return _family_of(path, read_settings(path))


def _family_of(path: str | Path, settings: Mapping[str, Any]) -> str:
    said = settings.get(FAMILY)
    if said is not None:
        if said not in FAMILIES:
            raise WeightsError(
                f"{path} holds a network of the family '{said}', which is not here.{nearest(str(said), FAMILIES)} Here are: "
                f"{', '.join(FAMILIES)}; a family elsewhere is found through MAEST_FAMILIES."
            )
        return str(said)
    state = read_state(path)
    found = [name for name in FAMILIES if family_package(name).recognise(state, settings)]
    if len(found) != 1:
        who = (
            f"several families recognise it ({', '.join(found)})" if found else f"no family recognises it ({', '.join(FAMILIES)})"
        )
        raise WeightsError(f"{path} does not say of which family its network is, and {who}. {_seen(state)}")
    return found[0]


def _seen(state: Mapping[str, Tensor]) -> str:
    names = list(state)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"Its first entries: {', '.join(f'{name} {list(state[name].shape)}' for name in names[:SHOWN])}{more}."
