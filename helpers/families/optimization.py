"""Optimiser, schedule and averaging of the section `module`, the same for every family."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from models.errors import ConfigError

from ..schedules import as_multiplier, cosine_cycle, cosine_down, exp_warmup_linear_down, tri_stage, warmup_cosine
from ..training.optimization import Optimization

if TYPE_CHECKING:
    from ..training.averaging import AveragedWeights

BY_UPDATE = ("warmup_cosine", "tri_stage")  # schedules that go by updates
LARS_SHARE = 0.3 / 256  # of the clips of a step: SimCLR's rule (arXiv 2002.05709)


class OptimizerSection(Protocol):
    """The section module.optimizer."""

    name: Any  # one of Optimization's, or auto
    lr: float | None
    adamw: bool
    weight_decay: float
    momentum: float
    schedule_mode: str
    warm_up_len: int
    ramp_down_start: int
    ramp_down_len: int
    last_lr_value: float
    plateau_factor: float
    plateau_patience: int
    warm_up_steps: int  # of warmup_cosine
    total_steps: int  # of the schedules that go by updates


class TrainerSection(Protocol):
    """What the section trainer says of the size of a step, and of the length of the training."""

    max_epochs: int
    devices: int | str
    num_nodes: int
    accumulate_grad_batches: int


class AveragingSection(Protocol):
    """What the section module says of averaged weights."""

    do_swa: bool
    swa_epoch_start: int
    swa_freq: int
    swa_lrs: float | None
    swa_holds_rate: bool
    ema_decay: float | None


def optimization(section: OptimizerSection, trainer: TrainerSection, batch_size: int) -> Optimization:
    """Return optimiser and schedule. batch_size: clips per process. Raises ConfigError for a rate that cannot be computed."""
    o, lr = section, section.lr
    if lr is None:
        if not isinstance(trainer.devices, int):
            raise ConfigError(
                "module.optimizer.lr is none: it follows the number of devices, so name trainer.devices as a number, or name a rate."
            )
        lr = LARS_SHARE * batch_size * trainer.devices * trainer.num_nodes * trainer.accumulate_grad_batches
    return Optimization(
        name=("adamw" if o.adamw else "adam") if o.name == "auto" else o.name,
        lr=lr,
        weight_decay=o.weight_decay,
        momentum=o.momentum,
        schedule=_schedule(section, trainer.max_epochs, lr),
        interval="step" if o.schedule_mode in BY_UPDATE else "epoch",
        plateau=(o.plateau_factor, o.plateau_patience) if o.schedule_mode == "plateau" else None,
    )


def _schedule(o: OptimizerSection, max_epochs: int, lr: float) -> Callable[[int], float] | None:
    """Return the multiplier of the rate lr by epoch, or by update; None: it is constant, or the plateau schedule's."""
    if o.schedule_mode == "warmup_cosine":
        floor = o.last_lr_value * lr
        try:
            return as_multiplier(warmup_cosine, lr, warmup=o.warm_up_steps, total=o.total_steps, floor=floor)
        except ValueError as error:
            raise ConfigError(f"module.optimizer.warm_up_steps and total_steps: {error}") from error
    if o.schedule_mode == "tri_stage":
        try:
            return as_multiplier(tri_stage, lr, total=o.total_steps, last_share=o.last_lr_value)
        except ValueError as error:
            raise ConfigError(f"module.optimizer.last_lr_value and total_steps: {error}") from error
    if o.schedule_mode == "exp_lin":
        return exp_warmup_linear_down(o.warm_up_len, o.ramp_down_len, o.ramp_down_start, o.last_lr_value)
    if o.schedule_mode == "cos_cyc":
        return cosine_cycle(o.warm_up_len, o.ramp_down_start, o.last_lr_value)
    return cosine_down(max_epochs) if o.schedule_mode == "cosine" else None


def averaging(section: AveragingSection) -> AveragedWeights | None:
    """Return averaged weights, or None. Raises ConfigError for a decay that would average nothing."""
    m = section
    if not m.do_swa:
        if m.ema_decay is not None:
            raise ConfigError(f"module.ema_decay={m.ema_decay} averages nothing without module.do_swa=True: set both.")
        return None
    from ..training.averaging import AveragedWeights  # here for start-up time: it imports Lightning

    if m.ema_decay is not None:
        return AveragedWeights(m.swa_epoch_start, kind="ema", decay=m.ema_decay, lr=m.swa_lrs, holds_rate=m.swa_holds_rate)
    return AveragedWeights(m.swa_epoch_start, m.swa_freq, lr=m.swa_lrs, holds_rate=m.swa_holds_rate)
