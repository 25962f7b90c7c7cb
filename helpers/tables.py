"""Score tables for the terminal: every score with its spread, split and number of classes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .report import METRICS, runs, spread
from .scores import SystemScores


def score_table(systems: Sequence[SystemScores], intervals: bool = True) -> Table:
    """One row per system: macro ROC-AUC and AP as mean ± sd over seeds, bootstrap interval over tracks, classes used, seeds."""
    first = systems[0]
    title = Text(f"{first.split}: {len(first.keys)} tracks, {len(first.labels)} labels")
    table = Table(title=title, title_justify="left")
    table.add_column("system")
    for name in METRICS.values():
        table.add_column(f"macro {name}", justify="right")
        if intervals:
            table.add_column("95 % interval", justify="right")
    table.add_column("classes", justify="right")
    table.add_column("seeds", justify="right")
    best = {metric: max(s.mean(metric) for s in systems) for metric in METRICS}
    for s in systems:
        cells = [Text(s.name)]  # Text: a name in brackets is no markup
        for metric in METRICS:
            stressed = s.mean(metric) == best[metric] and len(systems) > 1
            cells.append(Text(spread(s, metric), style="bold" if stressed else ""))
            if intervals:
                low, high = s.interval(metric)
                cells.append(Text(f"{low:.3f} to {high:.3f}"))
        table.add_row(*cells, f"{s.n_classes('macro_roc')} / {s.n_classes('macro_ap')}", runs(s))
    table.caption = "mean ± sd over seeds; intervals: bootstrap over tracks; classes: in the mean of ROC-AUC / AP"
    return table


def label_table(systems: Sequence[SystemScores], metric: str = "class_roc") -> Table:
    """One row per label: tracks that have it, and its score by each system (mean over seeds); '-' where it is undefined."""
    first = systems[0]
    name = {"class_roc": "ROC-AUC", "class_ap": "AP"}[metric]
    table = Table(title=Text(f"{name} per label on {first.split}"), title_justify="left")
    table.add_column("label")
    table.add_column("tracks", justify="right")
    scores = [s.scores(metric).mean(axis=0) for s in systems]
    for s in systems:
        table.add_column(Text(s.name), justify="right")
    for i in np.argsort(-np.nan_to_num(scores[0], nan=-1.0), kind="stable"):
        cells = ["-" if math.isnan(score[i]) else f"{score[i]:.3f}" for score in scores]
        table.add_row(Text(first.labels[i]), str(int(first.targets[:, i].sum())), *cells)
    return table


def print_scores(systems: Sequence[SystemScores], console: Console | None = None, per_label: bool = False) -> None:
    """Print the score table, and with `per_label` the labels' too."""
    console = console or Console()
    console.print(score_table(systems))
    if per_label:
        console.print(label_table(systems))
