"""Figures over a number (block, share of labels) with a line per kind and its spread over seeds: a page in the reports' style, SVG and PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import pages
from .charts import Series, line_chart
from .drawing import Drawing
from .pages import Captioned, TableContent
from .wording import versions


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

    def drawing(self) -> Drawing:
        """The chart; of a logarithmic axis x stand evenly, by rank."""
        every = sorted({x for line in self.lines for x in line.x})
        place = {x: float(every.index(x)) if self.log else float(x) for x in every}
        lines = [Series(line.name, [place[x] for x in line.x], line.y, i, line.spread) for i, line in enumerate(self.lines)]
        summary = f"{self.y_label} by {self.x_label}: {', '.join(line.name for line in self.lines)}"
        marks = {place[x]: f"{x:g}" for x in every}
        return line_chart(lines, self.x_label, self.y_label, summary, x_ticks=marks if len(every) <= 16 or self.log else None)


@dataclass(frozen=True)
class FigurePage:
    """A page of figures. lead: what was found, in a sentence. header, rows: all numbers as a table, row `best` stressed. notes: how to read them.

    about: what was run.
    """

    title: str
    lead: str
    figures: Sequence[Figure]
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    best: int | None = None
    notes: Sequence[str] = ()
    about: Mapping[str, Any] = field(default_factory=dict)


def write_pictures(figure: Figure, folder: Path, name: str) -> list[Path]:
    """<name>.png and <name>.svg, the figure as it stands on the page. Returns the paths."""
    drawing = figure.drawing()
    return [drawing.write_png(folder / f"{name}.png"), drawing.write_svg(folder / f"{name}.svg")]


def write_page(path: Path, content: FigurePage) -> Path:
    """One self-contained page: figures, all numbers as a table, how to read them, and what was run."""
    return pages.write_page(
        path,
        "figures.html.j2",
        title=content.title,
        lead=content.lead,
        figures=[Captioned(figure.drawing(), figure.caption) for figure in content.figures],
        numbers=TableContent(content.header, content.rows, best=content.best),
        notes=content.notes,
        about=content.about,
        versions=versions(),
    )
