"""Where a run's config comes from: a schema's defaults and a named config with their texts, and a command line's words by any spelling."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Protocol

from sacred.config.config_dict import ConfigDict
from sacred.utils import convert_to_nested_dict


class DocumentedConfig(ConfigDict):
    """Sacred's config from a dict, with the texts that print_config and print_named_configs show."""

    def __init__(self, values: Mapping[str, Any], doc: str = "", docs: Mapping[str, str] | None = None):
        super().__init__(dict(values))
        self.__doc__ = doc
        self._docs = dict(docs or {})

    def __call__(self, fixed: Any = None, preset: Any = None, fallback: Any = None) -> Any:
        stored = self._conf
        self._conf = copy.deepcopy(
            stored
        )  # Sacred fills a run's other settings into it: they would be those of the process's next run
        try:
            summary = super().__call__(fixed, preset, fallback)
        finally:
            self._conf = stored
        summary.docs = dict(self._docs)
        return summary


def docs_of(schema: type, prefix: str = "") -> dict[str, str]:
    """Return dotted key -> its meaning, of a schema's options and sections; sections without a text of their own are left out."""
    out, instance = {}, schema()
    for f in fields(schema):
        value, key = getattr(instance, f.name), prefix + f.name
        if is_dataclass(value):
            text = (type(value).__doc__ or "").strip()
            if text and not text.startswith(f"{type(value).__name__}("):  # dataclass writes a signature where there is none
                out[key] = text
            out |= docs_of(type(value), f"{key}.")
        else:
            choices = f.metadata.get("choices")
            out[key] = f.metadata["doc"] + (f" ({' | '.join(map(str, choices))})" if choices and len(choices) > 1 else "")
    return out


def nested(updates: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested updates: {"a.b": 1} -> {"a": {"b": 1}}, as Sacred reads a command line's words."""
    return dict(convert_to_nested_dict(dict(updates)))


class AlsoSets(Protocol):
    """A spelling that stands for a key, and sets others with it."""

    @property
    def key(self) -> str:
        """The key, dotted."""

    @property
    def also(self) -> Mapping[str, Any]:
        """Dotted keys that it sets too."""


Aliases = Mapping[str, "str | AlsoSets"]


def translated(updates: dict[str, Any], aliases: Aliases) -> dict[str, Any]:
    """Return nested updates with published and earlier spellings of keys (and sections) replaced by ours; ours wins where both are given."""
    for published, ours in aliases.items():
        value = _take(updates, published.split("."))
        if value is _ABSENT:
            continue
        key, also = (ours, {}) if isinstance(ours, str) else (ours.key, ours.also)
        for name, content in {key: value, **also}.items():
            _put(updates, name.split("."), content)
    return updates


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
