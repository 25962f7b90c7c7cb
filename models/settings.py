"""Settings that a file, or a caller, says of a network, compared with what each of them may be before anything is built of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from .errors import ConfigError

SHOWN_LETTERS = 120  # of a value in a message
MOST_PARAMETERS = 4_000_000_000  # 16 GB of float32: nothing of this field is near
MOST_LETTERS = 10_000  # of a text


@dataclass(frozen=True)
class Number:
    """A number from low to high, whole or not."""

    low: float
    high: float
    whole: bool = True

    def holds(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, Integral if self.whole else Real):
            return False
        return bool(self.low <= value <= self.high)  # type: ignore[operator]  # a NaN is in no interval

    @property
    def words(self) -> str:
        return f"a {'whole ' if self.whole else ''}number, {self.low:.10g} or more and at most {self.high:.10g}"


@dataclass(frozen=True)
class Numbers:
    """A list of from `least` to `most` such numbers."""

    each: Number
    least: int
    most: int

    def holds(self, value: Any) -> bool:
        listed = isinstance(value, Sequence) and not isinstance(value, (str, bytes))
        return listed and self.least <= len(value) <= self.most and all(self.each.holds(one) for one in value)

    @property
    def words(self) -> str:
        count = f"{self.least}" if self.least == self.most else f"{self.least} to {self.most}"
        return f"a list of {count}, each {self.each.words}"


@dataclass(frozen=True)
class Choice:
    """One of these values."""

    values: tuple[Any, ...]

    def holds(self, value: Any) -> bool:
        return any(value is one or (type(value) is type(one) and value == one) for one in self.values)

    @property
    def words(self) -> str:
        return " or ".join(map(str, self.values))


@dataclass(frozen=True)
class Text:
    """A text of whole characters."""

    def holds(self, value: Any) -> bool:
        return isinstance(value, str) and _is_name(value)

    @property
    def words(self) -> str:
        return "a text of whole characters"


@dataclass(frozen=True)
class Names:
    """A list of texts, the names of classes. Half a character is none: no file of results could hold it."""

    most: int

    def holds(self, value: Any) -> bool:
        listed = isinstance(value, Sequence) and not isinstance(value, (str, bytes))
        return listed and len(value) <= self.most and all(isinstance(one, str) and _is_name(one) for one in value)

    @property
    def words(self) -> str:
        return f"a list of at most {self.most} texts of whole characters"


def _is_name(text: str) -> bool:
    return len(text) <= MOST_LETTERS and (text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text))


@dataclass(frozen=True)
class Maybe:
    """Such a value, or none."""

    rule: Number | Numbers | Choice | Names | Text

    def holds(self, value: Any) -> bool:
        return value is None or self.rule.holds(value)

    @property
    def words(self) -> str:
        return f"{self.rule.words}, or none"


Rule = Number | Numbers | Choice | Names | Text | Maybe
Rules = Mapping[str, Rule]
FLAG = Choice((True, False))
LABELS = Maybe(Names(100_000))


def check_settings(settings: Mapping[str, Any], rules: Rules, what: str, error: type[ValueError] = ConfigError) -> None:
    """Compare settings with their rules; those without a rule are unknown.

    Args:
        settings: by name.
        rules: what each may be.
        what: whose they are, for the error's text.
        error: class to raise.

    Raises `error` naming the first that cannot be.
    """
    for name, value in settings.items():
        if name not in rules:
            argument = (
                name == "pretrained" and error is ConfigError
            )  # a file's settings have another error: nobody can call it otherwise
            hint = " It is an argument of models.get_model(NAME, pretrained=False)." if argument else ""
            raise error(f"{what} has a setting {shown(name)}, which is unknown; known are {', '.join(rules)}.{hint}")
        if not rules[name].holds(value):
            raise error(f"{what}: {name} is {shown(value)}; wanted {rules[name].words}.")


def check_size(parameters: float, what: str, error: type[ValueError] = ConfigError) -> None:
    """Raise `error` for a network of more than MOST_PARAMETERS parameters, before it is built."""
    if not parameters <= MOST_PARAMETERS:
        size = "beyond measure" if not math.isfinite(parameters) else f"{parameters * 4 / 1e9:,.0f} GB"
        raise error(
            f"{what} would have {parameters:.3g} parameters ({size}); at most {MOST_PARAMETERS:.3g} are built. Make it smaller."
        )


def shown(value: Any) -> str:
    """Return a value for a message: short, on one line, whatever it is."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # nested too deeply; a whole number of too many digits
        return f"a {type(value).__name__} that is too large to be shown"
    return text if len(text) <= SHOWN_LETTERS else f"{text[:SHOWN_LETTERS]}..."
