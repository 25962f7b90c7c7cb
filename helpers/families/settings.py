"""Settings that all families share: sections of configs/schema_ssl.py to what `fit` takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.errors import ConfigError

from ..schedules import cosine_down
from ..training.averaging import AveragedWeights
from ..training.lightning_module import Optimization

LARS_SHARE = 0.3 / 256  # of the clips of a step: SimCLR's rule (arXiv 2002.05709)


def optimization(optimizer: Mapping[str, Any], trainer: Mapping[str, Any], batch_size: int) -> Optimization:
    """Optimiser and schedule. batch_size: clips per process. Raises ConfigError for a rate that cannot be computed."""
    o, lr = optimizer, optimizer["lr"]
    if lr is None:
        if not isinstance(trainer["devices"], int):
            raise ConfigError(
                "optimizer.lr is none: it follows the number of devices, so name trainer.devices as a number, or name a rate."
            )
        lr = LARS_SHARE * batch_size * trainer["devices"] * trainer["num_nodes"] * trainer["accumulate_grad_batches"]
    return Optimization(
        name=o["name"],
        lr=lr,
        weight_decay=o["weight_decay"],
        momentum=o["momentum"],
        schedule=cosine_down(trainer["max_epochs"]) if o["schedule"] == "cosine" else None,
        plateau=(o["plateau_factor"], o["plateau_patience"]) if o["schedule"] == "plateau" else None,
    )


def averaging(section: Mapping[str, Any]) -> AveragedWeights | None:
    """Averaged weights, or none."""
    if section["ema_decay"] is None:
        return None
    return AveragedWeights(section["start_epoch"], kind="ema", decay=section["ema_decay"])
