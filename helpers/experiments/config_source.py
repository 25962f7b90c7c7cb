"""Where a run's config comes from: a schema's defaults and a named config with their texts, and a command line's words."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

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
