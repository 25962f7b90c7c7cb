"""The families of models that tables compare, each a module of this package with a function under `@family`.

A family says which of its networks stand at a scale, and how their embeddings are made; table_families and table_downstream then have it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..citations import Quote
from ..steps import Ref

Scale = Mapping[str, Any]


@dataclass(frozen=True)
class System:
    """A network whose embeddings are probed.

    types, reduce: its tokens (one vector per window: t). trained: whether its weights were learned. origin: the data that its published weights
    were pre-trained on. family: filled in by all_systems; the untrained network of a family is what its trained ones are compared with.
    """

    name: str
    embeddings: Ref
    types: str = "t"
    reduce: str = "mean"
    trained: bool = True
    quotes: Sequence[Quote] = field(default_factory=tuple)
    origin: str = ""
    family: str = ""


Systems = Callable[[Scale, "Mapping[str, Any] | None"], Sequence[System]]
_FAMILIES: dict[str, Systems] = {}


def family(name: str) -> Callable[[Systems], Systems]:
    """Register a family: function(scale, target) -> its systems on a published data set's tracks, or (target None) on the demo music."""

    def declare(function: Systems) -> Systems:
        if name in _FAMILIES:
            raise ValueError(f"There are two families '{name}'.")
        _FAMILIES[name] = function
        return function

    return declare


def all_systems(scale: Scale, target: Mapping[str, Any] | None = None) -> list[System]:
    """The systems of every family, the trained ones first."""
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda found: found.name):
        importlib.import_module(f"{__name__}.{module.name}")
    names = sorted(_FAMILIES, key=_order)
    found = [replace(system, family=name) for name in names for system in _FAMILIES[name](scale, target)]
    return sorted(found, key=lambda system: not system.trained)


def _order(name: str) -> tuple[bool, str]:
    return name != "maest", name
