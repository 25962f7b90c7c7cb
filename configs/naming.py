"""How a named config is declared: a function that returns the keys it sets, with a docstring that says what it is for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Config = dict[str, Any]


@dataclass(frozen=True)
class Named:
    """A named config: its keys (nested) and its text."""

    name: str
    values: Config
    doc: str


class Catalogue(dict[str, Named]):
    """The named configs of one command file, in the order they are to be read."""

    def add(self, *aliases: str, smoke: Config | None = None) -> Callable[[Callable[[], Config]], Callable[[], Config]]:
        """Declare a named config, its published other names, and (with the keys that make it small) its twin NAME_smoke."""

        def declare(function: Callable[[], Config]) -> Callable[[], Config]:
            name = function.__name__
            self.put(Named(name, function(), (function.__doc__ or "").strip()))
            for alias in aliases:
                self.put(Named(alias, function(), f"Published name of {name}."))
            if smoke is not None:
                doc = f"{name} made small: two steps on a cpu with random weights; shows that it runs, nothing else."
                self.put(Named(f"{name}_smoke", merged(function(), smoke), doc))
                for alias in aliases:
                    self.put(Named(f"{alias}_smoke", merged(function(), smoke), f"Published name of {name}_smoke."))
            return function

        return declare

    def put(self, named: Named) -> None:
        """Declare a named config that is made by a loop. Raises ValueError for a name that is taken."""
        if named.name in self:
            raise ValueError(f"There are two named configs '{named.name}'.")
        self[named.name] = named


def merged(*configs: Config) -> Config:
    """Nested dicts laid over each other, the later ones on top. Nothing is changed in place."""
    out: Config = {}
    for config in configs:
        for key, value in config.items():
            out[key] = merged(out.get(key, {}), value) if isinstance(value, dict) else value
    return out
