"""What a sweep found, shown: the paper's figure (block on x, score on y, a line per kind of token, with spread), page and terminal table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datasets.utils.terminal import Console, Text

from ..extraction.origin import random_notes
from ..reports.figures import Figure, FigurePage, Line, write_page, write_pictures
from ..reports.tables import small_table
from ..reports.wording import spread, what_was_scored
from .sweep import VECTORS, Cell, best_by_validation

TOKEN_NAMES = {"c": "CLS", "d": "DIST", "t": "mean of the others"}


def kind_name(types: str) -> str:
    """'c' -> 'CLS', 'cdt' -> 'CLS + DIST + mean of the others'; of a network without tokens 'vectors'."""
    if types == VECTORS:
        return types
    return " + ".join(TOKEN_NAMES[letter] for letter in "cdt" if letter in types)


def report_sweep(cells: Sequence[Cell], folder: Path, title: str, metric: str | None = None) -> list[Path]:
    """sweep.html, sweep.png and sweep.svg in `folder`. Raises ConfigError for a score that the task does not have."""
    first = cells[0].scores
    metrics = list(dict.fromkeys([first.spec.metric(metric), *first.spec.headline]))
    kinds = list(dict.fromkeys(cell.types for cell in cells))
    figures = []
    for one in metrics:
        lines = []
        for kind in kinds:
            own = [cell for cell in cells if cell.types == kind]
            means, sds = [c.scores.mean(one) for c in own], [c.scores.sd(one) for c in own]
            lines.append(Line(kind_name(kind), [c.block for c in own], means, [0.0 if np.isnan(sd) else sd for sd in sds]))
        figures.append(Figure(lines, "block (0-based)", one.title, f"{one.title} by block: {what_was_scored(first, one)}."))
    best = best_by_validation(cells)
    header = ["Block", "Tokens", f"validation ({best.monitor})", *(one.title for one in metrics)]
    rows = [[str(c.block), kind_name(c.types), f"{c.validation:.3f}", *(spread(c.scores, one) for one in metrics)] for c in cells]
    lead = (
        f"Chosen on validation: block {best.block}, {kind_name(best.types)}: {metrics[0].title} {spread(best.scores, metrics[0])} on "
        f"{first.split}."
    )
    notes = [
        *random_notes(first.settings.get("embeddings")),
        f"All scores are on {what_was_scored(first, metrics[0])}.",
        "Every block and kind of token had the same probe; each head's epoch was chosen on validation, its test tracks were scored once. The best "
        "point of a figure of test scores is chosen on the test; the sentence above is not.",
        "A block is counted from 0, so block 7 is the eighth. The bars are what a new random start of the probe changes, not what other tracks "
        "or another pre-training would.",
    ]
    content = FigurePage(
        title,
        lead,
        figures,
        header,
        rows,
        best=list(cells).index(best),
        notes=notes,
        about={**first.settings, "seeds": first.seeds},
    )
    page = write_page(folder / "sweep.html", content)
    return [page, *write_pictures(figures[0], folder, "sweep")]


def print_sweep(cells: Sequence[Cell], metric: str | None = None, console: Console | None = None) -> None:
    """Blocks down, kinds of tokens across: mean ± sd of the test score; the one that validation chooses in bold."""
    first, best = cells[0].scores, best_by_validation(cells)
    chosen = first.spec.metric(metric)
    kinds = list(dict.fromkeys(cell.types for cell in cells))
    caption = f"{what_was_scored(first, chosen)}. Bold: what validation ({best.monitor}) chooses: block {best.block}, {kind_name(best.types)}."
    columns = ["block", *map(kind_name, kinds)]
    table = small_table(f"{chosen.title} on {first.split}", columns, range(len(columns)), caption)
    of = {(c.block, c.types): c for c in cells}
    for block in dict.fromkeys(c.block for c in cells):
        row = [of[block, kind] for kind in kinds]
        table.add_row(str(block), *(Text(spread(c.scores, chosen), style="bold" if c is best else "") for c in row))
    (console or Console()).print(table, *random_notes(first.settings.get("embeddings")), sep="\n")
