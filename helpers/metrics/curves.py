"""The curves that a training logs, in words: "val_loss_swa" is the validation's loss of the averaged weights."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .tasks import TASKS

STAGES = {"train": "training", "val": "validation"}
AVERAGED = "_swa"
# quantities that objectives log beside the tasks' metrics, and the scale that they share
QUANTITIES = {"loss": ("loss", "loss"), "accuracy": ("accuracy", "score")}


@dataclass(frozen=True)
class Curve:
    """name: in history.json. title: in words. scale: curves of one scale share a chart: "loss" or "score"."""

    name: str
    title: str
    scale: str


def read_curve(name: str) -> Curve | None:
    """What a curve's name says; None for what is not shown as a curve (counts of classes, learning rates)."""
    found = re.fullmatch(r"(train|val)_(\w+?)(_swa)?", name)
    if found is None:
        return None
    stage, quantity, averaged = found[1], found[2], ", averaged weights" if found[3] else ""
    if quantity in QUANTITIES:
        words, scale = QUANTITIES[quantity]
        joint = " " if quantity == "loss" else ", "
        return Curve(name, f"{STAGES[stage]}{joint}{words}{averaged}", scale)
    for task in TASKS.values():
        metric = task.curves.get(f"{stage}_{quantity}")
        if metric is not None and metric.curve in task.fit_curves:
            return Curve(name, f"{STAGES[stage]} {metric.short_title}{averaged}", "score")
    return None
