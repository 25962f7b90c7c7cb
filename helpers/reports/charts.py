"""Charts as drawings: lines over a number, dots per row with intervals, a confusion matrix, predicted over true values."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .drawing import N_STYLES, WIDTH, Cell, Dot, Drawing, Mark, Part, Polyline, Rule, Words

MAX_DOTS = 1000  # of a scatter plot
_LETTER = 6.9  # units that a letter of a row's name takes, about


@dataclass(frozen=True)
class Series:
    """One line of a chart: y over x; values that are None or not finite leave a gap. `style` picks colour, marker and dash.

    spread: of each y, drawn as a bar of that length either way; then every point has its marker.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    style: int = 0
    spread: Sequence[float | None] | None = None


@dataclass(frozen=True)
class Dots:
    """One system of a dot plot: a value per row, None or nan where there is none; optional interval per row."""

    name: str
    values: Sequence[float | None]
    style: int = 0
    intervals: Sequence[tuple[float, float]] | None = None


@dataclass(frozen=True)
class _Frame:
    """Where a chart's axes lie, and which values they span."""

    x0: float
    x1: float
    y0: float
    y1: float
    left: float
    right: float
    top: float
    bottom: float

    def px(self, x: float) -> float:
        return self.left + (x - self.x0) / (self.x1 - self.x0) * (self.right - self.left)

    def py(self, y: float) -> float:
        return self.bottom - (y - self.y0) / (self.y1 - self.y0) * (self.bottom - self.top)

    def x_marks(self, marks: Mapping[float, str], grid: bool = False) -> list[Part]:
        out: list[Part] = []
        for x, text in marks.items():
            out += [Rule(self.px(x), self.top, self.px(x), self.bottom, "grid")] if grid else []
            out.append(Words(self.px(x), self.bottom + 15, text))
        return out

    def y_marks(self) -> list[Part]:
        out: list[Part] = []
        for y in ticks(self.y0, self.y1):
            out += [
                Rule(self.left, self.py(y), self.right, self.py(y), "grid"), Words(self.left - 5, self.py(y) + 4, f"{y:g}", "end")
            ]  # fmt: skip
        return out

    def names(self, x_label: str, y_label: str = "") -> list[Part]:
        middle = (self.top + self.bottom) / 2
        turned = [Words(11, middle, y_label, turn=-90)] if y_label else []
        return [Words((self.left + self.right) / 2, self.bottom + 30, x_label), *turned]


def ticks(low: float, high: float, n: int = 5) -> list[float]:
    """About n round numbers that lie in [low, high]."""
    if not high > low:
        return [low]
    raw = (high - low) / n
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def line_chart(
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    summary: str,
    height: int = 230,
    x_ticks: Mapping[float, str] | None = None,
) -> Drawing:
    """Lines with markers at their last points (with a spread: at all). summary: what the chart shows, for readers who cannot see it.

    x_ticks: the marks of the x axis, place -> text; none: round numbers.
    """
    points = [(s, [(float(x), float(y)) for x, y in zip(s.x, s.y) if _is_number(y)]) for s in series]  # type: ignore[arg-type]
    points = [(s, p) for s, p in points if p]
    if not points:
        return Drawing(height, summary, nothing="Nothing was recorded.")
    xs, ys = [x for _, p in points for x, _ in p], [y for _, p in points for _, y in p]
    bars = [_bars(s) for s, _ in points]
    ys += [y for each in bars for _, low, high in each for y in (low, high)]
    margin = 0.06 * (max(ys) - min(ys)) or 0.05 * abs(max(ys)) or 0.05
    frame = _Frame(min(xs), max(max(xs), min(xs) + 1e-9), min(ys) - margin, max(ys) + margin, 46, WIDTH - 10, 10, height - 34)
    marks = x_ticks if x_ticks is not None else {x: f"{x:g}" for x in ticks(frame.x0, frame.x1, 6) if x == round(x)}
    out = [*frame.y_marks(), *frame.x_marks(marks), *frame.names(x_label, y_label)]
    for (s, p), each in zip(points, bars):
        style = s.style % N_STYLES
        out += [Rule(frame.px(x), frame.py(low), frame.px(x), frame.py(high), "line", style) for x, low, high in each]
        out.append(Polyline([(frame.px(x), frame.py(y)) for x, y in p], style))
        for x, y in p if s.spread is not None else p[-1:]:
            out.append(Mark(frame.px(x), frame.py(y), style, s.name if s.spread is None else f"{s.name}: {y:.3f}"))
    return Drawing(height, summary, out, [(s.name, s.style % N_STYLES) for s, _ in points], dashes=True)


def _bars(series: Series) -> list[tuple[float, float, float]]:
    """(x, low, high) of every point that has a spread."""
    if series.spread is None:
        return []
    points = zip(series.x, series.y, series.spread)
    return [(float(x), float(y) - float(d), float(y) + float(d)) for x, y, d in points if _is_number(y) and _is_number(d)]  # type: ignore[arg-type]


