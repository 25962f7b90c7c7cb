"""The one Lightning module: it trains any objective (models/objective.py) and owns optimiser, schedule, logging and metrics.

Names in its checkpoints: "net.*" the trained network, "net_swa.*" the averaged one once there is one, other names what else the
objective keeps. Beside Lightning's own state they hold what an exact continuation needs: the running means of the epoch, the random
generators' states, and what the run was about ("experiment").

Logged: train_loss (epoch mean), train_loss_step, lr, further training scalars as train_NAME; val_loss and further scalars of the
objective's `summarise` as val_NAME; where the objective gives scores, val_ap and val_roc (macro, degenerate classes left out) with
val_ap_classes and val_roc_classes, the number of classes in them. "_cls" and "_dist" stand behind the scores of a student's heads,
each by itself (without: of the mean of both), "_swa" behind everything that the averaged weights reached. The test logs the same as
test_*, and per track test_track_ap, test_track_roc from the mean of the windows' probabilities weighted by their valid frames.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.errors import ConfigError, WeightsError
from models.objective import Objective
from models.randomness import Randomness
from models.weights.checkpoints import AVERAGED, SETTINGS

from ..metrics.aggregation import track_means
from ..metrics.tagging import TAGGING, tagging_scores
from ._lightning import pl
from .averaging import AveragedWeights
from .checkpointing import validated
from .finite import check_loss, check_reported, check_weights
from .lars import Lars, lars_groups
from .optimization import Optimization
from .resume import PRECISION
from .rng_state import get_rng_state, set_rng_state
from .running_means import RunningMeans

log = logging.getLogger(__name__)

_IDENTITY = ("index", "window")
EXPERIMENT = "experiment"  # entry of a checkpoint: what a run must have in common with it to continue it
# a validation of which nothing is done yet, as Lightning's loops write it down
_BEGUN = {"ready": 1, "started": 1, "processed": 0, "completed": 0}
_NONE = dict.fromkeys(_BEGUN, 0)


class LitObjective(pl.LightningModule):
    """Trains `objective` as `optimization` says, with `averaging` beside it where given; random numbers come from `seed`.

    experiment: what a run that continues this one's checkpoints must have in common with it. computed_in: its precision. Both are kept in them.
    """

    def __init__(
        self,
        objective: Objective,
        optimization: Optimization | None = None,
        *,
        seed: int = 0,
        averaging: AveragedWeights | None = None,
        experiment: Mapping[str, Any] | None = None,
        computed_in: str | None = None,
    ) -> None:
        super().__init__()
        self.objective, self.optimization = objective, optimization or Optimization()
        self.seed, self.experiment, self.computed_in = seed, dict(experiment or {}), computed_in
        self.averaging = averaging  # a callback, not a module: its weights are neither optimised nor synchronised
        self._running = RunningMeans()
        self._train_means: tuple[int, dict[str, float]] = (-1, {})  # of an epoch
        self._restored: Mapping[str, Any] | None = None
        self._follower: torch.optim.lr_scheduler.ReduceLROnPlateau | None = None
        if averaging is not None and averaging.lr is not None and self.optimization.interval == "step":
            raise ConfigError("A learning rate for the averaging epochs needs a schedule per epoch: set swa_lrs to none.")
        self.results: dict[str, dict[str, Any]] = {}  # per stage and set of scores: what tagging_scores gave, class by class
        self.histograms: dict[str, np.ndarray] = {}  # of the last validation or test, by name
        self._collected: dict[str, list[dict[str, Tensor]]] = {}
        self._warned = False

    # ---- training
    def configure_optimizers(self) -> Any:
        """Return the optimiser over the objective's groups, and its schedule."""
        o = self.optimization
        groups = self.objective.param_groups()
        common: dict[str, Any] = {"lr": o.lr, "weight_decay": o.weight_decay}
        if o.name == "lars":
            optimizer: torch.optim.Optimizer = Lars(lars_groups(groups), momentum=o.momentum, **common)
        elif o.name == "sgd":
            optimizer = torch.optim.SGD(groups, momentum=o.momentum, nesterov=o.momentum > 0, **common)
        else:
            maker = torch.optim.AdamW if o.name == "adamw" else torch.optim.Adam
            optimizer = maker(groups, betas=o.betas, eps=o.eps, fused=o.fused or None, **common)
        if o.plateau:
            self._follower = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=o.plateau[0], patience=o.plateau[1])
            return optimizer
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, self.multiplier)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": o.interval}}

    def multiplier(self, at: int) -> float:
        """Multiplier of the learning rate at epoch (or update) `at`; under averaging it multiplies the averaging's own rate, or that rate holds."""
        a, o = self.averaging, self.optimization
        multiplier = o.schedule(at) if o.schedule else 1.0
        if a is None or a.lr is None or at < a.start_epoch:
            return multiplier
        return a.lr / o.lr * (1.0 if a.holds_rate else multiplier)

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor:
        """One batch's loss. Raises FloatingPointError, naming the batch's tracks, when it is NaN or infinite."""
        out = self.objective.training_step(batch, Randomness(self.seed, self.current_epoch, self.global_step))
        loss = out["loss"]
        check_loss(loss, batch, self.current_epoch, batch_idx)
        size = len(batch["index"])
        self._running.add(out, size)
        share, mean = self._together(loss.detach(), size)
        self.log("train_loss_step", mean, on_step=True, on_epoch=False, prog_bar=True)
        self.log("lr", self.trainer.optimizers[0].param_groups[0]["lr"], on_step=True, on_epoch=False)
        return loss * share

    def _together(self, loss: Tensor, size: int) -> tuple[Tensor | float, Tensor]:
        """Return (share, mean): what this process's mean loss over `size` items weighs in the mean over all processes' gradients, and the

        mean loss over all items of the step. An epoch's last batch may be shared out unevenly; every item shall count the same.
        """
        if self.trainer.world_size == 1:
            return 1.0, loss
        total = torch.stack([loss * size, loss.new_tensor(size)])
        torch.distributed.all_reduce(total)  # Lightning's own reduction waits at a barrier first
        return size * self.trainer.world_size / total[1], total[0] / total[1]

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """As Lightning's; the objective is told that the optimiser has stepped."""
        super().optimizer_step(*args, **kwargs)
        self.objective.after_optimizer_step(self.global_step + 1)

    def on_train_epoch_start(self) -> None:
        """Begin the epoch's means (not called where a run continues within an epoch)."""
        self._running.clear()

    def train_means(self) -> dict[str, float]:
        """train_NAME -> mean over the present epoch so far, over all processes; all of them must ask."""
        if self._train_means[0] != self.current_epoch:
            means = self._running.means(self._summed)
            self._train_means = self.current_epoch, {f"train_{name}": value for name, value in means.items()}
        return self._train_means[1]

    def on_train_epoch_end(self) -> None:
        """Log the means, for whoever monitors them, and let the rate follow the validation: before the checkpoints (Lightning itself: after)."""
        for name, value in self.train_means().items():
            self.log(name, value, sync_dist=True)
        if self._follower is not None and validated(self.trainer):
            self._follower.step(float(self.trainer.callback_metrics["val_loss"]))

    def _summed(self, own: Tensor) -> Tensor:
        return self.trainer.strategy.reduce(own.clone(), reduce_op="sum")

    # ---- validation and test
    def validation_step(self, batch: Mapping[str, Any], batch_idx: int) -> None:
        """Collects what the objective says about the batch, by trained and by averaged weights."""
        self._collect(batch)

    test_step = validation_step

    def _collect(self, batch: Mapping[str, Any]) -> None:
        nets = {"": None, "_swa": self.averaging.net if self.averaging else None}
        for suffix, net in nets.items():
            if suffix and net is None:
                continue
            out = self.objective.validate(batch, net)
            self._collected.setdefault(suffix, []).append({k: v.detach().cpu() for k, v in out.items()})

    def on_validation_epoch_end(self) -> None:
        """Scores the collected windows and logs them."""
        self._report("val")

    def on_test_epoch_end(self) -> None:
        """Scores the collected windows, and the tracks they make up, and logs them."""
        self._report("test")

    def _report(self, stage: str) -> None:
        collected, self._collected = self._collected, {}
        if self.trainer.sanity_checking:
            return
        for suffix, parts in collected.items():
            whole = self._gathered({k: torch.cat([p[k] for p in parts]) for k in parts[0]})
            named = {f"{stage}_{name}": value for name, value in self.objective.summarise(whole).items()}
            self.histograms |= {f"{stage}_{name}{suffix}": n for name, n in self.objective.histograms(whole).items()}
            check_reported(named, whole, suffix, self.current_epoch)
            for key in sorted(k for k in whole if k.startswith("scores")):
                named |= self._scored(whole, key, stage, suffix)
            for name, value in named.items():
                self.log(
                    f"{name}{suffix}",
                    value,
                    on_epoch=True,
                    prog_bar=not suffix and name.endswith(("_ap", "_loss")),
                    sync_dist=True,
                )

    def _scored(self, whole: dict[str, np.ndarray], key: str, stage: str, suffix: str) -> dict[str, float]:
        """Named macro scores of one set of scores [N, L], per window and, in the test, per track."""
        kind, named = key.removeprefix("scores"), {}
        sets = {"": (whole["targets"] > 0.5, whole[key])}
        if stage == "test":
            first = np.unique(whole["index"], return_index=True)[1]
            sets["track_"] = (whole["targets"][first] > 0.5, track_means(whole[key], whole["index"], whole["valid"])[1])
        for unit, (targets, scores) in sets.items():
            found = tagging_scores(targets, scores, warn=not self._warned)
            self._warned = True  # the classes do not change from epoch to epoch
            self.results[f"{stage}_{unit}scores{kind}{suffix}"] = found
            for metric in (TAGGING.curves[curve] for curve in reversed(TAGGING.fit_curves)):
                named[f"{stage}_{unit}{metric.log_name}{kind}"] = found[metric.name]
                if not kind:
                    named[f"{stage}_{unit}{metric.log_name}_classes"] = float(found[f"n_{metric.log_name}"])
        return named

    def _gathered(self, own: dict[str, Tensor]) -> dict[str, np.ndarray]:
        """Return the windows of all processes, each (index, window) once, in that order.

        Samplers may repeat some to even out the processes; a repeat may say valid 0, and is counted nowhere.
        """
        whole = {k: self._all(v).float().numpy() if v.is_floating_point() else self._all(v).numpy() for k, v in own.items()}
        counted = whole["valid"] > 0
        whole = {k: v[counted] for k, v in whole.items()}
        identity = np.stack([whole[k] for k in _IDENTITY], axis=1)
        once = np.unique(identity, axis=0, return_index=True)[1]
        return {k: v[once] for k, v in whole.items()}

    def _all(self, own: Tensor) -> Tensor:
        """Rows of all processes, whose numbers of rows may differ."""
        if self.trainer.world_size == 1:
            return own
        own = own.to(self.device)
        counts = self._gather(torch.tensor(len(own), device=self.device)).flatten().tolist()
        padded = nn.functional.pad(own, [0, 0] * (own.ndim - 1) + [0, max(counts) - len(own)])
        parts = self._gather(padded)
        return torch.cat([part[:n] for part, n in zip(parts, counts)]).cpu()

    def _gather(self, own: Tensor) -> Tensor:
        """Return [processes, ...]: a tensor of every process, all of one shape."""
        gathered = self.all_gather(own)
        assert isinstance(gathered, Tensor)
        return gathered

    # ---- checkpoints
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Beside the weights: what the network was built with, so that its classes and their names are known to who loads it, and what an
        exact continuation needs. Raises FloatingPointError for weights that are not finite: they shall not replace good ones.
        """
        check_weights(self.objective.named_parameters(), self.global_step)
        checkpoint[SETTINGS] = dict(getattr(self.objective.net, "saved_settings", {}))
        checkpoint |= {EXPERIMENT: self.experiment, PRECISION: self.computed_in}
        checkpoint["running"] = self._running.sums(self._summed)
        checkpoint["plateau"] = {} if self._follower is None else self._follower.state_dict()
        rng = get_rng_state(self.device)
        if self.trainer.world_size > 1:
            rng = {name: self._gather(state.to(self.device)).cpu() for name, state in rng.items()}
        else:
            rng = {name: state[None] for name, state in rng.items()}
        checkpoint["rng"] = rng  # [processes, ...]
        if self.trainer.validating:  # its windows so far are not kept: the run that continues validates from the first one
            progress = {"total": dict(_BEGUN), "current": dict(_NONE), "is_last_batch": False}
            checkpoint["loops"]["fit_loop"]["epoch_loop.val_loop.batch_progress"] = progress

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what is restored when training starts."""
        self._restored = {name: checkpoint.get(name, {}) for name in ("running", "plateau", "rng")}

    def on_train_start(self) -> None:
        """Restore means and random generators, last of all: what is before this may draw."""
        found, self._restored = self._restored, None
        if found is None:
            return
        if self.trainer.is_global_zero:  # the sums are those of all processes
            self._running.restore(found["running"], self.device)
        else:
            self._running.restore({name: torch.zeros_like(pair) for name, pair in found["running"].items()}, self.device)
        if self._follower is not None and found["plateau"]:
            self._follower.load_state_dict(found["plateau"])
        if found["rng"] and len(found["rng"]["torch"]) == self.trainer.world_size:
            set_rng_state({name: states[self.global_rank] for name, states in found["rng"].items()}, self.device)

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """The objective's own names, without what it rebuilds from elsewhere, and the averaged network's under "net_swa."."""
        if args or kwargs:  # torch's own traversal of submodules (destination, prefix)
            return super().state_dict(*args, **kwargs)
        left_out = tuple(f"{name}." for name in self.objective.unsaved_modules)
        state = {k: v for k, v in self.objective.state_dict().items() if not k.startswith(left_out)}
        if self.averaging is not None and self.averaging.net is not None:
            state |= {f"{AVERAGED}{k}": v for k, v in self.averaging.net.state_dict().items()}
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """The reverse of `state_dict`; names must fit exactly. Raises WeightsError naming those that do not."""
        averaged = {k.removeprefix(AVERAGED): v for k, v in state_dict.items() if k.startswith(AVERAGED)}
        own = {k: v for k, v in state_dict.items() if not k.startswith(AVERAGED)}
        left_out = tuple(f"{name}." for name in self.objective.unsaved_modules)
        kept = {k: v for k, v in self.objective.state_dict().items() if k.startswith(left_out)}
        try:
            found = self.objective.load_state_dict({**kept, **own}, strict=strict, assign=assign)
        except RuntimeError as error:
            raise WeightsError(f"The checkpoint does not fit this experiment: {error}") from error
        if averaged and self.averaging is not None:
            self.averaging.restore(self.objective.net, averaged)
        elif averaged:
            log.warning("The checkpoint holds averaged weights, and this run does not average: they are left out.")
        return found
