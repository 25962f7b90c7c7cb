"""Means over an epoch that survive a resume in its middle: sums and counts that a checkpoint can hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor


class RunningMeans:
    """Weighted means of named scalars since the last `clear`."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}  # name -> [sum of weight * value, sum of weights], float64

    def add(self, values: Mapping[str, Tensor], weight: int) -> None:
        """Count one value of each name, `weight` times."""
        for name, value in values.items():
            # on the value's device, where nothing waits for the result
            pair = torch.stack([value.detach().double().reshape(()) * weight, value.new_tensor(weight, dtype=torch.float64)])
            self._sums[name] = self._sums[name] + pair if name in self._sums else pair

    def sums(self, over_processes: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        """Return what is kept, on the CPU and summed by `over_processes`."""
        return {name: over_processes(pair).cpu() for name, pair in sorted(self._sums.items())}

    def means(self, over_processes: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """Return the means over all processes."""
        return {name: float(pair[0] / pair[1]) for name, pair in self.sums(over_processes).items()}

    def restore(self, sums: Mapping[str, Tensor], device: torch.device) -> None:
        """Go on from what `sums` gave."""
        self._sums = {name: pair.to(device) for name, pair in sums.items()}

    def clear(self) -> None:
        """Begin anew."""
        self._sums = {}
