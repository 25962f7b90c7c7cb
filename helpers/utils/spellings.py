"""Published and earlier spellings of a config's keys, and what they stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from .typed_config import flat


class AlsoSets(Protocol):
    """A spelling that stands for a key, and may set others with it or spell values in its own way."""

    @property
    def key(self) -> str:
        """The key, dotted."""

    @property
    def also(self) -> Mapping[str, Any]:
        """Dotted keys that it sets too."""

    @property
    def values(self) -> Mapping[str, Any]:
        """Spelling of a value -> the key's value."""


Aliases = Mapping[str, "str | AlsoSets"]


def translated(updates: dict[str, Any], aliases: Aliases) -> dict[str, Any]:
    """Return nested updates with published and earlier spellings of keys (and sections) replaced by ours; ours wins where both are given."""
    for published, ours in aliases.items():
        value = _take(updates, published.split("."))
        if value is _ABSENT:
            continue
        if isinstance(ours, str):
            _put(updates, ours.split("."), value)
            continue
        _put(updates, ours.key.split("."), ours.values.get(value, value) if isinstance(value, str) else value)
        for name, content in ours.also.items() if value is not None else ():  # set to none it switches nothing on
            _put(updates, name.split("."), content)
    return updates


def renamed(settings: Mapping[str, Any], aliases: Aliases) -> dict[str, Any]:
    """Return values by dotted keys, as `flat` gives them, with earlier spellings replaced by ours."""
    tree: dict[str, Any] = {}
    for key, value in settings.items():
        _put(tree, key.split("."), value)
    return flat(translated(tree, aliases))


_ABSENT = object()


def _take(tree: dict[str, Any], path: Sequence[str]) -> Any:
    """Take a key out of a tree, and a section that is empty then."""
    if len(path) == 1:
        return tree.pop(path[0], _ABSENT)
    inner = tree.get(path[0])
    if not isinstance(inner, dict):
        return _ABSENT
    found = _take(inner, path[1:])
    if found is not _ABSENT and not inner:
        del tree[path[0]]
    return found


def _put(tree: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for part in path[:-1]:
        tree = tree.setdefault(part, {})
    if isinstance(value, dict):
        tree[path[-1]] = {**value, **tree.get(path[-1], {})}
    else:
        tree.setdefault(path[-1], value)
