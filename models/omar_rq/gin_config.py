"""A reader of the part of gin-config's text format that OMAR-RQ's config.gin files use. It keeps no state: two files never see each other.

Read are comments, macros (`name = value`), bindings (`module.Class.param = value`), and values made of Python literals, `%macro`, `@selector`
and `@selector()`, over several lines inside brackets or behind a backslash. Classes are matched by their last name, whatever the case, so that
`nets.conformer.Conformer.depth`, `Conformer.depth` and `conformer.depth` are one binding. Bindings under a scope (`scope/Class.param`) hold
inside gin's scopes only, which nothing here enters: they are left out, and said in the log.
"""

from __future__ import annotations

import ast
import io
import logging
import re
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..bounded_files import read_text
from ..errors import ConfigError

log = logging.getLogger(__name__)
_KEY = re.compile(r"[A-Za-z_][\w./]*\Z")
_MACRO, _REFERENCE = "__macro__", "__reference__"
_DEEPEST = 50  # macros that stand for macros
MOST_LETTERS = 256 << 10  # of a file; the published ones have 5000
MOST_LINES = 5000  # of one value
_MOST_VALUES = 200_000  # that all bindings come to, with macros in place


@dataclass(frozen=True)
class Reference:
    """`@name`, a class that the file names; its module path is left out."""

    name: str

    @property
    def key(self) -> str:
        """The name as it is compared."""
        return self.name.lower()


@dataclass(frozen=True)
class GinConfig:
    """What a file binds. source: for messages. bindings: class in small letters -> parameter -> value. folder: of the file, None: a text."""

    source: str
    bindings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    folder: Path | None = None

    def of(self, name: str) -> dict[str, Any]:
        """Return the parameters that the file binds of a class; {} for one that it does not name."""
        return dict(self.bindings.get(name.lower(), {}))


