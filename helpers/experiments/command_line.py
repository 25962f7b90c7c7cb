"""A script's command line: common slips named before Sacred reads it, and the table of spellings that `help` ends with."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import sacred

from models.errors import ConfigError, nearest

from ..utils.spellings import Aliases


def without_options(experiment: sacred.Experiment, words: Sequence[str]) -> list[str]:
    """Return `words` without Sacred's options and their values (-s sqlite:///runs.db)."""
    valued = {flag for option in experiment.all_cli_options if option.arg for flag in option.get_flags()}
    return [word for i, word in enumerate(words) if not word.startswith("-") and not (i and words[i - 1] in valued)]


def check_slips(words: Sequence[str], commands: Iterable[str], named_configs: Iterable[str], plain: Sequence[str]) -> None:
    """Raise ConfigError for common slips, with the command line that was meant.

    Args:
        words: of the command line, behind the script.
        commands: that there are.
        named_configs: that there are.
        plain: the words before `with`, without options.
    """
    commands, named_configs = list(commands), list(named_configs)
    after = list(words[words.index("with") + 1 :]) if "with" in words else []
    named = [word for word in plain if word in named_configs and word not in commands]
    if named:
        first = [w for w in plain if w not in named and "=" not in w]
        rest = [*first, "with", *named, *(w for w in plain if "=" in w), *after]
        raise ConfigError(f"'{named[0]}' is a named config: it stands behind `with`. You want: {' '.join(rest)}")
    for word in plain:
        if "=" not in word and word != "help" and word not in commands:
            what = "command or named config" if plain[0] == "help" else "command"
            near = nearest(word, [*commands, *named_configs] if plain[0] == "help" else commands)
            raise ConfigError(f"There is no {what} '{word}' of this script.{near} There are the commands {', '.join(commands)}.")
        if "=" in word and "with" not in words:
            raise ConfigError(f"'{word}' sets a config key: such words stand behind `with`. You want: with {word}")
    for i, word in enumerate(after):
        value = after[i + 1 : i + 2]  # none, another key or a named config: an empty text is meant
        apart = word.endswith("=") and bool(value) and "=" not in value[0].rstrip("=") and value[0] not in named_configs
        if word.startswith("=") or apart:
            near = "".join(after[max(i - word.startswith("="), 0) : i + 1 + word.endswith("=")])
            raise ConfigError(f"There is a space beside an '=': write it without: {near}")
    for word in after:
        if "=" not in word and not word.startswith("-") and word not in named_configs and not Path(word).suffix:
            raise ConfigError(
                f"There is no named config '{word}'.{nearest(word, named_configs)} `print_named_configs` lists them."
            )


def as_texts(words: Sequence[str], schema: type, aliases: Aliases) -> list[str]:
    """Return the words with the values of keys that hold texts written as such: predict.audio=2020 and =1e5 are names. None stays none.

    Those of keys that hold lists of texts likewise: omar_rq.targets=[mel,cqt] and =mel,cqt are what a shell leaves of ['mel','cqt'].
    """
    texts, lists = (set(_keys(schema, kinds)) for kinds in ({str}, {list[str]}))
    for keys in (texts, lists):
        keys |= {other for other, ours in aliases.items() if (ours if isinstance(ours, str) else ours.key) in keys}
    sections = {other: ours for other, ours in aliases.items() if isinstance(ours, str)}
    out, behind = [], False
    for word in words:
        key, sign, value = word.partition("=")
        ours = next(
            (f"{sections[part]}{key[len(part) :]}" for part in sections if key == part or key.startswith(f"{part}.")), key
        )
        if behind and sign and {key, ours} & texts and (_is_other(value) or not value):
            word = f"{key}={value!r}"
        elif behind and sign and value and {key, ours} & lists and not _is_literal(value):
            word = f"{key}={[item.strip() for item in value.removeprefix('[').removesuffix(']').split(',')]!r}"
        out.append(word)
        behind |= word == "with"
    return out


def _keys(schema: type, kinds: set[Any], prefix: str = "") -> Iterator[str]:
    """Dotted keys whose values are of these types (or none) only."""
    for name, hint in get_type_hints(schema).items():
        if isinstance(hint, type) and is_dataclass(hint):
            yield from _keys(hint, kinds, f"{prefix}{name}.")
        else:
            own = {hint} if get_origin(hint) is list else set(get_args(hint) or (hint,))
            if own & kinds and own <= {*kinds, type(None)}:
                yield prefix + name


def _is_other(value: str) -> bool:
    """Whether Sacred would take a value for something else than a text or none."""
    return _is_literal(value) and not isinstance(ast.literal_eval(value), str | None)


def _is_literal(value: str) -> bool:
    """Whether Sacred would take a value for more than its letters."""
    try:
        ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return False
    return True


def spellings(aliases: Aliases) -> str:
    """Return the table of published and earlier spellings of keys, a line each."""
    width = max(map(len, aliases), default=0)
    lines = []
    for other, ours in aliases.items():
        key, also = (ours, {}) if isinstance(ours, str) else (ours.key, ours.also)
        with_it = "".join(f", and {name}={value}" for name, value in also.items())
        lines.append(f"  {other:{width}}  {key}{with_it}")
    return "\n".join(lines)
