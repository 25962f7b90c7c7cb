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
from dataclasses import dataclass, replace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from benchmarks.coverage_worlds import (
    WORLDS,
    Cell,
    fitted,
    group_of,
    heads,
    labels_of_heads,
    predicted,
    tracks,
    true_of_heads,
    true_of_training,
)
from datasets.groundtruth.groups import Groups
from helpers.evaluation.crossval import repeated_folds
from helpers.metrics.differences import compare
from helpers.metrics.intervals import Units, evidence_of, overlap_of
from helpers.metrics.scores import SystemScores
from helpers.metrics.tasks import get_task

SIZES, PREVALENCES = (40, 100, 280, 1000), (0.02, 0.05, 0.1, 0.2)
RESAMPLES = 100
DRAWS = 3
METRICS = {"multi-label": ("macro_roc", "macro_ap"), "single-label": ("accuracy",), "regression": ("r2",)}
TITLES = {"macro_roc": "ROC-AUC", "macro_ap": "AP", "accuracy": "accuracy", "r2": "R2"}


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


# ---- one data set: two systems as the suite has them
def systems(cell: Cell, rng: np.random.Generator) -> tuple[list[SystemScores], dict[str, float]] | str:
    """Two equally good systems on the same tracks, and what each metric is in truth; or why no interval can be had."""
    world = WORLDS[cell.world]
    groups = Groups(map(str, group_of(cell.world, cell.n)), "artist") if cell.grouped else None
    y, inputs = (labels_of_heads(cell, rng), None) if cell.kind == "split" else tracks(cell, rng, cell.n)
    keys, folds, factors, overlap = [str(i) for i in range(cell.n)], None, {}, 0.0
    if why := evidence_of(get_task(cell.task).metric(METRICS[cell.task][0]), y, Units(cell.n, groups)).why:
        return why
    if inputs is None:
        predictions = heads(cell, rng, y)
        truth = {name: true_of_heads(cell, name) for name in METRICS[cell.task]}
    elif cell.kind == "folds":
        stratified = y if cell.task != "regression" else np.zeros((cell.n, 1), bool)
        folds = repeated_folds(stratified, 5, 3, int(rng.integers(1 << 20)), groups)
        predictions = []
        for x in (inputs(), inputs()):
            predictions.append(np.zeros((3, *y.shape)))
            for r, f in np.ndindex(3, 5):
                train, test = (folds[r] != f) & (folds[r] != (f + 1) % 5), folds[r] == f
                predictions[-1][r, test] = predicted(cell, fitted(cell, x[train], y[train]), x[test])
        truth = true_of_training(replace(cell, n=0), 3 * cell.n // 5, 3 * cell.n // 5)
    else:
        pool, of_pool = tracks(cell, rng, world.pool)
        drawn = [rng.permutation(world.pool)[: world.few] for _ in range(DRAWS)]
        predictions = []
        for x, own in ((inputs(), of_pool()), (inputs(), of_pool())):
            predictions.append(np.stack([predicted(cell, fitted(cell, own[d], pool[d]), x) for d in drawn]))
        factors = {"draw": list(range(DRAWS))}
        overlap = overlap_of(drawn)
        truth = true_of_training(replace(cell, n=0), world.few, world.pool if cell.grouped else world.few)
    seeds, names = list(range(len(predictions[0]))), [str(i) for i in range(cell.labels)]
    made = [
        SystemScores(
            f"{i}", "test", names, keys, y, p, seeds, folds=folds, task=cell.task, warn=False, groups=groups, factors=factors,
            overlap=overlap,
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
