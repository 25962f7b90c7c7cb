"""Score tables for the terminal: every score with its spread, split and number of classes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .report import METRICS, over, runs, spread
from .scores import SystemScores


def score_table(systems: Sequence[SystemScores], intervals: bool = True) -> Table:
    """One row per system: macro ROC-AUC and AP as mean ± sd over seeds, bootstrap interval over tracks, seeds. 80 columns wide."""
    first = systems[0]
    title = Text(f"{first.split}: {len(first.keys)} tracks, {len(first.labels)} labels", style="bold")
    table = Table(
        title=title, title_justify="left", caption_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )
    table.add_column("system", overflow="fold", min_width=14)
    for name in METRICS.values():
        table.add_column(f"macro {name}", justify="right", no_wrap=True)
        if intervals:
            table.add_column("95 %", justify="right", no_wrap=True)
    table.add_column(over(systems), justify="right")
    best = {metric: max(s.mean(metric) for s in systems) for metric in METRICS}
    for s in systems:
        cells = [Text(s.name)]  # Text: a name in brackets is no markup
        for metric in METRICS:
            stressed = s.mean(metric) == best[metric] and len(systems) > 1
            cells.append(Text(spread(s, metric), style="bold" if stressed else ""))
            if intervals:
                low, high = s.interval(metric)
                cells.append(Text(f"{low:.3f}-{high:.3f}"))
        table.add_row(*cells, runs(s))
    table.caption = (
        f"Means over {first.n_classes('macro_roc')} (ROC-AUC) and {first.n_classes('macro_ap')} (AP) of {len(first.labels)} labels; "
        f"mean ± sd over {over(systems)}; 95 %: bootstrap over tracks."
    )
    return table


def label_table(systems: Sequence[SystemScores], metric: str = "class_roc") -> Table:
    """One row per label: tracks that have it, and its score by each system (mean over seeds or repetitions); '-' where it is undefined."""
    first = systems[0]
    name = {"class_roc": "ROC-AUC", "class_ap": "AP"}[metric]
    table = Table(title=Text(f"{name} per label on {first.split}"), title_justify="left", box=box.SIMPLE_HEAD)
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
