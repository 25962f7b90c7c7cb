"""How often do the suite's intervals hold the truth? Simulated tracks, heads and trainings whose true scores are known; seeded.

    python -m benchmarks.coverage                 # all of it: under ten minutes on two cores; prints the table of docs/intervals.md
    python -m benchmarks.coverage --only folds --sets 100

Kinds: `split` (fixed heads, scored on other tracks), `folds` (five-fold cross-validation, three times, of ridge regression), `few` (three
draws of few training tracks). Of each: the share of data sets whose 95 % interval holds the truth, and, of two systems that are equally good
in truth, the share in which the paired difference is found to differ from 0. With groups, five tracks of one share most of their labels and
of what is heard.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.integrate import quad
from scipy.stats import norm

from datasets.groundtruth.groups import Groups
from helpers.evaluation.crossval import repeated_folds
from helpers.metrics.differences import compare
from helpers.metrics.metric import Predictions, mean_of_outputs
from helpers.metrics.scores import SystemScores
from helpers.metrics.tasks import get_task

SIZES, PREVALENCES = (40, 100, 280, 1000), (0.02, 0.05, 0.1, 0.2)
RESAMPLES, GROUP = 100, 5
APART = 1.2  # sd between the scores of tracks with a label and without it
SHARED = 0.5  # of the variance that the tracks of a group share
INPUTS, RIDGE, POOL, DRAWS = 24, 10.0, 40, 3
METRICS = {"multi-label": ("macro_roc", "macro_ap"), "single-label": ("accuracy",), "regression": ("r2",)}
TITLES = {"macro_roc": "ROC-AUC", "macro_ap": "AP", "accuracy": "accuracy", "r2": "R2"}


@dataclass(frozen=True)
class Cell:
    """One line of the table: kind of interval, task, tracks, prevalence of each label, labels, whether tracks are grouped."""

    kind: str
    task: str
    n: int
    prevalence: float = 0.0
    labels: int = 1
    grouped: bool = False

    @property
    def seed(self) -> int:
        """Its own."""
        return zlib.crc32(repr(self).encode())


@dataclass(frozen=True)
class Found:
    """Of one metric: data sets, those with an interval, how many of these hold the truth, and false differences."""

    cell: Cell
    metric: str
    sets: int
    given: int
    held: int
    false: int
    width: float
    why: str


def cells() -> Iterator[Cell]:
    """Every line, in the order of the table."""
    for kind in ("split", "folds", "few"):
        for grouped in (False, True):
            for n in SIZES:
                for task, labels in (("single-label", 4), ("regression", 1)):
                    yield Cell(kind, task, n, 0.0, labels, grouped)
                for labels in (1, 5) if kind == "split" else (2,):
                    for prevalence in PREVALENCES:
                        yield Cell(kind, "multi-label", n, prevalence, labels, grouped)


# ---- what is drawn
def shared_noise(rng: np.random.Generator, shape: tuple[int, ...], grouped: bool) -> np.ndarray:
    """Normal numbers [n, ...]; of groups a share of the variance is the group's."""
    own = rng.standard_normal(shape)
    if not grouped:
        return own
    whose = np.arange(shape[0]) // GROUP
    return math.sqrt(SHARED) * rng.standard_normal((whose[-1] + 1, *shape[1:]))[whose] + math.sqrt(1 - SHARED) * own


def heads(cell: Cell, rng: np.random.Generator) -> tuple[np.ndarray, list[np.ndarray]]:
    """Targets, and the predictions [1, N, L] of two fixed heads that are equally good and make partly the same mistakes."""
    n, L = cell.n, cell.labels
    if cell.task == "multi-label":
        y = shared_noise(rng, (n, L), cell.grouped) < norm.ppf(cell.prevalence)
        common = shared_noise(rng, (n, 1), cell.grouped)
        pair = [math.sqrt(0.3) * common + math.sqrt(0.7) * shared_noise(rng, (n, L), cell.grouped) for _ in range(2)]
        return y, [1 / (1 + np.exp(-(APART * y + noise)))[None] for noise in pair]
    if cell.task == "single-label":
        y = np.eye(L, dtype=bool)[rng.integers(L, size=n)]
        common = shared_noise(rng, (n,), cell.grouped)
        right = [math.sqrt(0.5) * (common + shared_noise(rng, (n,), cell.grouped)) < norm.ppf(0.7) for _ in range(2)]
        return y, [np.where(one[:, None], y, np.roll(y, 1, axis=1)).astype(np.float64)[None] for one in right]
    y, common = shared_noise(rng, (n, L), cell.grouped), shared_noise(rng, (n, L), cell.grouped)
    return y, [y[None] + 0.8 * math.sqrt(0.5) * (common + shared_noise(rng, (n, L), cell.grouped))[None] for _ in range(2)]


