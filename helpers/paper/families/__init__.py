"""The rows that a family of models brings to the tables: a module of this package, of the family's name, with a function under `@family`.

The function says which of the family's networks stand at a scale, and how their embeddings are made; table_families and table_downstream then
have its rows. A family without such a module has none. Importing the package itself is cheap.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from models._outside import folders_outside

from ..citations import Citation
from ..scale import Scale, Target
from ..steps import Ref

# a family may live outside the checkout: FOLDER/helpers/paper/families/<name>.py, beside FOLDER/helpers/families/<name>.py
__path__ += folders_outside("MAEST_FAMILIES", "helpers", "paper", "families")


@dataclass(frozen=True)
class System:
    """A network whose embeddings are probed.

    Args:
        name: the row's.
        embeddings: its extraction's output.
        types: tokens that are probed (one vector per window: t).
        reduce: how several of them become one vector.
        trained: whether its weights were learned; the untrained network of a family is what its trained ones are compared with.
        citations: what papers report for it.
        origin: the data that its published weights were pre-trained on.
        family: filled in by all_systems.
    """

    name: str
    embeddings: Ref
    types: str = "t"
    reduce: str = "mean"
    trained: bool = True
    citations: Sequence[Citation] = field(default_factory=tuple)
    origin: str = ""
    family: str = ""


MakeSystems = Callable[[Scale, Target | None], Sequence[System]]


@dataclass(frozen=True)
class _Registered:
    make: MakeSystems
    first: bool


_FAMILIES: dict[str, _Registered] = {}


def family(name: str, first: bool = False) -> Callable[[MakeSystems], MakeSystems]:
    """Register a family: function(scale, target) -> its systems on a published data set's tracks, or (target None) on the demo music.

    first: whether its rows stand above those of families without it; families are otherwise in the order of their names.
    """

    def register(function: MakeSystems) -> MakeSystems:
        if name in _FAMILIES:
            raise ValueError(f"There are two families '{name}'.")
        _FAMILIES[name] = _Registered(function, first)
        return function

    return register


def all_systems(scale: Scale, target: Target | None = None) -> list[System]:
    """Return the systems of every family, the trained ones first."""
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda found: found.name):
        importlib.import_module(f"{__name__}.{module.name}")
    names = sorted(_FAMILIES, key=lambda name: (not _FAMILIES[name].first, name))
    found = [replace(system, family=name) for name in names for system in _FAMILIES[name].make(scale, target)]
    return sorted(found, key=lambda system: not system.trained)
