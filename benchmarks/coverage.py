"""How often do the suite's intervals hold the truth? Simulated tracks, heads and trainings whose true scores are known; seeded.

    python -m benchmarks.coverage                 # all of it: under ten minutes on two cores; prints the tables of docs/intervals.md
    python -m benchmarks.coverage --world 2       # in another world (coverage_worlds.py), which nothing was chosen by
    python -m benchmarks.coverage --only folds --sets 100

Kinds: `split` (fixed heads, scored on other tracks), `folds` (five-fold cross-validation, three times, of ridge regression), `few` (three
draws of few training tracks). Of each: the share of data sets whose 95 % interval holds the truth, and, of two systems that are equally good
in truth, the share in which the paired difference is found to differ from 0. With groups, the tracks of one share most of their labels and of
what is heard.
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
from itertools import groupby

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
RESAMPLES = 200
DRAWS = 3
KINDS = ("split", "folds", "few")
HELD, FALSE = (0.92, 0.98), (0.02, 0.08)  # bands
METRICS = {"multi-label": ("macro_roc", "macro_ap"), "single-label": ("accuracy",), "regression": ("r2",)}
TITLES = {"macro_roc": "ROC-AUC", "macro_ap": "AP", "accuracy": "accuracy", "r2": "R2"}


@dataclass(frozen=True)
class Found:
    """Of one metric: data sets that were drawn, those with an interval, the shares of their intervals that hold the truth and of false differences,
    and the mean width.
    """

    cell: Cell
    metric: str
    sets: int
    given: int
    held: float
    false: float
    width: float

    @property
    def counts(self) -> bool:
        """Whether most data sets have an interval: where few do, those with more positives than is usual were chosen, which score higher."""
        return self.given > self.sets / 2

    @property
    def inside(self) -> tuple[bool, bool]:
        """Whether the two shares lie within the bands."""
        return HELD[0] <= self.held <= HELD[1], FALSE[0] <= self.false <= FALSE[1]


def cells() -> Iterator[Cell]:
    """Every line, in the order of the table."""
    for kind in KINDS:
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
    """As many data sets of one line as have an interval; fewer where most have none."""
    cell, sets = job
    rng = np.random.default_rng(zlib.crc32(repr(cell).encode()))
    counts = {name: np.zeros(4) for name in METRICS[cell.task]}  # intervals, those that hold the truth, false differences, widths
    drawn = given = 0
    while given < sets and drawn < 4 * sets and (drawn < sets or given >= sets / 10):
        drawn += 1
        made = systems(cell, rng)
        if isinstance(made, str):
            continue
        (one, other), truth = made
        given += 1
        for name, count in counts.items():
            for low, high in (each.interval(name, n_resamples=RESAMPLES) for each in (one, other)):
                if not math.isnan(low):
                    count += (1, low <= truth[name] <= high, 0, high - low)
            count[2] += abs((apart := compare(one, other, name, n_resamples=RESAMPLES)).mean) > apart.interval[1] - apart.mean
    return [
        Found(cell, name, drawn, given, held / max(n, 1), false / max(given, 1), width / max(n, 1))
        for name, (n, held, false, width) in counts.items()
    ]


# ---- the tables
def shown(found: Found) -> str:
    """'95.2 4.8': both shares in percent; in brackets where few data sets have an interval, '*' where a share lies outside of its band."""
    if found.given < found.sets / 10:
        return "–"
    both = f"{100 * found.held:.1f} {100 * found.false:.1f}"
    return (both + ("" if all(found.inside) else "*")) if found.counts else f"({both})"


def table(found: list[Found]) -> str:
    """The tables of one kind."""
    of = {(one.cell.task, one.metric, one.cell.labels, one.cell.grouped, one.cell.n, one.cell.prevalence): one for one in found}
    sizes = sorted({one.cell.n for one in found})
    lines = [_row("", *(f"{n} tracks" for n in sizes)), _row(*["---"] * (1 + len(sizes)))]
    for task, metric, labels in (("single-label", "accuracy", 4), ("regression", "r2", 1)):
        for grouped in (False, True):
            each = [of.get((task, metric, labels, grouped, n, 0.0)) for n in sizes]
            lines.append(_row(TITLES[metric] + (", by group" if grouped else ""), *(shown(one) if one else "" for one in each)))
    ranked = [(metric, prevalence) for metric in METRICS["multi-label"] for prevalence in PREVALENCES]
    lines += ["", _row("labels", "tracks", *(f"{TITLES[metric]} {prevalence:g}" for metric, prevalence in ranked))]
    lines.append(_row(*["---"] * (2 + len(ranked))))
    for labels, grouped in sorted({(one.cell.labels, one.cell.grouped) for one in found if one.cell.task == "multi-label"}):
        for n in sizes:
            each = [of.get(("multi-label", metric, labels, grouped, n, prevalence)) for metric, prevalence in ranked]
            texts = [shown(one) if one else "" for one in each]
            if set(texts) != {"–"}:
                lines.append(_row(f"{labels}{', by group' if grouped else ''}", n, *texts))
    return "\n".join(lines)


def _row(*texts: object) -> str:
    return f"| {' | '.join(map(str, texts))} |"


def summary(kind: str, found: list[Found]) -> str:
    """How one kind's lines are, in a sentence."""
    lines = [one for one in found if one.counts]
    held, false = ([getattr(one, name) for one in lines] for name in ("held", "false"))
    inside = [sum(one.inside[i] for one in lines) for i in range(2)]
    return (
        f"`{kind}`: the truth is held in {np.mean(held):.3f} (lines {min(held):.3f} to {max(held):.3f}; {inside[0]} of {len(lines)} in .92-.98), "
        f"false differences {np.mean(false):.3f} (lines {min(false):.3f} to {max(false):.3f}; {inside[1]} of {len(lines)} in .02-.08)."
    )