@lru_cache(maxsize=64)
def true_of_heads(cell: Cell, metric: str) -> float:
    """What the heads score on endlessly many tracks."""
    if metric == "macro_roc":
        return float(norm.cdf(APART / math.sqrt(2)))
    if metric == "macro_ap":
        p = cell.prevalence

        def precision(score: float) -> float:
            with_label = p * norm.sf(score - APART)
            return float(norm.pdf(score - APART) * with_label / (with_label + (1 - p) * norm.sf(score)))

        return float(quad(precision, -8, 8 + APART)[0])
    return 0.7 if metric == "accuracy" else 1 - 0.8**2


def tracks(cell: Cell, rng: np.random.Generator, n: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Targets [n, L] and the inputs [n, D] that two equally good networks make of the same tracks; the world itself never changes."""
    rules = np.random.default_rng(5).standard_normal((INPUTS, cell.labels)) / math.sqrt(INPUTS)
    heard = shared_noise(rng, (n, INPUTS), cell.grouped)
    latent = heard @ rules / np.linalg.norm(rules, axis=0) + 0.5 * shared_noise(rng, (n, cell.labels), cell.grouped)
    inputs = [heard + 0.7 * shared_noise(rng, (n, INPUTS), cell.grouped) for _ in range(2)]
    if cell.task == "multi-label":
        return latent > norm.isf(cell.prevalence) * math.sqrt(1.25), inputs
    if cell.task == "single-label":
        return np.eye(cell.labels, dtype=bool)[latent.argmax(axis=1)], inputs
    return latent, inputs


def trained(x: np.ndarray, y: np.ndarray, new: np.ndarray, task: str) -> np.ndarray:
    """What ridge regression learns from x, y and says of `new`, [n, L]."""
    mean, target = x.mean(axis=0), y.astype(np.float64)
    x = x - mean
    found = (new - mean) @ np.linalg.solve(x.T @ x + RIDGE * np.eye(INPUTS), x.T @ (target - target.mean(axis=0)))
    found += target.mean(axis=0)
    return found if task == "regression" else 1 / (1 + np.exp(-4 * found))


@lru_cache(maxsize=16)
def true_of_training(cell: Cell, n_train: int) -> dict[str, float]:
    """The mean score, on very many tracks, of 150 trainings on tracks of their own."""
    rng = np.random.default_rng(99)
    y, (x, _) = tracks(cell, rng, 8000)
    found: list[dict[str, float]] = []
    for _ in range(150):
        own, (inputs, _) = tracks(cell, rng, n_train)
        data = Predictions(y, trained(inputs, own, x, cell.task))
        found.append({name: mean_of_outputs(get_task(cell.task).metric(name).score(data)) for name in METRICS[cell.task]})
    return {name: float(np.mean([one[name] for one in found])) for name in METRICS[cell.task]}


# ---- one data set: two systems as the suite has them
def systems(cell: Cell, rng: np.random.Generator) -> tuple[list[SystemScores], dict[str, float]]:
    """Two equally good systems on the same tracks, and what each metric is in truth."""
    groups = Groups([str(i // GROUP) for i in range(cell.n)], "artist") if cell.grouped else None
    keys, folds, factors = [str(i) for i in range(cell.n)], None, {}
    if cell.kind == "split":
        y, predictions = heads(cell, rng)
        truth = {name: true_of_heads(cell, name) for name in METRICS[cell.task]}
    elif cell.kind == "folds":
        y, inputs = tracks(cell, rng, cell.n)
        folds = repeated_folds(
            y if cell.task != "regression" else np.zeros((cell.n, 1), bool), 5, 3, int(rng.integers(1 << 20)), groups
        )
        predictions = [np.zeros((3, *y.shape)) for _ in inputs]
        for r, f in np.ndindex(3, 5):
            train, test = (folds[r] != f) & (folds[r] != (f + 1) % 5), folds[r] == f
            for out, x in zip(predictions, inputs):
                out[r, test] = trained(x[train], y[train], x[test], cell.task)
        truth = true_of_training(cell, 3 * cell.n // 5)
    else:
        y, inputs = tracks(cell, rng, cell.n)
        pool, pools = tracks(cell, rng, 10 * POOL)
        drawn = [rng.permutation(len(pool))[:POOL] for _ in range(DRAWS)]
        predictions = [np.stack([trained(own[d], pool[d], x, cell.task) for d in drawn]) for x, own in zip(inputs, pools)]
        factors = {"draw": list(range(DRAWS))}
        truth = true_of_training(Cell("few", cell.task, 0, cell.prevalence, cell.labels, False), POOL)
    seeds, names = list(range(len(predictions[0]))), [str(i) for i in range(cell.labels)]
    made = [
        SystemScores(
            f"{i}", "test", names, keys, y, p, seeds, folds=folds, task=cell.task, warn=False, groups=groups, factors=factors
        )
        for i, p in enumerate(predictions)
    ]  # fmt: skip
    return made, truth


def measure(job: tuple[Cell, int]) -> list[Found]:
    """Many data sets of one line."""
    cell, sets = job
    rng, out = np.random.default_rng(cell.seed), []
    counts = {name: np.zeros(3, int) for name in METRICS[cell.task]}
    widths, whys = dict.fromkeys(counts, 0.0), dict.fromkeys(counts, "")
    for _ in range(sets):
        (one, other), truth = systems(cell, rng)
        for name, count in counts.items():
            if why := one.evidence(name).why:
                whys[name] = why
                continue
            low, high = one.interval(name, n_resamples=RESAMPLES)
            if math.isnan(low):
                continue
            apart = compare(one, other, name, n_resamples=RESAMPLES).interval
            count += (1, low <= truth[name] <= high, not apart[0] <= 0 <= apart[1])
            widths[name] += high - low
    for name, (given, held, false) in counts.items():
        out.append(Found(cell, name, sets, int(given), int(held), int(false), widths[name] / max(given, 1), whys[name]))
    return out


# ---- the table
def line(found: Found) -> str:
    """As a row of the table."""
    cell = found.cell
    what = f"{cell.labels} labels of {cell.prevalence:g}" if cell.task == "multi-label" else ""
    head = f"| {cell.kind} | {TITLES[found.metric]} | {cell.n} | {what.replace('1 labels', 'a label')} | {'by group' if cell.grouped else ''} |"
    if found.given < found.sets / 10:
        return f"{head} {found.why} | | | |"
    held, false = found.held / found.given, found.false / found.given
    some = "" if found.given == found.sets else f"{1 - found.given / found.sets:.0%} {found.why}"
    mark = "" if 0.92 <= held <= 0.98 and 0.02 <= false <= 0.08 else " *"
    return f"{head} {some} | {held:.3f} | {false:.3f} | {found.width:.3f}{mark} |"


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=250, help="data sets of each line")
    parser.add_argument("--only", default="", help="split, folds or few; none: all")
    parser.add_argument("--task", default="", help="multi-label, single-label or regression; none: all")
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES, help="numbers of tracks")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    began = time.monotonic()
    jobs = [
        (c, args.sets) for c in cells() if c.kind.startswith(args.only) and c.task.startswith(args.task) and c.n in args.sizes
    ]
    print(
        "| kind | score | tracks | labels | | no interval | holds the truth | false differences | width |\n|---|---|---|---|---|---|---|---|---|"
    )
    found: list[Found] = []
    with ProcessPoolExecutor(args.jobs) as pool:
        for each in pool.map(measure, jobs):
            found += each
            print(*map(line, each), sep="\n", flush=True)
    given = [one for one in found if one.given >= one.sets / 10]
    held = [one.held / one.given for one in given]
    false = [one.false / one.given for one in given]
    cpu = sum(resource.getrusage(who).ru_utime for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    inside = [sum(low <= x <= high for x in xs) for xs, low, high in ((held, 0.92, 0.98), (false, 0.02, 0.08))]
    print(f"\n{args.sets} data sets a line; {time.monotonic() - began:.0f} s, {cpu:.0f} s of processors.")
    print(f"Truth held in {np.mean(held):.3f} (lines {min(held):.3f} to {max(held):.3f}; {inside[0]} of {len(held)} in .92-.98).")
    print(
        f"False differences in {np.mean(false):.3f} (lines {min(false):.3f} to {max(false):.3f}; {inside[1]} of {len(false)} in .02-.08)."
    )


if __name__ == "__main__":
    main()
