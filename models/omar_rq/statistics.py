"""Mean and deviation that normalise a representation, measured on one's own audio in the published way."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..bounded_files import read_json
from ..errors import ConfigError
from .representations import Representation


@torch.no_grad()
def feature_statistics(representations: Mapping[str, Representation], batches: Iterable[Tensor]) -> dict[str, dict[str, float]]:
    """Return {"mean", "std"} of each representation: the mean of the clips' means, and the mean of their deviations.

    representations: by name, as they are normalised now; the statistics are those before that. batches: audio [B, N] at their rate.

    Raises ConfigError for no batches.
    """
    sums = {name: torch.zeros(2, dtype=torch.float64) for name in representations}
    clips = 0
    for wave in batches:
        clips += len(wave)
        for name, one in representations.items():
            values = one.features(wave.float(), None).flatten(1).double()
            sums[name] += torch.stack([values.mean(1).sum(), values.std(1).sum()]).cpu()
    if not clips:
        raise ConfigError("There is no audio to measure.")
    return {name: {"mean": float(total[0] / clips), "std": float(total[1] / clips)} for name, total in sums.items()}


def read_statistics(path: str | Path) -> dict[str, dict[str, float]]:
    """Read what `feature_statistics` gave, from a json file. Raises ConfigError for a file that is absent or holds anything else."""
    try:
        content: Any = read_json(path)
        found = {str(name): {key: float(one[key]) for key in ("mean", "std")} for name, one in content.items()}
        if not all(math.isfinite(one["mean"]) and math.isfinite(one["std"]) and one["std"] > 0 for one in found.values()):
            raise ValueError("a mean that is not finite, or a deviation that is not above 0")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ConfigError(
            f'{path} holds no statistics: {{"MelSpectrogram": {{"mean": 2.07, "std": 1.27}}}} and the like are wanted ({error!r}).'
        ) from error
    return found
