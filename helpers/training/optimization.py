"""How weights are updated: optimiser, rate, schedule. Apart from the Lightning module, whose import takes seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from models.errors import ConfigError

from ..schedules import Schedule


@dataclass(frozen=True)
class Optimization:
    """How weights are updated.

    name: "adamw" (decoupled weight decay), "adam", "sgd" (Nesterov's momentum) or "lars" (lars.py). lr: the rate that
    `schedule`, a function of the epoch or of the update (both from 0), multiplies; none: constant. interval: "epoch" or "step".
    momentum: of sgd and lars. plateau: in place of a schedule, (factor, patience): the rate is multiplied by `factor` when val_loss has
    not fallen for more than `patience` validations. fused: Adam's steps in one pass over the weights, with other roundings than torch's default.
    """

    name: Literal["adamw", "adam", "sgd", "lars"] = "adamw"
    lr: float = 2e-5
    weight_decay: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    schedule: Schedule | None = None
    interval: Literal["epoch", "step"] = "epoch"
    momentum: float = 0.9
    plateau: tuple[float, int] | None = None
    fused: bool = False

    def __post_init__(self) -> None:
        if self.name not in ("adamw", "adam", "sgd", "lars") or self.interval not in ("epoch", "step"):
            raise ConfigError(
                f"Optimiser '{self.name}' per {self.interval} does not exist; choose adamw, adam, sgd or lars, per epoch or step."
            )
        if self.plateau is not None and self.schedule is not None:
            raise ConfigError("A learning rate follows a schedule or the validation's plateaus, not both.")
        if not self.lr > 0 or self.weight_decay < 0:
            raise ConfigError(
                f"The learning rate is above 0 and the weight decay 0 or more; got {self.lr} and {self.weight_decay}."
            )
