"""What a typed configuration is made of: options with their meaning and what depends on them, sections, and what is read from both. Data only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import Field, asdict, dataclass, field, fields, is_dataclass
from functools import partial
from typing import Any

# What `affects` may say; or the name of the one command whose output a key changes ("sweep", "export").
EFFECTS = {
    "nothing": "no number: where output goes, how often something is logged, how much memory and how many processes are used",
    "checkpoint": "which checkpoint is continued or tested; its content is named elsewhere",
    "inputs": "which tracks, labels and first weights are read. A resumed run compares the data themselves and has its weights in the checkpoint",
    "training inputs": "as inputs, of training alone",
    "numerics": "the device, precision and batches that the same numbers are computed with: rounding, in training and in use",
    "course": "how training is spread over processes, and when it validates: a resumed run may differ slightly",
    "duration": "how far training goes: a resumed run may go further",
    "training": "what is learned, and nothing once it is",
    "network": "what a network is and what it hears: training and every use",
    "extraction": "the stored embeddings and logits of a trained network",
    "embeddings": "the stored embeddings, and not the logits",
    "probe": "a probe's head and its scores",
    "tables": "the networks, data and probes of the tables of papers",
}
# What a resumed run is compared by, what it may differ in with a warning, and what says which data it is about.
RESUMED = {
    "compared": ("training", "network"),
    "warned": ("numerics", "course"),
    "inputs": ("inputs", "training inputs"),
}


# Bounds that many keys share, as intervals: [a, b] with its ends, (a, b) without them.
COUNT, FROM_0 = "[1, 1e6]", "[0, 1e6]"
BATCH = "[1, 1e5]"
RATE = "(0, 1000]"  # learning rate
SHARE = "[0, 1]"
SEED = "[0, 4294967295]"
SAMPLE_RATE = "[100, 768000]"  # Hz
ANY_NUMBER = "[-1e12, 1e12]"


@dataclass(frozen=True)
class Interval:
    """An interval of numbers. Infinite numbers and NaN are in none."""

    low: float
    high: float
    open_low: bool = False
    open_high: bool = False

    @classmethod
    def read(cls, text: str) -> Interval:
        """Return the interval of its notation, `[0, 1)`. Raises ValueError for another text, and for an empty interval."""
        found = re.fullmatch(r"([\[(])([^,]+), ([^,]+)([\])])", text)
        if not found or not float(found[2]) <= float(found[3]):
            raise ValueError(
                f"{text!r} is no interval: wanted [low, high], with a parenthesis at an end that does not belong to it."
            )
        return cls(float(found[2]), float(found[3]), found[1] == "(", found[4] == ")")

    def __contains__(self, number: float) -> bool:
        above = number > self.low if self.open_low else number >= self.low
        return above and (number < self.high if self.open_high else number <= self.high)

    @property
    def words(self) -> str:
        """Return it as a phrase: `above 0, 1 or less`."""
        if self.low == self.high:
            return f"{self.low:.10g}"
        low = f"above {self.low:.10g}" if self.open_low else f"{self.low:.10g} or more"
        return f"{low}, {f'below {self.high:.10g}' if self.open_high else f'{self.high:.10g} or less'}"


Bounds = str | Mapping[type, str]  # one interval, or one for whole numbers and one for others


def interval_of(bounds: Bounds | None, number: float) -> Interval:
    """Return the interval that a number of a key with `bounds` lies in."""
    if bounds is None:
        return Interval.read(ANY_NUMBER)
    return Interval.read(bounds if isinstance(bounds, str) else bounds[int if isinstance(number, int) else float])


def opt(default: Any, doc: str, choices: tuple[Any, ...] | None = None, *, affects: str, bounds: Bounds | None = None) -> Any:
    """A field with its meaning, the only values it may take, and what depends on it.

    affects: one of "nothing", "checkpoint", "inputs", "training inputs", "numerics", "course", "duration", "training", "network", "extraction",
    "embeddings", "probe", "tables" (EFFECTS tells them apart), or the one command whose output the key changes.
    bounds: the interval of its numbers, `"[1, 1e6]"` or `"(0, 1]"`; of a list: of each of them. Without it any finite number is taken.
    """
    metadata = {"doc": doc, "choices": choices, "affects": affects, "bounds": bounds, "interval": partial(interval_of, bounds)}
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def section(kind: type) -> Any:
    """A field that holds a dataclass of options."""
    return field(default_factory=kind)


def defaults(kind: type) -> dict[str, Any]:
    """A schema's defaults as nested builtins, as Sacred wants them."""
    return asdict(kind())


def options(kind: type, prefix: str = "") -> Iterator[tuple[str, Field[Any], Any]]:
    """(dotted key, field, default) of every option and section of a schema; a section stands before what it holds."""
    instance = kind()
    for f in fields(kind):
        value = getattr(instance, f.name)
        yield prefix + f.name, f, value
        if is_dataclass(value):
            yield from options(type(value), f"{prefix}{f.name}.")


def settings_that_affect(kind: type, *effects: str) -> frozenset[str]:
    """Dotted keys of a schema whose `affects` is one of `effects`."""
    return frozenset(key for key, f, value in options(kind) if not is_dataclass(value) and f.metadata["affects"] in effects)


def settings_without_effect(kind: type, effects: Iterable[str]) -> frozenset[str]:
    """Dotted keys of a schema whose `affects` is none of `effects`."""
    counted = settings_that_affect(kind, *effects)
    return frozenset(key for key, _, value in options(kind) if not is_dataclass(value) and key not in counted)


def resume_rules(kind: type) -> dict[str, frozenset[str]]:
    """What a resumed run may differ in, as helpers.training.same_training.ResumeRules takes it.

    free: keys that are not compared. warned: keys that may differ, which is logged. inputs: those of the free ones that say which data it is about.
    """
    compared = (*RESUMED["compared"], *RESUMED["warned"])
    return {
        "free": settings_without_effect(kind, compared),
        "warned": settings_that_affect(kind, *RESUMED["warned"]),
        "inputs": settings_that_affect(kind, *RESUMED["inputs"]),
    }
