"""The head that a fine-tuning gives an encoder: classes of one layer, in place of those that the network may have had.

The encoder stays what it is, an AudioEncoder of its family; with the head it names the head's classes, and its files hold both: the head's weights
under "task_head.", and what it was built with under that name among the settings. What the family's own head has learned stays there, and answers
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypeVar, cast

from torch import Tensor

from ..encoder import AudioEncoder
from ..errors import ConfigError
from ..heads import ACTIVATIONS, ProbeHead
from ..settings import FLAG, Choice, Maybe, Names, Number, Rules, Text, check_settings, check_size, shown
from .checkpoints import HEAD

RULES: Rules = {
    "task": Text(), "layer": Number(0, 1000), "labels": Names(100_000), "exclusive": FLAG, "hidden": Number(1, 1_000_000),
    "num_layers": Number(1, 100), "activation": Choice(tuple(ACTIVATIONS)), "dropout": Number(0, 0.999, whole=False),
    "input_dropout": Number(0, 0.999, whole=False), "sample_rate": Number(1, 1_000_000), "front_end": Text(),
    "begun_with": Maybe(Text()), "licence": Maybe(Text()),
}  # fmt: skip
HEARD = ("sample_rate", "front_end")
OWN_HEADS = ("head", "fc.")  # how names of the families' own parameters of classes begin: fc is CLMR's, by its published name
Encoder = TypeVar("Encoder", bound=AudioEncoder)


class TaskHead(ProbeHead):
    """A ProbeHead on what extraction keeps of each window at one layer of an encoder (MAEST: CLS, DIST and mean token, joined).

    Args:
        encoder: whose layer it reads.
        labels: names of the classes, in column order.
        layer: block, 0-based, negatives from the end.
        exclusive: one class per recording (softmax), else each its own (sigmoid).
        task: what was learned, by the name of the probes' tasks.
        begun_with, licence: of published weights that the fine-tuning began with.
        head: hidden, num_layers, activation, dropout, input_dropout of ProbeHead.

    Raises ConfigError for a layer that is not there, for labels or a task that no file can hold, or a label that stands twice, and what ProbeHead
    raises.
    """

    def __init__(
        self,
        encoder: AudioEncoder,
        labels: Sequence[str],
        layer: int = -1,
        exclusive: bool = False,
        task: str = "",
        begun_with: str | None = None,
        licence: str | None = None,
        **head: Any,
    ) -> None:
        check_settings({"task": task, "labels": labels}, RULES, "A fine-tuning")
        if not labels or len(set(labels)) < len(labels):
            raise ConfigError(f"The labels of a fine-tuning are {shown(labels)}: wanted one or more, and no name twice.")
        (self.layer,) = encoder.resolve_layers([layer])
        width = math.prod(encoder.summary_shapes([self.layer])[self.layer])
        super().__init__(width, len(labels), **head)
        self.labels, self.exclusive, self.task = list(labels), bool(exclusive), task
        self.begun_with, self.licence = begun_with, licence
        self.heard = _heard(encoder)

    @property
    def settings(self) -> dict[str, Any]:
        """What a file says of it, as builtins: the arguments, and the sample rate (Hz) and front end of what it has learned from."""
        linears = self.linears
        names = ("task", "layer", "labels", "exclusive", "activation", "dropout", "input_dropout", "begun_with", "licence")
        hidden = {"hidden": linears[0].out_features} if len(linears) > 1 else {}
        return {**{name: getattr(self, name) for name in names}, **hidden, "num_layers": len(linears), **self.heard}


def check_head(said: Any, encoder: AudioEncoder, source: str, error: type[ValueError] = ConfigError) -> dict[str, Any]:
    """Return the arguments of TaskHead of what a file says of one on this encoder. Raises `error` for what can be none, before it is built."""
    what = f"The head of a fine-tuning in {source}"
    if not isinstance(said, Mapping):
        raise error(f"{what} is a {type(said).__name__}; wanted names and values.")
    check_settings(said, RULES, what, error)
    if absent := [name for name in ("labels", "layer", *HEARD) if said.get(name) in (None, [])]:
        raise error(f"{what} does not say {', '.join(absent)}.")
    if said["layer"] >= encoder.depth:
        raise error(f"{what} reads layer {said['layer']}; the encoder has {encoder.depth} layers.")
    own = _heard(encoder)
    if other := [name for name in HEARD if said[name] != own[name]]:
        raise error(f"{what} says the {other[0]} {said[other[0]]!r}, its encoder has {own[other[0]]!r}: one was changed.")
    hidden, layers = said.get("hidden", 512), said.get("num_layers", 2)
    width = math.prod(encoder.summary_shapes([said["layer"]])[said["layer"]])
    check_size(max(width, hidden) * max(hidden, len(said["labels"])) * layers, what, error)
    return {name: value for name, value in said.items() if name not in HEARD}


def _heard(encoder: AudioEncoder) -> dict[str, Any]:
    """What the encoder's input is: the rate of its audio (Hz), and its front end, "waveform" where it has none."""
    stored = encoder.stored
    return {"sample_rate": stored["sample_rate"], "front_end": stored.get("front_end", stored["kind"])}


