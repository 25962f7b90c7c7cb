"""LARS: stochastic gradient descent whose rate is scaled layer by layer (You, Gitman, Ginsburg 2017, arXiv 1708.03888)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch


class Lars(torch.optim.Optimizer):
    """v = momentum v + lr * trust * (gradient + weight_decay w), w = w - v, where trust = trust_coefficient |w| / |gradient + weight_decay w|.

    A group that says adapt=False is updated with trust 1. Layers whose weights or gradients are all 0 too.

    lr, weight_decay, momentum: the optimiser's; a group may have its own.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        weight_decay: float = 1e-6,
        momentum: float = 0.9,
        trust_coefficient: float = 0.001,
    ):
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "trust_coefficient": trust_coefficient,
            "adapt": True,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of all parameters that have a gradient. Returns what `closure` returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                update = p.grad.add(p, alpha=group["weight_decay"])
                if group["adapt"]:
                    weight, size = p.norm(), update.norm()
                    trust = torch.where(
                        (weight > 0) & (size > 0), group["trust_coefficient"] * weight / size, torch.ones_like(size)
                    )
                    update = update * trust
                state = self.state[p]
                if "velocity" not in state:
                    state["velocity"] = torch.zeros_like(p)
                state["velocity"].mul_(group["momentum"]).add_(update, alpha=group["lr"])
                p.sub_(state["velocity"])
        return loss


def lars_groups(groups: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each group in two: matrices and kernels as they are; biases and norms (one axis or none) without weight decay and without adaptation."""
    out = []
    for group in groups:
        params = list(group["params"])
        out.append({**group, "params": [p for p in params if p.ndim > 1]})
        out.append({**group, "params": [p for p in params if p.ndim <= 1], "weight_decay": 0.0, "adapt": False})
    return [group for group in out if group["params"]]
