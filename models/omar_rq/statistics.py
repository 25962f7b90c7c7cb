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

KEYS = ("mean", "std", "sr", "hop_len")


@torch.no_grad()
def feature_statistics(representations: Mapping[str, Representation], batches: Iterable[Tensor]) -> dict[str, dict[str, float]]:
    """Return {"mean", "std", "sr", "hop_len"} of each representation: the mean of the clips' means, the mean of their deviations, rate (Hz) and hop
    (samples) that they are of.

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
    return {
        name: {
            "mean": float(total[0] / clips),
            "std": float(total[1] / clips),
            "sr": representations[name].sr,
            "hop_len": representations[name].hop,
        }
        for name, total in sums.items()
    }


def read_statistics(path: str | Path) -> dict[str, dict[str, float]]:
    """Read what `feature_statistics` gave, from a json file; rate and hop may be absent.

    Raises ConfigError for a file that is absent or holds anything else.
    """
    try:
        content: Any = read_json(path)
        found = {
            str(name): {key: float(one[key]) for key in KEYS if key in one or key in KEYS[:2]} for name, one in content.items()
        }
        if not all(math.isfinite(one["mean"]) and math.isfinite(one["std"]) and one["std"] > 0 for one in found.values()):
            raise ValueError("a mean that is not finite, or a deviation that is not above 0")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ConfigError(
            f'{path} holds no statistics: {{"MelSpectrogram": {{"mean": 2.07, "std": 1.27}}}} and the like are wanted ({error!r}).'
        ) from error
    return found


def normalised(settings: Mapping[str, Any], stats: Mapping[str, Mapping[str, float]], source: str | Path) -> dict[str, Any]:
    """Return a representation's settings with measured statistics.

    settings: "name" and the representation's arguments. stats: of `read_statistics`, from the file `source`.

    Raises ConfigError where they do not hold this representation, or were measured at another rate or hop.
    """
    one = stats.get(settings["name"])
    if one is None:
        raise ConfigError(
            f"{source} has statistics of {', '.join(sorted(stats)) or 'nothing'}, none of {settings['name']}, which this network reads or predicts: "
            "measure them with the same config (compute_norm_stats)."
        )
    for key in ("sr", "hop_len"):
        if key in one and key in settings and float(settings[key]) != one[key]:
            raise ConfigError(
                f"{source}: its statistics of {settings['name']} were measured at {key} {one[key]:g}, and the network has {key} {settings[key]}: "
                "measure them with the same config (compute_norm_stats)."
            )
    return {**settings, "norm_mean": one["mean"], "norm_std": one["std"]}