class _WithHead(AudioEncoder):
    """What changes of an encoder's class where it has a TaskHead: the classes."""

    task_head: TaskHead
    bare: type[AudioEncoder]
    unused_heads = OWN_HEADS

    @property
    def saved_settings(self) -> dict[str, Any]:
        """See AudioEncoder; what the family says of itself stays the family's."""
        return {**super().saved_settings, HEAD: self.task_head.settings}

    @property
    def about_extraction(self) -> dict[str, Any]:
        """See AudioEncoder."""
        return {**super().about_extraction, "family": self.family, "fine_tuned": self.task_head.task or True}

    @property
    def exclusive(self) -> bool:  # type: ignore[override]
        return self.task_head.exclusive

    @property
    def licence(self) -> str | None:
        """Of the weights that the fine-tuning began with."""
        return self.task_head.licence

    @property
    def has_classes(self) -> bool:
        return True

    @property
    def label_names(self) -> list[str]:
        return list(self.task_head.labels)

    def window_logits(self, windows: Tensor) -> Tensor:
        """Windows as `summaries` takes them -> logits [W, L]."""
        (vectors,) = self.summaries(windows, [self.task_head.layer])
        logits: Tensor = self.task_head(vectors.flatten(1))
        return logits

    def window_probabilities(self, windows: Tensor) -> Tensor:
        return self.probabilities(self.window_logits(windows))

    def probabilities(self, logits: Tensor) -> Tensor:
        """See AudioEncoder."""
        return logits.softmax(dim=-1) if self.exclusive else logits.sigmoid()

    def __reduce__(self) -> tuple[Any, ...]:  # its class is made below, and pickle would not find it
        return _empty, (self.bare,), self.__dict__


@cache
def _class_with_head(kind: type[AudioEncoder]) -> type[_WithHead]:
    about = {"bare": kind, "__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    return cast(type[_WithHead], type(kind.__name__, (_WithHead, kind), about))


def _empty(kind: type[AudioEncoder]) -> AudioEncoder:
    made = _class_with_head(kind)
    return made.__new__(made)


def head_of(network: Any) -> TaskHead | None:
    """The head that a fine-tuning gave a network; None where it has none."""
    return network.task_head if isinstance(network, _WithHead) else None


def with_head(encoder: Encoder, head: TaskHead) -> Encoder:
    """The encoder itself, changed: from now on it names the head's classes, in place of those of another such head. Its card is gone."""
    encoder = without_head(encoder)
    encoder.__class__ = _class_with_head(type(encoder))  # type: ignore[assignment]
    encoder.task_head = head.to(encoder.device, encoder.dtype).train(encoder.training)
    encoder.card = None  # the weights are not the published ones; the head says what they began with
    return encoder


def without_head(network: Encoder) -> Encoder:
    """The network itself, changed: of its family's class, without the head that a fine-tuning gave it, where it has one.

    It has no card, since its weights are no published ones; the licence of those that it began with stays.
    """
    if isinstance(network, _WithHead):
        licence = network.licence
        del network.task_head
        network.__class__ = network.bare  # type: ignore[assignment]
        network.licence_begun_with = licence
    return network