def widths(found: list[Found]) -> str:
    """Mean widths of a split's intervals, by tracks."""
    lines = [one for one in found if one.cell.labels != 1 or one.cell.task != "multi-label"]
    names = dict.fromkeys(
        (one.metric, one.cell.prevalence) for one in sorted(lines, key=lambda one: (one.metric, one.cell.prevalence))
    )
    rows = [
        _row("tracks", *(f"{TITLES[metric]}{f' {p:g}' if p else ''}" for metric, p in names)),
        _row(*["---"] * (1 + len(names))),
    ]
    for grouped in (False, True):
        for n in sorted({one.cell.n for one in lines}):
            own = {(one.metric, one.cell.prevalence): one for one in lines if (one.cell.n, one.cell.grouped) == (n, grouped)}
            texts = [f"{own[name].width:.2f}" if name in own and own[name].counts else "–" for name in names]
            rows.append(_row(f"{n}{', by group' if grouped else ''}", *texts))
    return "\n".join(rows)


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=250, help="data sets of each line")
    parser.add_argument("--world", type=int, default=1, choices=WORLDS, help="which simulation")
    parser.add_argument("--only", default="", choices=("", *KINDS), help="one kind; none: all")
    parser.add_argument("--task", default="", choices=("", *METRICS), help="one task; none: all")
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES, help="numbers of tracks")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    args = parser.parse_args()
    began = time.monotonic()
    jobs = [
        (replace(cell, world=args.world), args.sets)
        for cell in cells()
        if args.only in ("", cell.kind) and args.task in ("", cell.task) and cell.n in args.sizes
    ]
    with ProcessPoolExecutor(args.jobs) as pool:
        for kind, each in groupby(zip(jobs, pool.map(measure, jobs)), key=lambda pair: pair[0][0].kind):
            found = [one for _, lines in each for one in lines]
            print(f"{table(found)}\n\n{summary(kind, found)}\n", flush=True)
            if kind == "split":
                print(f"{widths(found)}\n")
    cpu = sum(resource.getrusage(who).ru_utime for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(f"World {args.world}, {args.sets} data sets a line; {time.monotonic() - began:.0f} s, {cpu:.0f} s of processors.")


if __name__ == "__main__":
    main()
