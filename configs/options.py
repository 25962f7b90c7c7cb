"""What a typed configuration is made of: options with their meaning and what depends on them, sections, and what is read from both. Data only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import Field, asdict, field, fields, is_dataclass
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


def opt(default: Any, doc: str, choices: tuple[Any, ...] | None = None, *, affects: str) -> Any:
    """A field with its meaning, the only values it may take, and what depends on it.

    affects: one of "nothing", "checkpoint", "inputs", "training inputs", "numerics", "course", "duration", "training", "network", "extraction",
    "embeddings", "probe", "tables" (EFFECTS tells them apart), or the one command whose output the key changes.
    """
    metadata = {"doc": doc, "choices": choices, "affects": affects}
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
