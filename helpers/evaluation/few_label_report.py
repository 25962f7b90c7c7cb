"""Scores by share of the training labels, shown: tables, the figure with its spread over draws and seeds, page and terminal table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datasets.utils.files import atomic
from datasets.utils.spreadsheet import safe_cell
from datasets.utils.terminal import Console

from ..extraction.origin import random_notes
from ..metrics.metric import Metric
from ..reports.figures import Figure, FigurePage, Line, write_page, write_pictures
from ..reports.tables import add_rows, small_table
from ..reports.wording import what_was_scored
from ..utils.json_values import plain
from .few_label import Point


def _by_share(points: Sequence[Point], metric: Metric) -> dict[float, np.ndarray]:
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


def _what(points: Sequence[Point], metric: Metric) -> str:
    """Split, classes, seeds and draws of all points."""
    return what_was_scored(points[0].scores, metric, draws=max(p.draw for p in points) + 1)


def report_few_label(points: Sequence[Point], folder: Path, title: str = "Score by share of the training labels") -> list[Path]:
    """few_label.csv and .json (a row, and a summary, per draw), .html, .png and .svg. Returns the paths."""
    table = _write_tables(points, folder)
    first = points[0].scores
    figures = [_figure(points, metric) for metric in first.spec.headline]
    header = ["Labels", "Tracks", "Labels without a track", "Draws", "Seeds", *(metric.title for metric in first.spec.headline)]
    rows = [[*row[:3], row[3], str(len(first.seeds)), *row[4:]] for row in _rows(points)]
    notes = [
        *random_notes(first.settings.get("embeddings")),
        f"All scores are on {_what(points, first.spec.main)}. 100 % has one draw. Validation and test tracks are the same for all.",
        "A draw is a random sample of the training tracks; draws of one number lie within each other. Labels that no track of a draw has can only "
        "be guessed: they stay in the mean.",
    ]
    lead = f"{first.spec.main.title}: " + ", ".join(f"{row[0]} of the labels {row[5]}" for row in rows) + "."
    content = FigurePage(title, lead, figures, header, rows, notes=notes, about={**first.settings, "seeds": first.seeds})
    return [write_page(folder / "few_label.html", content), *write_pictures(figures[0], folder, "few_label"), table]


def _write_tables(points: Sequence[Point], folder: Path) -> Path:
    """few_label.csv, whose path is returned, and few_label.json."""
    first = points[0].scores
    metrics, monitor = first.spec.metrics, str(first.settings["chosen_by"])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    header = ["share", "draw", "train_tracks", "labels_without_tracks", "seed", "split", "best_epoch", monitor]
    writer.writerow([*header, *(f"test_{metric.name}" for metric in metrics)])
    for p in points:
        for i, seed in enumerate(p.scores.seeds):
            values = [f"{p.scores.scores(metric)[i]:.6f}" for metric in metrics]
            row = [p.share, p.draw, p.n_tracks, p.unseen, seed, safe_cell(first.split), int(p.scores.validation["best_epoch"][i])]
            writer.writerow([*row, f"{p.scores.validation[monitor][i]:.6f}", *values])
    with atomic(folder / "few_label.csv") as part:
        part.write_text(text.getvalue(), encoding="utf-8", errors="surrogateescape")
    found = [
        {"share": p.share, "draw": p.draw, "train_tracks": p.n_tracks, "labels_without_tracks": p.unseen, **p.scores.summary()}
        for p in points
    ]
    with atomic(folder / "few_label.json") as part:
        part.write_text(json.dumps(plain({"points": found}), indent=1) + "\n")
    return folder / "few_label.csv"


def _figure(points: Sequence[Point], metric: Metric) -> Figure:
    cells = _by_share(points, metric)
    shares = [100 * share for share in cells]
    line = Line(metric.title, shares, [float(v.mean()) for v in cells.values()], [_spread(v) for v in cells.values()])
    caption = f"{metric.title} by share of the training labels: {_what(points, metric)}."
    return Figure([line], "training labels, %", metric.title, caption, log=True)


def _rows(points: Sequence[Point]) -> list[list[str]]:
    """Of every share: it, tracks, labels without one, draws, and each headline metric."""
    columns = [_by_share(points, metric) for metric in points[0].scores.spec.headline]
    rows = []
    for share in columns[0]:
        own = [p for p in points if p.share == share]
        scores = [_cell(column[share]) for column in columns]
        rows.append([f"{100 * share:g} %", str(own[0].n_tracks), _unseen(own), str(len(own)), *scores])
    return rows


def print_few_label(points: Sequence[Point], console: Console | None = None) -> None:
    """A row per share: tracks, mean ± sd over draws and seeds."""
    first = points[0].scores
    titles = [metric.title for metric in first.spec.headline]
    table = small_table(
        f"Shares of the training labels, {first.split}", ["labels", "tracks", "labels without a track", *titles],
        caption=f"{_what(points, first.spec.main)}.", numbers=range(3 + len(titles)),
    )  # fmt: skip
    add_rows(table, [[*row[:3], *row[4:]] for row in _rows(points)])
    (console or Console()).print(table, *random_notes(first.settings.get("embeddings")), sep="\n")
