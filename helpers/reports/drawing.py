"""Drawings of lines, marks and texts that a chart is made of, and what they become: SVG within a page, an SVG file, a PNG file.

Within a page a drawing follows the page's light or dark colours, stays sharp, and reads to a screen reader. Series are told apart by colour (classes
s0, s1, ... of the style) and by marker or dash. Every drawing is WIDTH units wide, the width of a phone, so that its text never shrinks below what
can be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from markupsafe import Markup

from datasets.utils.files import atomic
from datasets.utils.terminal import visible

from .pages import LIGHT, render

WIDTH = 360
N_STYLES = 6
DASHES = ("", "5 3", "2 2", "7 2 2 2", "1 3", "9 3")
MARKERS = "osD^os"  # matplotlib's of the styles; the last two are hollow
_LETTER = 6.2  # units that a letter of a legend takes, about
_SCALE = 3  # pixels of a PNG per unit


@dataclass(frozen=True)
class Rule:
    """A straight line. kind: "grid", "row", "chance", or "line" with a style."""

    x1: float
    y1: float
    x2: float
    y2: float
    kind: str = "line"
    style: int | None = None
    title: str = ""
    shape: ClassVar[str] = "rule"


@dataclass(frozen=True)
class Polyline:
    """A line through points."""

    points: Sequence[tuple[float, float]]
    style: int = 0
    shape: ClassVar[str] = "path"

    @property
    def dash(self) -> str:
        """Lengths of strokes and gaps."""
        return DASHES[self.style]


@dataclass(frozen=True)
class Words:
    """A text. anchor: "start", "middle" or "end" stands at x. turn: degrees, clockwise. kind: "on" or "off" a dark cell, "tight" for little room."""

    x: float
    y: float
    text: str
    anchor: str = "middle"
    turn: int = 0
    title: str = ""
    kind: str = ""
    shape: ClassVar[str] = "text"


@dataclass(frozen=True)
class Mark:
    """A series' marker. title: shown when it is pointed at."""

    x: float
    y: float
    style: int = 0
    title: str = ""
    shape: ClassVar[str] = "mark"


@dataclass(frozen=True)
class Dot:
    """One of many points, without a title."""

    x: float
    y: float
    style: int = 0
    shape: ClassVar[str] = "dot"


@dataclass(frozen=True)
class Cell:
    """A field of a matrix, the darker the larger its share (0 to 1)."""

    x: float
    y: float
    width: float
    height: float
    share: float
    title: str = ""
    shape: ClassVar[str] = "cell"


Part = Rule | Polyline | Words | Mark | Dot | Cell


@dataclass(frozen=True)
class Drawing:
    """A chart. summary: what it shows, for readers who cannot see it. legend: (name, style) of the series. dashes: whether they are lines.

    nothing: the sentence in its place where there is nothing to draw.
    """

    height: float
    summary: str
    parts: Sequence[Part] = ()
    names: Sequence[tuple[str, int]] = ()
    dashes: bool = False
    nothing: str = ""
    width: float = field(default=WIDTH)

    @property
    def legend(self) -> list[tuple[str, int, str | None]]:
        """(name, style, dash) of every series; no dash where series are no lines."""
        return [(name, style, DASHES[style] if self.dashes else None) for name, style in self.names]

    def __html__(self) -> str:
        """The drawing within a page: what a template shows of it."""
        if not self.parts:
            return Markup('<p class="none">{}</p>').format(self.nothing)
        return Markup(render("drawing.svg.j2", drawing=self, standalone=False))

    def with_legend_inside(self) -> Drawing:
        """The same drawing with its legend as part of it, below: what a file holds."""
        parts, x, y = list(self.parts), 12.0, self.height + 12.0
        for name, style in self.names if len(self.names) > 1 else ():
            length = 34 + _LETTER * len(name)
            if x > 12 and x + length > self.width:
                x, y = 12.0, y + 18
            if self.dashes:
                parts.append(Polyline([(x, y), (x + 26, y)], style))
            parts += [Mark(x + 13, y, style), Words(x + 31, y + 4, name, "start")]
            x += length + 14
        return replace(self, parts=parts, names=(), height=self.height if len(self.names) < 2 else y + 12)

    def write_svg(self, path: Path) -> Path:
        """Write the drawing as a file, on white. Returns its path."""
        text = render("drawing.svg.j2", drawing=self.with_legend_inside(), standalone=True).lstrip()
        with atomic(path) as part:
            part.write_text(text, encoding="utf-8")
        return path

    def write_png(self, path: Path) -> Path:
        """Write the drawing as a picture, on white. Returns its path."""
        from matplotlib import figure

        drawing = self.with_legend_inside()
        canvas = figure.Figure(figsize=(drawing.width / 72, drawing.height / 72), dpi=72 * _SCALE, facecolor=LIGHT["bg"])
        axes = canvas.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, drawing.width), ylim=(drawing.height, 0))
        axes.axis("off")
        for one in drawing.parts:
            _paint(axes, one)
        with atomic(path) as part:
            canvas.savefig(part, format="png", facecolor=LIGHT["bg"])
        return path


def _paint(axes: object, part: Part) -> None:
    """One part in matplotlib's axes, whose units are the drawing's."""
    from matplotlib.axes import Axes
    from matplotlib.patches import Rectangle

    assert isinstance(axes, Axes)
    if isinstance(part, Rule):
        kinds = {"grid": (LIGHT["line"], 1.0, "-"), "row": (LIGHT["line"], 1.0, ":"), "chance": (LIGHT["soft"], 1.2, "--")}
        colour, width, dash = kinds.get(part.kind, (LIGHT[f"s{part.style or 0}"], 2.0, "-"))
        axes.plot([part.x1, part.x2], [part.y1, part.y2], color=colour, linewidth=width, linestyle=dash)
    elif isinstance(part, Polyline):
        lengths = [float(n) / 2 for n in part.dash.split()]
        dash = (0, lengths) if lengths else "-"  # type: ignore[assignment]
        axes.plot(*zip(*part.points), color=LIGHT[f"s{part.style}"], linewidth=2, linestyle=dash)
    elif isinstance(part, Words):
        place = {"start": "left", "middle": "center", "end": "right"}[part.anchor]
        colour = {"on": LIGHT["bg"], "off": LIGHT["fg"]}.get(part.kind, LIGHT["soft"])
        size = 8.0 if part.kind == "tight" else 9.5
        axes.text(
            part.x, part.y, visible(part.text).replace("$", r"\$"), ha=place, va="baseline", rotation=-part.turn, rotation_mode="anchor",
            fontsize=size, color=colour,
        )  # fmt: skip
    elif isinstance(part, Cell):
        axes.add_patch(Rectangle((part.x, part.y), part.width, part.height, color=LIGHT["s0"], alpha=part.share, linewidth=0))
    else:
        colour, dot = LIGHT[f"s{part.style}"], isinstance(part, Dot)
        inside = LIGHT["bg"] if part.style >= 4 and not dot else colour
        axes.plot(
            part.x, part.y, "o" if dot else MARKERS[part.style], color=colour, markerfacecolor=inside, markersize=4 if dot else 7.5,
            alpha=0.45 if dot else 1.0, markeredgewidth=0 if dot else 1.5,
        )  # fmt: skip
