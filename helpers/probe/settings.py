"""How a probe is trained: head, loss, optimiser, schedule, which epoch is kept. Plain values; the learning rate as a function of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from models.errors import ConfigError, nearest
from models.heads import Activation

from ..metrics.aggregation import check_aggregation
from ..metrics.tasks import TaskSettings
from ..schedules import exp_warmup_linear_down, warmup_cosine

Scheduler = Literal["exp_warmup_linear_down", "cyclic", "exponential", "plateau", "warmup_cosine", "constant"]
OptimizerName = Literal["adamw", "adam"]
Precision = Literal["32", "bf16"]
Examples = Literal["row", "random_row", "track"]
CYCLE_STEPS = 145  # steps up, and as many down, of the cyclic schedule


@dataclass(frozen=True)
class ProbeSettings(TaskSettings):
    """How a probe is trained. The defaults are MAEST's.

    hidden, num_layers, activation, dropout, input_dropout: the head (models.heads.ProbeHead); num_layers=1 is a linear probe.
    task, loss: helpers/metrics/tasks.py; loss "auto" is the task's usual one.
    optimizer: "adamw" (decoupled decay) or "adam" (decay as L2). max_lr, weight_decay: its learning rate at its highest, and its decay.
    max_epochs, batch_size: epochs; items a step (the last batch of an epoch may be smaller). max_steps: steps at which training ends, in place of
        max_epochs (the last epoch may be cut).
    scheduler: "exp_warmup_linear_down": per epoch, exponential warm-up over `warmup_epochs`, then linear down from
        `max_lr_epochs` to the share `base_lr` of max_lr at the end; "cyclic": per step, triangles between base_lr and max_lr that
        halve each cycle (145 steps up); "exponential": per epoch, linear from base_lr to max_lr over `warmup_epochs`, from
        `max_lr_epochs` on times `gamma` every epoch; "plateau": max_lr, times `gamma` whenever `plateau_monitor` has not improved for more than
        `plateau_patience` epochs; "warmup_cosine": per step, linear over `warmup_steps`, then half a cosine down to base_lr at the last step;
        "constant".
    monitor: the validation curve that picks the epoch (of its task; "auto": the usual one). keep: "best" epoch by it, or the "last".
    early_stopping: epochs without improvement of `early_monitor` after which a head's training ends; 0: never. plateau_monitor, early_monitor:
        "monitor" or a curve's name.
    lr_grid: learning rates to try in place of max_lr; each seed keeps the one that is best by the monitor.
    standardise: shift and scale the inputs by the training split's mean and sd (constant columns are left unscaled).
    examples: "row": every row of the training split is an example; "random_row": each epoch one random row (window) of every track;
        "track": every row is an example, and a step takes all rows of `batch_size` tracks.
    aggregate: how the windows of a track become one prediction (helpers/metrics/aggregation.py); "best": the way that is best on validation.
    precision: "32", or "bf16": matrix products in bfloat16 (weights, sums and the optimiser stay float32); faster where the
        processor multiplies bfloat16 itself (AVX-512 BF16, AMX) and many heads train, slower elsewhere.
    """

    hidden: int = 512
    num_layers: int = 2
    activation: Activation = "relu"
    dropout: float = 0.5
    input_dropout: float = 0.0
    max_epochs: int = 60
    batch_size: int = 128
    max_lr: float = 1e-4
    weight_decay: float = 1e-3
    scheduler: Scheduler = "exp_warmup_linear_down"
    warmup_epochs: int = 10
    max_lr_epochs: int = 10
    base_lr: float = 1e-7
    gamma: float = 0.5
    monitor: str = "auto"
    standardise: bool = False
    task: str = "multi-label"
    loss: str = "auto"
    optimizer: OptimizerName = "adamw"
    max_steps: int | None = None
    warmup_steps: int = 2000
    plateau_patience: int = 5
    plateau_monitor: str = "val_loss"
    early_stopping: int = 0
    early_monitor: str = "monitor"
    keep: Literal["best", "last"] = "best"
    lr_grid: tuple[float, ...] = ()
    examples: Examples = "row"
    aggregate: str = "mean_prob"
    precision: Precision = "32"

    def __post_init__(self) -> None:
        for name, kind in (
            ("scheduler", Scheduler),
            ("optimizer", OptimizerName),
            ("precision", Precision),
            ("examples", Examples),
            ("keep", Literal["best", "last"]),
        ):
            value, known = getattr(self, name), get_args(kind)
            if value not in known:
                raise ConfigError(f"The probe's {name} is '{value}'; choose one of {', '.join(known)}.{nearest(value, known)}")
        for name in ("max_epochs", "batch_size", "warmup_epochs", "max_steps"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ConfigError(f"The probe's {name} is {getattr(self, name)}; it must be 1 or more.")
        for name in ("early_stopping", "plateau_patience", "warmup_steps"):
            if getattr(self, name) < 0:
                raise ConfigError(f"The probe's {name} is {getattr(self, name)}; it must be 0 or more.")
        if not all(rate > 0 for rate in (self.max_lr, *self.lr_grid)) or len(set(self.lr_grid)) != len(self.lr_grid):
            raise ConfigError(
                f"Learning rates are above 0, each once in a grid; got max_lr {self.max_lr}, grid {list(self.lr_grid)}."
            )
        task = self.spec  # unknown names are refused here, not after the embeddings are read
        task.loss_name(self.loss)
        for name in (self.monitor, *(m for m in (self.plateau_monitor, self.early_monitor) if m != "monitor")):
            task.monitor(name)
        check_aggregation(self.aggregate, self.loss_name)

    @property
    def monitor_name(self) -> str:
        """The curve that is meant."""
        return self.spec.monitor(self.monitor)

    def curve(self, name: str) -> str:
        """A curve's name; "monitor" is the one that picks the epoch."""
        return self.monitor_name if name == "monitor" else self.spec.monitor(name)

    @property
    def rates(self) -> tuple[float, ...]:
        """The learning rates that are tried."""
        return self.lr_grid or (self.max_lr,)

    @property
    def head(self) -> dict[str, Any]:
        """The settings that are the head's own."""
        return {name: getattr(self, name) for name in ("hidden", "num_layers", "activation", "dropout", "input_dropout")}

    def epochs(self, steps_per_epoch: int) -> int:
        """How many epochs are begun."""
        return self.max_epochs if self.max_steps is None else -(-self.max_steps // steps_per_epoch)

    def total_steps(self, steps_per_epoch: int) -> int:
        """How many steps are taken, when nothing stops the training early."""
        return self.max_epochs * steps_per_epoch if self.max_steps is None else self.max_steps

    def learning_rate(self, total_steps: int | None = None) -> Callable[[int, int], float]:
        """The learning rate as a function of (epoch, step), both from 0; the step counts over the whole training, of `total_steps`.

        "plateau" and "constant" begin at max_lr; what a plateau takes off depends on the validation.
        """
        if self.scheduler in ("plateau", "constant"):
            return lambda epoch, step: self.max_lr
        if self.scheduler == "exp_warmup_linear_down":
            rampdown = max(self.max_epochs - self.max_lr_epochs, 1)
            factor = exp_warmup_linear_down(self.warmup_epochs, rampdown, self.max_lr_epochs, self.base_lr)
            return lambda epoch, step: self.max_lr * factor(epoch)
        if self.scheduler == "warmup_cosine":
            total = total_steps or self.max_steps
            if total is None or total <= self.warmup_steps:
                raise ConfigError(
                    f"A probe of {total} steps leaves none behind a warm-up of {self.warmup_steps}: train longer (trainer.max_steps or "
                    "max_epochs), or lower optimizer.warmup_steps."
                )
            return lambda epoch, step: warmup_cosine(step, self.warmup_steps, total, self.max_lr, self.base_lr)
        if self.scheduler == "exponential":
            held = max(self.max_lr_epochs, self.warmup_epochs)
            span = self.max_lr - self.base_lr
            return lambda epoch, step: (
                self.base_lr + span * min(epoch / self.warmup_epochs, 1.0)
                if epoch <= held
                else self.max_lr * self.gamma ** (epoch - held)
            )

        def cyclic(epoch: int, step: int) -> float:
            cycle, within = divmod(step, 2 * CYCLE_STEPS)
            up = 1 - abs(within / CYCLE_STEPS - 1)
            return self.base_lr + (self.max_lr - self.base_lr) * up * 0.5**cycle

        return cyclic
