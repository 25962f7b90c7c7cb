"""Figures over a number (block, share of labels) with a line per kind and its spread over seeds: a page in the reports' style, SVG and PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from datasets.utils.files import atomic

from . import html
from .charts import Series, line_chart
from .report import versions

COLOURS = ("#0b62b5", "#b45309", "#3f7d3a", "#8b3fa8", "#a3324a", "#4b5563")  # the reports' s0 ... s5 in light
MARKERS = "osD^vp"


@dataclass(frozen=True)
class Line:
    """A line of a figure. spread: sd of each y (nan: none)."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    spread: Sequence[float]


@dataclass(frozen=True)
class Figure:
    """lines over one x axis. caption: what the figure says of its numbers (split, classes, seeds). log: a logarithmic x axis."""

    lines: Sequence[Line]
    x_label: str
    y_label: str
    caption: str
    log: bool = False


def write_pictures(figure: Figure, folder: Path, name: str) -> list[Path]:
    """<name>.png and <name>.svg, with error bars. Returns the paths."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    drawn, axes = pyplot.subplots(figsize=(6.4, 4.0), layout="constrained")
    for i, line in enumerate(figure.lines):
        style = {"color": COLOURS[i % 6], "marker": MARKERS[i % 6]}
        axes.errorbar(line.x, line.y, yerr=line.spread, label=line.name, capsize=3, markersize=5, linewidth=1.6, **style)
    if figure.log:
        axes.set_xscale("log")
    every = sorted({x for line in figure.lines for x in line.x})
    if len(every) <= 16:
        axes.set_xticks(every, [f"{x:g}" for x in every])
        axes.minorticks_off()
    axes.set_xlabel(figure.x_label)
    axes.set_ylabel(figure.y_label)
    axes.grid(visible=True, color="#d9dee5", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if len(figure.lines) > 1:
        axes.legend(frameon=False)
    paths = []
    try:
        for kind in ("png", "svg"):
            path = folder / f"{name}.{kind}"
            with atomic(path) as part:
                drawn.savefig(part, format=kind, dpi=150)
            paths.append(path)
    finally:
        pyplot.close(drawn)
    return paths


def write_page(
    path: Path,
    title: str,
    figures: Sequence[Figure],
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    best: int | None,
    lead: str,
    notes: Sequence[str],
    about: Mapping[str, object],
) -> Path:
    """One self-contained page: figures, all numbers as a table (row `best` stressed), how to read them, and what was run."""
    drawn = []
    for figure in figures:
        lines = [Series(line.name, _places(figure, line.x), line.y, i, line.spread) for i, line in enumerate(figure.lines)]
        summary = f"{figure.y_label} by {figure.x_label}: {', '.join(line.name for line in figure.lines)}"
        x_ticks = {place: f"{x:g}" for line in figure.lines for place, x in zip(_places(figure, line.x), line.x)}
        drawn.append(html.figure(line_chart(lines, figure.x_label, figure.y_label, summary, x_ticks=x_ticks), figure.caption))
    body = [
        f"<h1>{escape(title)}</h1>",
        html.paragraph(lead, "lead"),
        html.section("Figure", f'<div class="panels">{"".join(drawn)}</div>'),
        html.section("All numbers", html.table(header, rows, best=best)),
        html.section("How to read these numbers", html.notes(notes)),
        html.section(
            "What was run",
            html.folded("Settings", html.settings_table(about)),
            html.folded("Versions", html.settings_table(versions())),
        ),
    ]
    with atomic(path) as part:
        part.write_text(html.page(title, body), encoding="utf-8")
    return path


def _places(figure: Figure, x: Sequence[float]) -> list[float]:
    """Where on the axis x stand: evenly by rank on a logarithmic axis, which the page's charts do not have."""
    if not figure.log:
        return list(x)
    every = sorted({value for line in figure.lines for value in line.x})
    return [float(every.index(value)) for value in x]
