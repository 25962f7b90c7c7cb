"""Where a run's config comes from: a schema's defaults, a named config, a file, and a command line's words."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import yaml
from sacred.config.config_dict import ConfigDict
from sacred.config.config_files import HANDLER_BY_EXT
from sacred.utils import convert_to_nested_dict

from models.bounded_files import parsed, read_text, too_many_digits
from models.errors import ConfigError

from ..utils.spellings import Aliases, translated

MOST_CONFIG = 16 << 20  # bytes
MOST_VALUES = 200_000  # the names of all classes of a large data set among them


class _Loader(yaml.SafeLoader):
    """Plain values alone; merges (<<) of merges do not grow without end."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """As yaml's."""
        super().flatten_mapping(node)
        if len(node.value) > MOST_VALUES:
            raise yaml.YAMLError(f"it merges more than {MOST_VALUES:,} values")


def _yaml(text: str) -> Any:
    return yaml.load(text, _Loader)


_READERS: dict[str, Callable[[str], Any]] = {".json": parsed, ".yaml": _yaml, ".yml": _yaml}
HANDLER_BY_EXT.pop(".pickle", None)
for _ending, _reader in _READERS.items():  # Sacred's own readers of config files would run what a file says
    HANDLER_BY_EXT[_ending].load = lambda file, reader=_reader: reader(file.read())


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
            out[key] = f.metadata["doc"] + (
                f" ({' | '.join(dict.fromkeys(map(str, choices)))})" if choices and len(choices) > 1 else ""
            )
    return out


def config_of_file(path: str, aliases: Aliases) -> dict[str, Any]:
    """Return the config of a .json or .yaml file, such as an earlier run's config.json, with earlier spellings of keys replaced by ours.

    Raises ConfigError for a file of another kind, or that is no config.
    """
    if Path(path).suffix not in _READERS:
        raise ConfigError(f"{path} is no config: wanted is a .json or .yaml file.")
    try:
        values = _READERS[Path(path).suffix](read_text(path, MOST_CONFIG))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        reason = (too_many_digits(error) if isinstance(error, ValueError) else None) or error
        raise ConfigError(f"{path} is no config: {' '.join(str(reason).split()).rstrip('.')}.") from error
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ConfigError(f"{path} is no config: wanted are keys and their values, got {type(values).__name__}.")
    _check_count(values, path)
    return translated(nested(values), aliases)


def _check_count(values: Any, path: str) -> None:
    """Raise ConfigError for more values than any config has: yaml's aliases make billions of a few lines, or a list that holds itself."""
    waiting, left = [values], MOST_VALUES
    while waiting:
        one = waiting.pop()
        inner = list(one.values()) if isinstance(one, dict) else one if isinstance(one, list) else []
        left -= len(inner)
        if left < 0:
            raise ConfigError(f"{path} is no config: it holds more than {MOST_VALUES:,} values.")
        waiting += inner


def nested(updates: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested updates: {"a.b": 1} -> {"a": {"b": 1}}, as Sacred reads a command line's words."""
    try:
        return dict(convert_to_nested_dict(dict(updates)))
    except (TypeError, AttributeError, KeyError):
        raise ConfigError("This config cannot run: a key stands in it both with a value and with keys below it.") from None