def read_gin(path: str | Path) -> GinConfig:
    """Read a config.gin file. Raises ConfigError for one that is absent, no text, or not in the format."""
    try:
        text = read_text(path, MOST_LETTERS)
    except OSError as error:
        raise ConfigError(f"The config {path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"The config {path} is no text (UTF-8): {error}.") from error
    except ValueError as error:
        raise ConfigError(f"The config {path} cannot be read: {error}") from error
    return replace(parse_gin(text, str(path)), folder=Path(path).parent)


def parse_gin(text: str, source: str = "the config") -> GinConfig:
    """Read the text of a config.gin. The last of two bindings of one name holds. Raises ConfigError naming the line that is not understood."""
    macros: dict[str, ast.expr] = {}
    found: dict[str, dict[str, ast.expr]] = {}
    for number, statement in _statements(text, source):
        where = f"{source}, line {number}"
        if re.match(r"(import|from)\s", statement):
            continue  # modules that register gin's classes
        if re.match(r"include\s", statement):
            raise ConfigError(f"{where} includes another file ('{statement}'): write its bindings into this one.")
        key, equals, value = statement.partition("=")
        key = key.strip()
        if not equals or not _KEY.match(key):
            raise ConfigError(f"{where} is no 'name = value': '{_short(statement)}'.")
        expression = _expression(value.strip(), where)
        if "/" in key:
            log.warning("%s binds '%s' under a scope: left out.", where, key)
        elif "." in key:
            path, _, parameter = key.rpartition(".")
            found.setdefault(path.split(".")[-1].lower(), {})[parameter] = expression
        else:
            macros[key] = expression
    left = [_MOST_VALUES]
    values = {name: {k: _evaluate(v, macros, source, left) for k, v in params.items()} for name, params in found.items()}
    return GinConfig(source, values)


def _statements(text: str, source: str) -> Iterator[tuple[int, str]]:
    """The file's statements on one line each, without comments, with the number of their first line."""
    lines = text.replace("\r\n", "\n").split("\n")
    at = 0
    while at < len(lines):
        first, parts, state = at + 1, [""], _State()
        while True:
            line, _ = _uncommented(lines[at])
            at += 1
            continued = line.endswith("\\")
            parts.append(line.rstrip(chr(92)).strip())
            _uncommented(f" {parts[-1]}", state)
            statement = " ".join(parts).strip() if not continued and state.depth <= 0 else ""
            if not continued and state.depth <= 0:
                break
            if at == len(lines) or at - first > MOST_LINES:
                raise ConfigError(f"{source}, line {first}: the value has no end: '{_short(' '.join(parts[:80]).strip())}'.")
        if statement:
            yield first, statement


@dataclass
class _State:
    """Where a scan of a statement is: in which quote, behind a backslash, in how many brackets."""

    quote: str = ""
    skip: bool = False
    depth: int = 0


def _uncommented(line: str, state: _State | None = None) -> tuple[str, int]:
    """A line without its comment, and how many brackets it leaves open; both outside of strings. state: of the lines before it, which it changes."""
    at = _State() if state is None else state
    for i, letter in enumerate(line):
        if at.skip:
            at.skip = False
        elif at.quote:
            at.skip = letter == "\\"
            at.quote = "" if letter == at.quote else at.quote
        elif letter in "'\"":
            at.quote = letter
        elif letter == "#":
            return line[:i].rstrip(), at.depth
        else:
            at.depth += (letter in "([{") - (letter in ")]}")
    return line.rstrip(), at.depth


def _expression(value: str, where: str) -> ast.expr:
    """The value as Python's syntax tree, with calls in place of `%macro` and `@selector`."""
    try:
        return ast.parse(_marked(value), mode="eval").body
    except (SyntaxError, ValueError, tokenize.TokenError, RecursionError, MemoryError) as error:
        raise ConfigError(
            f"{where}: '{_short(value)}' is no value: a number, string, list, %macro or @Class is wanted."
        ) from error


def _marked(value: str) -> str:
    """`%a.b` and `@a.b()` outside of strings as `__macro__('a.b')` and `__reference__('a.b')`."""
    out: list[str] = []
    at = 0
    for token in tokenize.generate_tokens(io.StringIO(value).readline):
        if token.type == tokenize.STRING:
            out += [_marked_names(value[at : token.start[1]]), value[token.start[1] : token.end[1]]]
            at = token.end[1]
    return "".join([*out, _marked_names(value[at:])])


def _marked_names(code: str) -> str:
    code = re.sub(r"%([\w./]+)", rf"{_MACRO}('\1')", code)
    return re.sub(r"@([\w./]+)(\(\))?", rf"{_REFERENCE}('\1')", code)


def _evaluate(node: ast.expr, macros: Mapping[str, ast.expr], source: str, left: list[int], depth: int = 0) -> Any:
    """The value of a tree of literals and marked names; nothing else is run. left: how many more values there may be."""
    left[0] -= 1
    if left[0] < 0:
        raise ConfigError(f"{source}: its macros stand for more than {_MOST_VALUES:,} values.")
    if depth > _DEEPEST:
        raise ConfigError(f"{source}: macros that stand for each other, or a value nested more than {_DEEPEST} deep.")

    def inner(one: ast.expr) -> Any:
        return _evaluate(one, macros, source, left, depth + 1)

    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) == 1:
        name = str(ast.literal_eval(node.args[0])) if isinstance(node.args[0], ast.Constant) else ""
        if node.func.id == _REFERENCE and name:
            return Reference(re.split(r"[./]", name)[-1])
        if node.func.id == _MACRO and name:
            if name not in macros:
                raise ConfigError(f"{source} uses the macro %{name}, which it does not define.")
            return inner(macros[name])
    if isinstance(node, ast.List):
        return [inner(one) for one in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(inner(one) for one in node.elts)
    if isinstance(node, ast.Dict) and all(key is not None for key in node.keys):
        try:
            return {inner(key): inner(value) for key, value in zip(node.keys, node.values) if key is not None}
        except TypeError:  # a list as a key
            raise ConfigError(f"{source}: the keys of a dict are numbers and strings.") from None
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise ConfigError(
            f"{source}: '{_said(node)}' is no value: a number, string, list, %macro or @Class is wanted."
        ) from error


def _said(node: ast.expr) -> str:
    try:
        return _short(ast.unparse(node))
    except (RecursionError, ValueError):
        return "what is nested so deeply"


def _short(text: str, length: int = 60) -> str:
    return text if len(text) <= length else f"{text[:length]}..."
