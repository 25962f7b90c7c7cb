"""What a probe may be asked: tags, one class, a key, numbers. Each task has a module that registers it with its losses, checks and metrics.

Conventions: N items, L outputs. Targets are bool [N, L] (one True per row where an item has one class) or float [N, L] for numbers.
Predictions are what the outputs become: probabilities (sigmoid for tags, softmax for classes), or the outputs themselves for numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.errors import ConfigError, nearest

from .frames import FrameRules
from .metric import Metric, Predictions, mean_of_outputs

LOSS_CURVE = "val_loss"  # every task has it

Check = Callable[[np.ndarray, Sequence[str], Sequence[str]], None]  # targets [N, L], N keys, L labels


def accept(targets: np.ndarray, keys: Sequence[str], labels: Sequence[str]) -> None:
    """The check of a task that can use any targets."""


@dataclass(frozen=True)
class Task:
    """A kind of target.

    name: as in data.task. losses: that it may be trained with, the usual one first. nouns: what an output is called, one and several.
    one_class: an item has exactly one class. numeric: targets are numbers.
    check: raises GroundtruthError for targets that it cannot use. monitors: names of `optimizer.monitor` that stand for a curve.
    fit_curves: the validation curves that a training of a whole network logs (beside val_loss).
    log_undefined: logs which outputs have no score. remark: what tables say of its metrics, of (outputs that count, all outputs).
    probabilities: whether its metrics go by the probabilities themselves, and not by their order alone.
    frames: of a task whose targets are in time: how annotations become targets of frames (frames.py).
    """

    name: str
    losses: tuple[str, ...]
    nouns: tuple[str, str] = ("label", "labels")
    one_class: bool = False
    numeric: bool = False
    check: Check = accept
    monitors: Mapping[str, str] = field(default_factory=dict)
    fit_curves: tuple[str, ...] = ()
    log_undefined: Callable[[Predictions], None] | None = None
    remark: Callable[[Mapping[str, int], int], str] | None = None
    frames: FrameRules | None = None
    probabilities: bool = False
    _metrics: dict[str, Metric] = field(default_factory=dict)
    _outputs: dict[str, Metric] = field(default_factory=dict)

    # ---- metrics
    def register(self, metric: Metric) -> Metric:
        """Give the task one more metric. Raises ValueError for a name, or a name of scores per output, that it has."""
        taken = {name for one in self.metrics for name in (one.name, one.outputs, one.curve) if name}
        if doubled := taken & {metric.name, metric.outputs, metric.curve}:
            raise ValueError(f"The task {self.name} has {', '.join(sorted(doubled))} already.")
        self._metrics[metric.name] = metric
        return metric

    def register_outputs(self, metric: Metric) -> Metric:
        """Give the task a metric's scores per output alone, without their mean."""
        self._outputs[metric.outputs] = metric
        return metric

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """All of them, in the order of their registration."""
        return tuple(self._metrics.values())

    @property
    def headline(self) -> tuple[Metric, ...]:
        """Those that tables show."""
        return tuple(metric for metric in self.metrics if metric.headline)

    @property
    def main(self) -> Metric:
        """The one that systems are ordered by: the first that tables show."""
        return self.headline[0]

    @property
    def per_output(self) -> tuple[Metric, ...]:
        """Those with a score per output."""
        return (*(metric for metric in self.metrics if metric.outputs), *self._outputs.values())

    def metric(self, name: str | Metric | None = None) -> Metric:
        """A metric by its name; none: the main one. Raises ConfigError for one that the task does not have."""
        if name is None:
            return self.main
        if isinstance(name, Metric):
            return name
        if name not in self._metrics:
            raise ConfigError(
                f"The score '{name}' is not one of {self.name}: {', '.join(self._metrics)}.{nearest(name, self._metrics)}"
            )
        return self._metrics[name]

    def score(self, data: Predictions) -> dict[str, float]:
        """All metrics by name."""
        return {metric.name: mean_of_outputs(metric.score(data)) for metric in self.metrics}

    # ---- validation curves
    @property
    def curves(self) -> dict[str, Metric]:
        """Validation curve -> the metric that it shows."""
        return {metric.curve: metric for metric in self.metrics if metric.curve}

    def validate(self, data: Predictions) -> dict[str, float]:
        """The next value of every validation curve."""
        return {curve: mean_of_outputs(metric.score(data)) for curve, metric in self.curves.items()}

    def sign(self, curve: str) -> float:
        """1 where a higher value of the curve is better, else -1."""
        return self.curves[curve].sign if curve in self.curves else -1.0

    def curve_title(self, curve: str) -> str:
        """What a curve is of: a metric's title, or the loss."""
        return self.curves[curve].title if curve in self.curves else "loss"

    # ---- how it is trained
    def monitor(self, asked: str) -> str:
        """The curve that picks the epoch; "auto" is the main metric's. Raises ConfigError for one that the task does not have."""
        known = (*self.curves, LOSS_CURVE)
        chosen = self.monitors.get(asked, known[0]) if asked in _known_monitors() else asked
        if chosen not in known:
            raise ConfigError(f"The probe's monitor is '{asked}'; {self.name} has {', '.join(known)}.{nearest(asked, known)}")
        return chosen

    def loss_name(self, asked: str) -> str:
        """The loss; "auto" is the task's usual one. Raises ConfigError for one that does not suit it."""
        if asked == "auto":
            return self.losses[0]
        if asked not in self.losses:
            raise ConfigError(f"The probe's loss is '{asked}'; {self.name} is trained with {' or '.join(self.losses)}.")
        return asked


TASKS: dict[str, Task] = {}


def register_task(task: Task) -> Task:
    """Make a task known by its name."""
    TASKS[task.name] = task
    return task


def _known_monitors() -> set[str]:
    return {"auto", *(name for task in TASKS.values() for name in task.monitors)}


def get_task(name: str) -> Task:
    """A task by name. Raises ConfigError for an unknown one."""
    if name not in TASKS:
        raise ConfigError(f"There is no task '{name}'; choose one of {', '.join(TASKS)}.{nearest(name, TASKS)}")
    return TASKS[name]


class TaskSettings:
    """Base of settings dataclasses that have the fields `task` and `loss`, by name."""

    task: str
    loss: str

    @property
    def spec(self) -> Task:
        """The task with its metrics. Raises ConfigError for an unknown one."""
        return get_task(self.task)

    @property
    def loss_name(self) -> str:
        """The loss that is minimised: "auto" is the task's usual one."""
        return self.spec.loss_name(self.loss)


def score(
    task: str, targets: np.ndarray, predictions: np.ndarray, labels: Sequence[str] = (), warn: bool = True
) -> dict[str, Any]:
    """All scores of a task, by name: its metrics as numbers, those per output as [L] (NaN where undefined).

    labels: names of the L outputs, which the keys' score needs. warn: log which outputs have none.
    """
    asked, data = get_task(task), Predictions(targets, predictions, labels)
    if warn and asked.log_undefined is not None:
        asked.log_undefined(data)
    return asked.score(data) | {metric.outputs: np.asarray(metric.score(data)) for metric in asked.per_output}


def metric_title(name: str, default: str = "") -> str:
    """A metric's title by its name, whatever task it is of; `default` for an unknown one."""
    found = [metric for task in TASKS.values() for metric in task.metrics if metric.name == name]
    return found[0].title if found else default or name
