"""Comparing a nested config with the dataclasses that describe it, before a run starts."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

from models.errors import ConfigError, nearest

_type_hints = functools.cache(get_type_hints)  # of a schema: what it says does not change
MOST_LETTERS = 4096  # of a text: what a path may have
SHOWN_LETTERS = 120  # of a value in a message


def check(schema: type, config: Mapping[str, Any], extra: Iterable[str] = (), prefix: str = "") -> None:
    """Compare a nested config with its dataclass. Raises ConfigError listing every unknown key (with the nearest) and every wrong type."""
    problems = list(_problems(schema, config, frozenset(extra), prefix, list(_paths(schema, prefix))))
    if problems:
        raise ConfigError("This config cannot run:\n  " + "\n  ".join(problems))


def build(schema: type, config: Mapping[str, Any]) -> Any:
    """Return a checked nested config as an instance of its dataclass; keys that are no fields (Sacred's seed) are left out."""
    hints = _type_hints(schema)
    values = {f.name: config[f.name] for f in fields(schema) if f.name in config}
    return schema(
        **{name: build(hints[name], value) if is_dataclass(hints[name]) else _plain(value) for name, value in values.items()}
    )


def _plain(value: Any) -> Any:
    """Return a value of a config with Sacred's read-only containers as plain ones."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return dotted keys with their values: {"a": {"b": 1}} -> {"a.b": 1}."""
    out: dict[str, Any] = {}
    for key, value in tree.items():
        out |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return out


def _paths(schema: type, prefix: str) -> Iterable[str]:
    """Return the full names of all keys and sections."""
    for name, hint in _type_hints(schema).items():
        yield prefix + name
        if isinstance(hint, type) and is_dataclass(hint):
            yield from _paths(hint, f"{prefix}{name}.")


def _hint(key: str, known: Iterable[str], prefix: str, paths: list[str]) -> str:
    """Return ' Did you mean X?': a key of this name in another section (one below this section first), else the nearest name in this section."""
    elsewhere = sorted((path for path in paths if f".{path}".endswith(f".{key}")), key=lambda path: not path.startswith(prefix))
    return f" Did you mean '{elsewhere[0]}'?" if elsewhere else nearest(key, known)


def _problems(schema: type, config: Mapping[str, Any], extra: frozenset[str], prefix: str, paths: list[str]) -> Iterable[str]:
    hints = _type_hints(schema)
    known = {f.name: f for f in fields(schema)}
    for key, value in config.items():
        if key in extra:
            continue
        if key not in known:
            yield f"{prefix}{key}: there is no such key.{_hint(key, known, prefix, paths)}"
            continue
        hint = hints[key]
        if isinstance(hint, type) and is_dataclass(hint):
            if isinstance(value, Mapping):
                yield from _problems(hint, value, frozenset(), f"{prefix}{key}.", paths)
            else:
                yield f"{prefix}{key} is {shown(value)}; it is a section with the keys {', '.join(f.name for f in fields(hint))}."
        elif not _fits(value, hint):
            yield f"{prefix}{key} is {shown(value)} ({type(value).__name__}); wanted {_words(hint)}: {known[key].metadata['doc']}."
        elif (choices := known[key].metadata.get("choices")) and value not in choices:
            said = shown(value)
            yield f"{prefix}{key} is {said}; choose {' or '.join(repr(c) for c in choices)}.{nearest(said, map(str, choices))}"
        else:
            for wanted in _outside(value, known[key].metadata.get("interval")):
                yield f"{prefix}{key} is {shown(value)}; wanted {wanted}: {known[key].metadata['doc']}."


def _outside(value: Any, interval: Callable[[float], Any] | None) -> Iterable[str]:
    """Return what is wanted in place of the first number, or text, of a value that cannot be."""
    for one in value if isinstance(value, (list, tuple)) else [value]:
        if isinstance(one, str) and (len(one) > MOST_LETTERS or not one.isprintable()):
            return [f"a text of at most {MOST_LETTERS} letters without control characters"]
        if isinstance(one, (int, float)) and not isinstance(one, bool) and interval is not None and one not in interval(one):
            return [interval(one).words]
    return []


def shown(value: Any) -> str:
    """Return a value for a message: short, on one line, whatever it is."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # nested too deeply; a whole number of too many digits
        return f"a {type(value).__name__} that is too large to be shown"
    return text if len(text) <= SHOWN_LETTERS else f"{text[:SHOWN_LETTERS]}..."


def _fits(value: Any, hint: Any) -> bool:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, h) for h in get_args(hint))
    if origin is list:
        return isinstance(value, (list, tuple)) and all(_fits(v, get_args(hint)[0]) for v in value)
    if hint is type(None):
        return value is None
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _words(hint: Any) -> str:
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(_words(h) for h in get_args(hint))
    if get_origin(hint) is list:
        one = get_args(hint)[0]
        return {str: "a list of texts", int: "a list of whole numbers", float: "a list of numbers"}.get(
            one, f"a list of {_words(one)}"
        )
    return {int: "a whole number", float: "a number", str: "a text", bool: "True or False", type(None): "None"}.get(
        hint, str(hint)
    )
