"""How a named config is declared: a function that returns the keys it sets, with a docstring that says what it is for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .options import resume_rules

Config = dict[str, Any]
EXPERIMENTS, INFERENCE, TARGETS, DEMO, SCALES = "Experiments", "Inference", "Targets", "Demo", "Scales"
PARTS = "Parts of papers' tables"
GROUPS = (EXPERIMENTS, SCALES, INFERENCE, TARGETS, DEMO, PARTS)  # in the order in which they are listed


@dataclass(frozen=True)
class Named:
    """A named config.

    Attributes:
        name: by which it is asked for.
        values: the keys that it sets, nested.
        doc: its text, the first sentence saying what it is for.
        group: heading under which it is listed.
        original: name of the config whose other name or small twin it is; None: it is one of its own.
    """

    name: str
    values: Config
    doc: str
    group: str = EXPERIMENTS
    original: str | None = None

    @property
    def rank(self) -> int:
        """Place of its group in the list; groups of others stand at the end."""
        return GROUPS.index(self.group) if self.group in GROUPS else len(GROUPS)


@dataclass(frozen=True)
class Alias:
    """A published or earlier spelling that stands for a key.

    Attributes:
        key: the key. also: dotted keys that it sets too. values: spelling of a value -> the key's value.
    """

    key: str
    also: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)


class Catalogue(dict[str, Named]):
    """The named configs of one command file, in the order they are to be read."""

    def add(
        self, *aliases: str, smoke: Config | None = None, group: str = EXPERIMENTS
    ) -> Callable[[Callable[[], Config]], Callable[[], Config]]:
        """Declare a named config, its published other names, and (with the keys that make it small) its twin NAME_smoke."""

        def declare(function: Callable[[], Config]) -> Callable[[], Config]:
            name = function.__name__
            self.put(Named(name, function(), (function.__doc__ or "").strip(), group))
            for alias in aliases:
                self.put(Named(alias, function(), f"Published name of {name}.", group, name))
            if smoke is not None:
                doc = f"{name} made small: two steps on a cpu with random weights; shows that it runs, nothing else."
                self.put(Named(f"{name}_smoke", merged(function(), smoke), doc, group, name))
                for alias in aliases:
                    self.put(Named(f"{alias}_smoke", merged(function(), smoke), f"Published name of {name}_smoke.", group, name))
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


@dataclass(frozen=True)
class FamilyConfigs:
    """What a family of models brings to the command files; its module of configs/ holds one as FAMILY.

    Attributes:
        name: of the family. sections: name -> dataclass; one has the family's name. named: named configs. commands: that only this family has,
            functions of helpers/families/<name>.py. scripts: files that have it. aliases: other spellings of its keys.
    """

    name: str
    sections: Mapping[str, type]
    named: Catalogue
    commands: tuple[str, ...] = ()
    scripts: tuple[str, ...] = ("ex_ssl.py",)
    aliases: Mapping[str, str | Alias] = field(default_factory=dict)

    def check_named(self, first: str) -> None:
        """Raise ValueError for a named config that is not of this family. first: the family of a config that names none."""
        for config in self.named.values():
            if config.values.get("family", first) != self.name:
                raise ValueError(f"The named config {config.name} of the family {self.name} must set it: family={self.name}.")


@dataclass(frozen=True)
class Script:
    """A command file over families.

    Attributes:
        name: of its experiment. file: its name. schema: dataclass of its configs. named: named configs.
        aliases: published or earlier spelling -> key. demo: the named config of a bare command.
        families: name -> commands that only that family has; the first one where a config names none.
    """

    name: str
    file: str
    schema: type
    named: Catalogue
    aliases: Mapping[str, str | Alias]
    demo: str
    families: Mapping[str, tuple[str, ...]]

    @property
    def resume_rules(self) -> dict[str, frozenset[str]]:
        """What a resumed run may differ in."""
        return resume_rules(self.schema)
