"""How scores are put into words and numbers, alike on every page and on the terminal."""

from __future__ import annotations

import math
import platform
from collections.abc import Sequence
from importlib import metadata

from ..metrics.differences import Difference
from ..metrics.intervals import TOO_FEW_TRACKS
from ..metrics.metric import Metric
from ..metrics.scores import SystemScores

RANDOM = "RANDOM"  # in place of the name of weights that nothing was learned with
RANDOM_WEIGHTS = f"{RANDOM} weights: these numbers say nothing about the music."
RANDOM_EMBEDDINGS = f"{RANDOM} weights gave these embeddings: the scores are a baseline, nothing else."
OTHERS = {
    "draw": "with as many other training tracks",
    "network": "with other pre-trainings",
}  # what intervals are widened by
PACKAGES = ("torch", "timm", "pytorch-lightning", "numpy", "scikit-learn", "sacred")


def spread(system: SystemScores, metric: str | Metric) -> str:
    """'0.912 ± 0.003', or without a spread where there is one result."""
    mean, sd = system.mean(metric), system.sd(metric)
    return f"{mean:.3f}" if math.isnan(sd) else f"{mean:.3f} ± {sd:.3f}"


def interval(system: SystemScores, metric: str | Metric) -> str:
    """'0.905 to 0.918': the 95 % interval, or why there is none."""
    low, high = system.interval(metric)
    return no_interval(system, metric) if math.isnan(low) else f"{low:.3f} to {high:.3f}"


def no_interval(system: SystemScores, metric: str | Metric) -> str:
    """Why there is no interval: 'too few positives'."""
    return system.evidence(metric).why or TOO_FEW_TRACKS


def difference(found: Difference) -> str:
    """'+0.012 to +0.031': the 95 % interval of a difference, or why there is none."""
    low, high = found.interval
    return found.why if math.isnan(low) else f"{low:+.3f} to {high:+.3f}"


def taken_by(system: SystemScores) -> str:
    """What intervals draw: 'by artist (23)', or that tracks are taken as independent."""
    if system.group_name:
        return f"by {system.group_name} ({system.units.n})"
    return "tracks taken as independent, since no artist or other group of theirs is known"


def intervals_are(systems: Sequence[SystemScores]) -> str:
    """What the intervals of a table are of, and what they draw."""
    first = systems[0]
    factors = {name for one in systems for name in one.factors}
    more = " and ".join(OTHERS[name] for name in OTHERS if name in factors)
    if first.folds is not None:
        of = "the score expected of the procedure, trained and tested on other tracks of the kind"
    else:
        of = f"the score on endlessly many tracks of the kind, {more or 'heads and networks as they are'}"
    return f"95 % intervals: of {of}; {taken_by(first)}"


def runs(system: SystemScores) -> str:
    """How many results the mean is over."""
    return "exact" if system.settings.get("deterministic") else str(len(system.seeds))


def over(systems: Sequence[SystemScores]) -> str:
    """What several results of a system differ in."""
    return "seeds" if systems[0].folds is None else "repetitions"


def counted_outputs(system: SystemScores) -> str:
    """How many outputs the task's headline metrics are over, in the task's words; "" where it has none."""
    if system.spec.remark is None:
        return ""
    return system.spec.remark({metric.name: system.n_classes(metric) for metric in system.spec.headline}, len(system.labels))


def what_was_scored(system: SystemScores, metric: str | Metric, draws: int = 0) -> str:
    """Split, outputs, seeds: what every figure says of its numbers. draws: most samples of the training tracks that one number is over."""
    chosen, (noun, nouns) = system.spec.metric(metric), system.spec.nouns
    n = len(system.labels)
    if chosen.outputs and not system.spec.one_class:
        outputs = f"mean over {system.n_classes(chosen)} of {n} {nouns}"
    else:
        outputs = f"{n} {noun if n == 1 else nouns}"
    results = [f"{n} {what}{'' if n == 1 else 's'}" for n, what in ((len(system.seeds), "seed"), (draws, "draw")) if n]
    of = "mean and standard deviation over" if len(system.seeds) > 1 or draws > 1 else "of"
    return f"{system.split}, {len(system.keys)} tracks, {outputs}; {of} {' and '.join(results)}"


def versions() -> dict[str, str]:
    """Python, machine and the versions of the packages that decide numbers."""
    found = {"python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}"}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found
