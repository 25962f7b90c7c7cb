"""Score versus the share of training labels, as CLMR reports it (arXiv 2103.09410, section 5): how few labels an encoder's vectors need.

The same validation and test tracks judge every share. A share is drawn several times, each draw by its number alone, so that all systems see the same
tracks and smaller shares lie within larger ones. Spread: over draws and seeds together; all labels have one draw.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from datasets.groundtruth.groundtruth import Groundtruth
from datasets.groundtruth.values import Values
from datasets.utils.files import atomic
from models.errors import ConfigError, GroundtruthError

from ..metrics.scores import SystemScores
from ..metrics.tasks import METRIC_NAMES
from ..probe.head_training import HeadSpec, train_heads
from ..probe.inputs import Inputs, check_tracks, read_split
from ..probe.run import ProbeSettings, Split, chosen_rates, prepare, score_test
from ..reports.figures import Figure, Line, write_page, write_pictures
from ..utils.json_values import plain
from .comparison import probe_progress, token_facts
from .sweep_report import what_was_scored


@dataclass(frozen=True)
class Point:
    """One draw of one share: tracks that were trained on, the scores of all seeds, and how many labels no track of the draw has."""

    share: float
    draw: int
    n_tracks: int
    scores: SystemScores
    unseen: int = 0


def drawn(n: int, share: float, draw: int) -> np.ndarray:
    """Numbers of the tracks of a draw, rising: at least one of n. The draws of one number lie within each other (1 % within 10 % within all)."""
    if not 0 < share <= 1:
        raise ConfigError(f"A share of the training labels is {share}; it lies above 0 and is 1 at most.")
    order = np.random.default_rng([draw, n]).permutation(n)
    return np.sort(order[: max(round(share * n), 1)])


def run_few_label(
    source: str | Path,
    truths: Mapping[str, Groundtruth | Values],
    *,
    settings: ProbeSettings,
    inputs: Inputs,
    seeds: Sequence[int] = (0, 1, 2),
    shares: Sequence[float] = (0.01, 0.1, 1.0),
    draws: int = 3,
    same_steps: bool = True,
    skip_missing: bool = False,
    data: str = "",
) -> list[Point]:
    """Probe with each share of the training tracks; points by share, then draw.

    same_steps: an epoch goes over a share as often as fits the tracks of all, so that few labels do not mean few steps.

    Raises ConfigError for shares or draws that are none, GroundtruthError or StoreError as the probe does, before training.
    """
    if not shares or len(set(shares)) != len(shares) or draws < 1:
        raise ConfigError(f"few_label wants different shares and one draw or more; got shares {list(shares)}, draws {draws}.")
    check_tracks(source, truths, inputs, skip_missing)
    labels = next(iter(truths.values())).labels
    parts = {part: read_split(part, source, truth, inputs, skip_missing, data) for part, truth in truths.items()}
    n = len(parts["train"].keys)
    wanted = [(share, draw) for share in sorted(shares) for draw in range(draws if share < 1 else 1)]
    kept = [drawn(n, share, draw) for share, draw in wanted]
    if settings.task == "multi-label" and not all(parts["train"].y[rows].any() for rows in kept):
        raise GroundtruthError(
            f"A draw of {min(shares):.2%} of {n} tracks ({min(map(len, kept))}) holds no label at all: take larger shares."
        )
    trains = [subset(parts["train"], rows) for rows in kept]
    sources = []
    for train in trains:
        made = prepare(train, parts["val"], parts["test"], labels, seeds, settings)
        repeat = max(round(n / len(train.keys)), 1) if same_steps else 1
        sources.append(replace(made, train=replace(made.train, repeat=repeat)))
    specs = [HeadSpec(int(seed), rate, i) for i in range(len(sources)) for seed in seeds for rate in settings.rates]
    with probe_progress(settings, len(seeds) * len(settings.rates), [parts["train"]] * len(sources)) as tell:
        heads = chosen_rates(train_heads(specs, sources, settings, labels, tell), settings)
    points = []
    for i, ((share, draw), train) in enumerate(zip(wanted, trains)):
        about = {
            "embeddings": str(source), **token_facts(source, inputs), "share": share, "draw": draw, "train_tracks": len(train.keys)
        }  # fmt: skip
        own = [head for head in heads if head.spec.source == i]
        name = f"{share:.4g} of the labels, draw {draw}"
        unseen = 0 if settings.task == "regression" else int((~train.y.any(axis=0)).sum())
        scores = score_test(name, own, sources[i], parts["test"], labels, settings, about).scores
        points.append(Point(share, draw, len(train.keys), scores, unseen))
    return points


def subset(split: Split, tracks: np.ndarray) -> Split:
    """Some tracks of a split, with their windows."""
    keys = [split.keys[i] for i in tracks]
    if split.track is None:
        return Split(split.name, keys, split.x[tracks], split.y[tracks])
    new = np.full(len(split.keys), -1)
    new[tracks] = np.arange(len(tracks))
    rows = np.flatnonzero(new[split.track] >= 0)
    return Split(split.name, keys, split.x[rows], split.y[tracks], new[split.track[rows]])


def _by_share(points: Sequence[Point], metric: str) -> dict[float, np.ndarray]:
    """All scores of each share, over draws and seeds."""
    return {
        share: np.concatenate([p.scores.scores(metric) for p in points if p.share == share])
        for share in dict.fromkeys(p.share for p in points)
    }


def _spread(values: np.ndarray) -> float:
    """The sd of several scores; nan of one."""
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")


def _cell(values: np.ndarray) -> str:
    """'0.912 ± 0.003', or without a spread where there is one result."""
    return f"{values.mean():.3f}" + (f" ± {_spread(values):.3f}" if len(values) > 1 else "")


def _unseen(points: Sequence[Point]) -> str:
    """Labels without a track in the draws of one share: '3-5 of 50'."""
    low, high = min(p.unseen for p in points), max(p.unseen for p in points)
    return f"{low if low == high else f'{low}-{high}'} of {len(points[0].scores.labels)}"


def _what(points: Sequence[Point], metric: str) -> str:
    """Split, classes, seeds and draws of all points."""
    return what_was_scored(points[0].scores, metric, draws=max(p.draw for p in points) + 1)


def save_points(points: Sequence[Point], folder: Path) -> None:
    """Scores and predictions of every draw, in folder/points/<share>-<draw>: what comparisons on the same tracks take."""
    for p in points:
        p.scores.save(folder / "points" / f"{p.share:g}-{p.draw}")


def saved_share(folder: Path, share: str) -> SystemScores:
    """All draws and seeds of one share, as results of one system, out of the folder of `save_points`. Raises ConfigError where there are none."""
    draws = [SystemScores.load(path, warn=False) for path in sorted((folder / "points").glob(f"{share}-*"))]
    if not draws:
        raise ConfigError(f"{folder} holds no predictions of the share {share}.")
    predictions = np.concatenate([one.predictions for one in draws])
    return replace(draws[0], predictions=predictions, seeds=list(range(len(predictions))), validation={}, history={}, windows={})


def report_few_label(points: Sequence[Point], folder: Path, title: str = "Score by share of the training labels") -> list[Path]:
    """few_label.csv and .json (a row, and a summary, per draw), .html, .png and .svg. Returns the paths."""
    first = points[0].scores
    metrics, monitor = first.asked.metrics, str(first.settings["chosen_by"])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            "share",
            "draw",
            "train_tracks",
            "labels_without_tracks",
            "seed",
            "split",
            "best_epoch",
            monitor,
            *(f"test_{m}" for m in metrics),
        ]
    )
    for p in points:
        for i, seed in enumerate(p.scores.seeds):
            values = [f"{p.scores.scores(m)[i]:.6f}" for m in metrics]
            row = [p.share, p.draw, p.n_tracks, p.unseen, seed, first.split, int(p.scores.validation["best_epoch"][i])]
            writer.writerow([*row, f"{p.scores.validation[monitor][i]:.6f}", *values])
    with atomic(folder / "few_label.csv") as part:
        part.write_text(text.getvalue())
    found = [
        {"share": p.share, "draw": p.draw, "train_tracks": p.n_tracks, "labels_without_tracks": p.unseen, **p.scores.summary()}
        for p in points
    ]
    with atomic(folder / "few_label.json") as part:
        part.write_text(json.dumps(plain({"points": found}), indent=1) + "\n")
    figures, cells = [], {}
    for name in first.asked.headline:
        cells[name] = _by_share(points, name)
        shares = [100 * share for share in cells[name]]
        values = list(cells[name].values())
        line = Line(METRIC_NAMES[name], shares, [float(v.mean()) for v in values], [_spread(v) for v in values])
        caption = f"{METRIC_NAMES[name]} by share of the training labels: {_what(points, name)}."
        figures.append(Figure([line], "training labels, %", METRIC_NAMES[name], caption, log=True))
    header = ["Labels", "Tracks", "Labels without a track", "Draws", "Seeds", *(METRIC_NAMES[name] for name in cells)]
    rows = []
    for share in next(iter(cells.values())):
        own = [p for p in points if p.share == share]
        scores = [_cell(c[share]) for c in cells.values()]
        rows.append([f"{100 * share:g} %", str(own[0].n_tracks), _unseen(own), str(len(own)), str(len(first.seeds)), *scores])
    notes = [
        f"All scores are on {_what(points, first.asked.metrics[0])}. 100 % has one draw. Validation and test tracks are the same for all.",
        "A draw is a random sample of the training tracks; draws of one number lie within each other. Labels that no track of a draw has can only "
        "be guessed: they stay in the mean.",
    ]
    lead = f"{METRIC_NAMES[metrics[0]]}: " + ", ".join(f"{row[0]} of the labels {row[5]}" for row in rows) + "."
    page = write_page(
        folder / "few_label.html", title, figures, header, rows, None, lead, notes, {**first.settings, "seeds": first.seeds}
    )
    return [page, *write_pictures(figures[0], folder, "few_label"), folder / "few_label.csv"]


def print_few_label(points: Sequence[Point], console: Console | None = None) -> None:
    """A row per share: tracks, mean ± sd over draws and seeds."""
    first = points[0].scores
    table = Table(
        title=Text(f"Shares of the training labels, {first.split}", style="bold"), title_justify="left", box=box.SIMPLE_HEAD
    )
    table.add_column("labels", justify="right")
    table.add_column("tracks", justify="right")
    table.add_column("labels without a track", justify="right")
    for name in first.asked.headline:
        table.add_column(METRIC_NAMES[name], justify="right")
    columns = [_by_share(points, name) for name in first.asked.headline]
    for share in columns[0]:
        own = [p for p in points if p.share == share]
        table.add_row(f"{100 * share:g} %", str(own[0].n_tracks), _unseen(own), *(_cell(c[share]) for c in columns))
    table.caption = Text(f"{_what(points, first.asked.metrics[0])}.", style="table.caption")
    table.caption_justify = "left"
    (console or Console()).print(table)
