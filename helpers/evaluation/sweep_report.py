"""What a sweep found, shown: the paper's figure (block on x, score on y, a line per kind of token, with spread), page and terminal table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from models.errors import ConfigError, nearest

from ..metrics.scores import SystemScores
from ..metrics.tasks import METRIC_NAMES
from ..reports.figures import Figure, Line, write_page, write_pictures
from ..reports.report import spread
from .sweep import VECTORS, Cell, best_by_validation

TOKEN_NAMES = {"c": "CLS", "d": "DIST", "t": "mean of the others"}


def kind_name(types: str) -> str:
    """'c' -> 'CLS', 'cdt' -> 'CLS + DIST + mean of the others'; of a network without tokens 'vectors'."""
    if types == VECTORS:
        return types
    return " + ".join(TOKEN_NAMES[letter] for letter in "cdt" if letter in types)


def known_metric(scores: SystemScores, metric: str | None) -> str:
    """The score that is asked for; none: the task's first. Raises ConfigError for one that the task does not have."""
    known = scores.asked.metrics
    if metric is None:
        return known[0]
    if metric not in known:
        raise ConfigError(f"The score '{metric}' is not one of {scores.task}: {', '.join(known)}.{nearest(metric, known)}")
    return metric


def what_was_scored(scores: SystemScores, metric: str, draws: int = 0) -> str:
    """Split, classes, seeds: what every figure says of its numbers. draws: most samples of the training tracks that one number is over."""
    if scores.task == "regression":
        over = f"{scores.n_classes()} values"
    elif metric.startswith("macro"):
        over = f"mean over {scores.n_classes(metric)} of {len(scores.labels)} labels"
    else:
        over = f"{len(scores.labels)} {'classes' if scores.asked.one_class else 'labels'}"
    runs = [f"{n} {what}{'' if n == 1 else 's'}" for n, what in ((len(scores.seeds), "seed"), (draws, "draw")) if n]
    of = "mean and standard deviation over" if len(scores.seeds) > 1 or draws > 1 else "of"
    return f"{scores.split}, {len(scores.keys)} tracks, {over}; {of} {' and '.join(runs)}"


def report_sweep(cells: Sequence[Cell], folder: Path, title: str, metric: str | None = None) -> list[Path]:
    """sweep.html, sweep.png and sweep.svg in `folder`. Raises ConfigError for a score that the task does not have."""
    first = cells[0].scores
    metrics = list(dict.fromkeys([known_metric(first, metric), *first.asked.headline]))[:2]
    kinds = list(dict.fromkeys(cell.types for cell in cells))
    figures = []
    for name in metrics:
        lines = []
        for kind in kinds:
            own = [cell for cell in cells if cell.types == kind]
            means, sds = [c.scores.mean(name) for c in own], [c.scores.sd(name) for c in own]
            lines.append(Line(kind_name(kind), [c.block for c in own], means, [0.0 if np.isnan(sd) else sd for sd in sds]))
        label = METRIC_NAMES[name]
        figures.append(Figure(lines, "block (0-based)", label, f"{label} by block: {what_was_scored(first, name)}."))
    best = best_by_validation(cells)
    header = ["Block", "Tokens", f"validation ({best.monitor})", *(METRIC_NAMES[name] for name in metrics)]
    rows = [
        [str(c.block), kind_name(c.types), f"{c.validation:.3f}", *(spread(c.scores, name) for name in metrics)] for c in cells
    ]
    lead = (
        f"Chosen on validation: block {best.block}, {kind_name(best.types)}: {METRIC_NAMES[metrics[0]]} {spread(best.scores, metrics[0])} on "
        f"{first.split}."
    )
    notes = [
        f"All scores are on {what_was_scored(first, metrics[0])}.",
        "Every block and kind of token had the same probe; each head's epoch was chosen on validation, its test tracks were scored once. The best "
        "point of a figure of test scores is chosen on the test; the sentence above is not.",
        "A block is counted from 0, so block 7 is the eighth. The bars are what a new random start of the probe changes, not what other tracks "
        "or another pre-training would.",
    ]
    page = write_page(
        folder / "sweep.html",
        title,
        figures,
        header,
        rows,
        list(cells).index(best),
        lead,
        notes,
        {**first.settings, "seeds": first.seeds},
    )
    return [page, *write_pictures(figures[0], folder, "sweep")]


def print_sweep(cells: Sequence[Cell], metric: str | None = None, console: Console | None = None) -> None:
    """Blocks down, kinds of tokens across: mean ± sd of the test score; the one that validation chooses in bold."""
    first, best = cells[0].scores, best_by_validation(cells)
    metric = known_metric(first, metric)
    kinds = list(dict.fromkeys(cell.types for cell in cells))
    table = Table(
        title=Text(f"{METRIC_NAMES[metric]} on {first.split}", style="bold"),
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("block", justify="right")
    for kind in kinds:
        table.add_column(kind_name(kind), justify="right")
    of = {(c.block, c.types): c for c in cells}
    for block in dict.fromkeys(c.block for c in cells):
        row = [of[block, kind] for kind in kinds]
        table.add_row(str(block), *(Text(spread(c.scores, metric), style="bold" if c is best else "") for c in row))
    table.caption = Text(
        f"{what_was_scored(first, metric)}. Bold: what validation ({best.monitor}) chooses: block {best.block}, {kind_name(best.types)}.",
        style="table.caption",
    )
    (console or Console()).print(table)
