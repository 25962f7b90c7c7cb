"""Model cards by name, and lists of labels. Names no family: each is a folder of models/ with a module `archs`, which registers its cards.

Look-ups see the cards that have been registered so far; `load_all` has every family register its own.
"""

from __future__ import annotations

import fnmatch
import importlib
import sys
from functools import cache
from pathlib import Path

from ..bounded_files import read_text
from ..card import ModelCard
from ..errors import ConfigError, nearest

__all__ = [
    "LABELS",
    "ModelCard",
    "default_card",
    "get_card",
    "has_card",
    "list_cards",
    "load_all",
    "load_labels",
    "offered_card",
    "register",
]

LABELS = Path(__file__).parents[1] / "labels"
_CARDS: dict[str, ModelCard] = {}
_ALIASES: dict[str, str] = {}
_MODELS = __name__.rpartition(".weights")[0]  # the package, under the name that it was imported by


def register(card: ModelCard) -> ModelCard:
    """Add a card. Raises ValueError when its name, or one of its aliases, is taken, and for a second default."""
    names = (card.name, *card.aliases)
    if taken := [name for name in names if has_card(name)] or [name for name in set(names) if names.count(name) > 1]:
        raise ValueError(f"There is a model card '{taken[0]}' already: names and aliases are unique.")
    if card.default and (other := next((c.name for c in _CARDS.values() if c.default), None)):
        raise ValueError(f"Model card '{card.name}' claims to be the default, which is '{other}'.")
    _CARDS[card.name] = card
    _ALIASES.update(dict.fromkeys(card.aliases, card.name))
    return card


def has_card(name: str) -> bool:
    """Whether a card of this name or alias is registered."""
    return name in _CARDS or name in _ALIASES


def list_cards(pattern: str = "*") -> list[str]:
    """Names (not aliases) of the registered cards that match a shell pattern in any case of letters, sorted."""
    return sorted(name for name in _CARDS if fnmatch.fnmatchcase(name.lower(), pattern.lower()))


def get_card(name: str, family: str | None = None) -> ModelCard:
    """The registered card of a name or alias.

    family: the family that it must be of.

    Raises ConfigError naming the nearest for an unknown name, and for another family's card.
    """
    if not has_card(name):
        raise ConfigError(f"There is no model '{name}'.{did_you_mean(name)} Known: {', '.join(sorted(_CARDS))}.")
    card = _CARDS[_ALIASES.get(name, name)]
    if family is not None and card.family != family:
        own = ", ".join(sorted(c.name for c in _CARDS.values() if c.family == family))
        raise ConfigError(f"'{name}' is a model of the family {card.family}, not of {family}. Of {family} there are: {own}.")
    return card


def did_you_mean(name: str) -> str:
    """' Did you mean X?' for a name or alias that is near, or ''."""
    return nearest(name, [*_CARDS, *_ALIASES])


def default_card() -> ModelCard | None:
    """The card that is taken where none is named; None where none is registered as that."""
    return next((card for card in _CARDS.values() if card.default), None)


def find_families() -> tuple[str, ...]:
    """Names of the folders of models/ (and of those that MAEST_FAMILIES names) that have a module `archs`, sorted."""
    found = {path.parent.name for folder in sys.modules[_MODELS].__path__ for path in Path(folder).glob("*/archs.py")}
    return tuple(sorted(found))


def load_all() -> None:
    """Import every family: its cards are registered then."""
    for family in find_families():
        importlib.import_module(f"{_MODELS}.{family}.archs")


def offered_card() -> ModelCard | None:
    """A model with named classes whose weights any package index serves: for whoever lacks another's. None where none is registered."""
    load_all()
    return next((card for card in _CARDS.values() if card.package and card.labels), None)


@cache
def load_labels(name: str) -> tuple[str, ...]:
    """A label list of models/labels, in column order."""
    path = LABELS / f"{name}_labels.txt"
    return tuple(line for line in read_text(path).splitlines() if line.strip())