def dot_plot(
    rows: Sequence[str],
    systems: Sequence[Dots],
    x_label: str,
    summary: str,
    chance: float | Sequence[float] | None = None,
    row_height: int = 22,
) -> Drawing:
    """One row per name, one marker per system and row, intervals as bars. chance: where a guess would stand (of each row), a dashed line."""
    guesses = _per_row(chance, len(rows))
    values = [float(v) for s in systems for v in s.values if _is_number(v)]  # type: ignore[arg-type]
    values += [float(v) for s in systems for pair in (s.intervals or ()) for v in pair if _is_number(v)]
    if not values:
        return Drawing(row_height * len(rows) + 44, summary, nothing="No score is defined.")
    values += [guess for guess in guesses if _is_number(guess)]
    pad = 0.04 * (max(values) - min(values)) or 0.05
    left = min(158, max(60, 12 + int(_LETTER * max(len(_short(row)) for row in rows))))
    frame = _Frame(min(values) - pad, max(values) + pad, 0, 1, left, WIDTH - 12, 8, 8 + row_height * len(rows))
    out = [*frame.x_marks({x: f"{x:g}" for x in ticks(frame.x0, frame.x1)}, grid=True)]
    for i, guess in enumerate(guesses):
        if _is_number(guess):
            y = frame.top + row_height * i
            out.append(Rule(frame.px(guess), y, frame.px(guess), y + row_height, "chance", title="chance"))
    out += frame.names(x_label)
    for i, row in enumerate(rows):
        out += _row(row, i, frame, row_height, systems)
    names = [(s.name, s.style % N_STYLES) for s in systems] if len(systems) > 1 else []
    return Drawing(frame.bottom + 36, summary, out, names)


def _per_row(chance: float | Sequence[float] | None, n: int) -> list[float]:
    if chance is None:
        return []
    return [float(chance)] * n if isinstance(chance, (int, float)) else [float(guess) for guess in chance]


def _row(row: str, i: int, frame: _Frame, row_height: int, systems: Sequence[Dots]) -> list[Part]:
    """A row's name, guide, intervals and markers."""
    y = frame.top + row_height * (i + 0.5)
    out: list[Part] = []
    lines = textwrap.wrap(row, 22)[:2] if row_height >= 28 else [row]
    for k, line in enumerate(lines):
        at = y + 4 + 13 * (k - (len(lines) - 1) / 2)
        out.append(Words(frame.left - 8, at, _short(line), "end", title=row))
    out.append(Rule(frame.left, y, frame.right, y, "row"))
    for s in systems:
        if s.intervals is not None and all(map(_is_number, s.intervals[i])):
            low, high = s.intervals[i]
            out.append(Rule(frame.px(low), y, frame.px(high), y, "line", s.style % N_STYLES))
    for s in reversed(systems):  # the first system on top
        value = s.values[i]
        if value is not None and math.isfinite(value):
            out.append(Mark(frame.px(value), y, s.style % N_STYLES, f"{row}, {s.name}: {value:.3f}"))
    return out


def confusion_chart(counts: np.ndarray, labels: Sequence[str], summary: str) -> Drawing:
    """A class a row, what its tracks are taken for in columns, the darker the larger the row's share; in cells with room the share in percent.

    counts: [L, L], tracks of each class (rows) that are taken for each class.
    """
    n, names = len(labels), [_short(label, 16) for label in labels]
    tight = n > 18
    letter, kind = (5.9, "tight") if tight else (_LETTER, "")
    longest = letter * max(map(len, names))
    left, top = min(118.0, 14 + longest), 20
    size = (WIDTH - left - 8) / n
    turned = size < longest
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = np.nan_to_num(counts / counts.sum(axis=1, keepdims=True))
    out: list[Part] = [Words(left - 8, 12, "true", "end"), Words(left + 2, 12, "taken for (below)", "start")]
    bottom = top + size * n
    for i, label in enumerate(labels):
        middle = size * (i + 0.5)
        out.append(Words(left - 6, top + middle + 3.5, names[i], "end", title=label, kind=kind))
        at = (left + middle + 3.5, bottom + 6, "end", -90) if turned else (left + middle, bottom + 14, "middle", 0)
        out.append(Words(at[0], at[1], names[i], at[2], at[3], label, kind))
        for j, other in enumerate(labels):
            share = float(shares[i, j])
            title = f"{label}, taken for {other}: {counts[i, j]:g} of {counts[i].sum():g} ({share:.0%})"
            out.append(Cell(left + size * j, top + size * i, size, size, share, title))
            if size >= 20 and share >= 0.005:
                x = left + size * (j + 0.5)
                out.append(Words(x, top + middle + 4, f"{100 * share:.0f}", kind="on" if share > 0.55 else "off"))
    return Drawing(bottom + (longest + 14 if turned else 22), summary, out)


def scatter_chart(true: np.ndarray, predicted: np.ndarray, x_label: str, y_label: str, summary: str) -> Drawing:
    """Predicted over true values [N] of one output, with the line where both are equal; of many tracks MAX_DOTS, evenly taken."""
    chosen = np.unique(np.linspace(0, len(true) - 1, min(len(true), MAX_DOTS)).astype(int))
    both = np.concatenate([true[chosen], predicted[chosen]])
    low, high = float(both.min()), float(both.max())
    pad = 0.05 * (high - low) or 0.05
    frame = _Frame(low - pad, high + pad, low - pad, high + pad, 46, WIDTH - 10, 10, 290)
    out = [*frame.y_marks(), *frame.x_marks({x: f"{x:g}" for x in ticks(frame.x0, frame.x1)}), *frame.names(x_label, y_label)]
    out.append(Rule(frame.px(low), frame.py(low), frame.px(high), frame.py(high), "chance", title="equal"))
    out += [Dot(frame.px(float(true[i])), frame.py(float(predicted[i]))) for i in chosen]
    return Drawing(frame.bottom + 36, summary, out)


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _short(text: str, longest: int = 22) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
