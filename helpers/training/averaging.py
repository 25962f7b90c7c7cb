"""A second, averaged set of weights that is validated, saved and exported beside the trained one.

SWA (arXiv 1803.05407): the plain mean of the weights at the end of epochs start, start + every, ... EMA: an exponential moving
average over the optimiser steps from epoch `start_epoch` on. Before the first average exists there is none: nothing is validated,
saved or exported in its name, so a run that ends before `start_epoch` leaves the trained weights and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from models.errors import ConfigError, WeightsError

from ._lightning import Callback, LightningModule, Trainer

Kind = Literal["swa", "ema"]


class AveragedWeights(Callback):
    """Averages the network `objective.net` of the trained module.

    start_epoch: first epoch (from 0) whose weights count. every_epochs: SWA's distance between two counted epochs. decay: EMA's,
    per optimiser step. lr: learning rate that the schedule multiplies from `start_epoch` on (none: unchanged). holds_rate: it is the rate itself to
    the end, the schedule standing still.

    `net` is the averaged network (eval mode, no gradients), None before the first average; `count` the number of weights in it.

    Raises ConfigError for settings out of their ranges.
    """

    def __init__(
        self,
        start_epoch: int = 50,
        every_epochs: int = 5,
        *,
        kind: Kind = "swa",
        decay: float = 0.999,
        lr: float | None = None,
        holds_rate: bool = False,
    ):
        if kind not in get_args(Kind):
            raise ConfigError(f"Averaging of kind '{kind}' does not exist; choose one of {', '.join(get_args(Kind))}.")
        if start_epoch < 0 or every_epochs < 1:
            raise ConfigError(
                f"Averaging starts at epoch 0 or later and acts every 1 or more; got {start_epoch} and {every_epochs}."
            )
        if not 0.0 < decay < 1.0:
            raise ConfigError(f"The decay of an exponential average is above 0 and below 1; got {decay}.")
        if lr is not None and not lr > 0:
            raise ConfigError(f"The learning rate under averaging is above 0; got {lr}.")
        if holds_rate and lr is None:
            raise ConfigError("Averaging holds a learning rate of its own: with swa_holds_rate name swa_lrs.")
        self.holds_rate = holds_rate
        self.start_epoch, self.every_epochs, self.kind, self.decay, self.lr = start_epoch, every_epochs, kind, decay, lr
        self._average: AveragedModel | None = None
        self._seen_step = 0

    @property
    def net(self) -> nn.Module | None:
        """Return the averaged network, or None as long as there is none."""
        return None if self._average is None else self._average.module

    @property
    def count(self) -> int:
        """Return how many sets of weights the average holds so far."""
        return 0 if self._average is None else int(self._average.n_averaged)

    def update(self, net: nn.Module) -> None:
        """Take the present weights of `net` into the average; the first ones are copied."""
        if self._average is None:
            self._create(net)
        assert self._average is not None
        self._average.to(next(net.parameters()).device)
        self._average.update_parameters(net)

    def _create(self, net: nn.Module) -> None:
        average = get_ema_multi_avg_fn(self.decay) if self.kind == "ema" else None
        self._average = AveragedModel(net, multi_avg_fn=average, use_buffers=True).eval().requires_grad_(False)

    # ---- Lightning's hooks
    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Update where an average is due. The last batch's hook runs before the epoch's validation: that sees the new average."""
        epoch = trainer.current_epoch
        stepped, self._seen_step = trainer.global_step > self._seen_step, trainer.global_step
        if epoch < self.start_epoch:
            return
        due = stepped if self.kind == "ema" else trainer.is_last_batch and (epoch - self.start_epoch) % self.every_epochs == 0
        if due:
            self.update(pl_module.objective.net)  # type: ignore[union-attr,arg-type]  # of LitObjective

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put a restored average on the training's device."""
        if self._average is not None:
            self._average.to(pl_module.device)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """From which step on to look; a resumed run's is known by now."""
        self._seen_step = trainer.global_step

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of the callback; the weights themselves stand in the module's state dict under "net_swa."."""
        return {"count": self.count, "kind": self.kind}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the count, after the weights were restored by `restore`. Raises ConfigError when the run was of another kind."""
        if state_dict["kind"] != self.kind and state_dict["count"]:
            raise ConfigError(
                f"The checkpoint holds a '{state_dict['kind']}' average, this run makes '{self.kind}': keep the kind."
            )
        if self._average is not None:
            self._average.n_averaged.fill_(state_dict["count"])

    def restore(self, net: nn.Module, weights: Mapping[str, Tensor]) -> None:
        """Make the average from saved weights with the names of `net`. Raises WeightsError when they do not fit it."""
        self._create(net)
        assert self._average is not None
        try:
            self._average.module.load_state_dict(dict(weights), strict=True)
        except RuntimeError as error:
            raise WeightsError(f"The checkpoint's averaged weights do not fit this network: {error}") from error
        self._average.n_averaged.fill_(torch.ones((), dtype=torch.long))
