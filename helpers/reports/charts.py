"""Charts for report.html as inline SVG: they follow the page's light or dark colours, stay sharp, and read to a screen reader.

Every chart is drawn 360 units wide, the width of a phone, so that its text never shrinks below what can be read. Series are told apart by colour
(classes s0, s1, ... of the page's style) and by marker or dash.
"""

from __future__ import annotations

import base64
import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

WIDTH = 360
N_STYLES = 6
_DASHES = ("", "5 3", "2 2", "7 2 2 2", "1 3", "9 3")


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
) -> str:
    """Lines with markers at their last points (with a spread: at all). summary: what the chart shows, for readers who cannot see it.

    x_ticks: the marks of the x axis, place -> text; none: round numbers.
    """
    points = [(s, [(float(x), float(y)) for x, y in zip(s.x, s.y) if _is_number(y)]) for s in series]
    points = [(s, p) for s, p in points if p]
    if not points:
        return '<p class="none">Nothing was recorded.</p>'
    xs, ys = [x for _, p in points for x, _ in p], [y for _, p in points for _, y in p]
    bars = [_bars(s) for s, _ in points]
    ys += [y for each in bars for _, low, high in each for y in (low, high)]
    x0, x1 = min(xs), max(max(xs), min(xs) + 1e-9)
    margin = 0.06 * (max(ys) - min(ys)) or 0.05 * abs(max(ys)) or 0.05
    y0, y1 = min(ys) - margin, max(ys) + margin
    left, right, top, bottom = 46, WIDTH - 10, 10, height - 34

    def px(x: float) -> float:
        return left + (x - x0) / (x1 - x0) * (right - left)

    def py(y: float) -> float:
        return bottom - (y - y0) / (y1 - y0) * (bottom - top)

    out = []
    for y in ticks(y0, y1):
        out.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{py(y):.1f}" y2="{py(y):.1f}"/>')
        out.append(f'<text x="{left - 5}" y="{py(y) + 4:.1f}" text-anchor="end">{y:g}</text>')
    marks = x_ticks if x_ticks is not None else {x: f"{x:g}" for x in ticks(x0, x1, 6) if x == round(x)}
    for x, text in marks.items():
        out.append(f'<text x="{px(x):.1f}" y="{bottom + 15}" text-anchor="middle">{escape(text)}</text>')
    out.append(f'<text x="{(left + right) / 2}" y="{height - 4}" text-anchor="middle">{escape(x_label)}</text>')
    out.append(
        f'<text x="11" y="{(top + bottom) / 2}" text-anchor="middle" transform="rotate(-90 11 {(top + bottom) / 2})">{escape(y_label)}</text>'
    )
    for (s, p), each in zip(points, bars):
        for x, low, high in each:
            out.append(
                f'<line class="line s{s.style % N_STYLES}" x1="{px(x):.1f}" x2="{px(x):.1f}" y1="{py(low):.1f}" y2="{py(high):.1f}"/>'
            )
        path = " ".join(f"{'M' if i == 0 else 'L'}{px(x):.1f} {py(y):.1f}" for i, (x, y) in enumerate(p))
        out.append(f'<path class="line s{s.style % N_STYLES}" d="{path}" stroke-dasharray="{_DASHES[s.style % N_STYLES]}"/>')
        for x, y in p if s.spread is not None else p[-1:]:
            out.append(marker(s.style, px(x), py(y), s.name if s.spread is None else f"{s.name}: {y:.3f}"))
    return _svg(height, summary, out) + legend([(s.name, s.style) for s, _ in points], dashes=True)


def _bars(series: Series) -> list[tuple[float, float, float]]:
    """(x, low, high) of every point that has a spread."""
    if series.spread is None:
        return []
    points = zip(series.x, series.y, series.spread)
    return [(float(x), float(y) - float(d), float(y) + float(d)) for x, y, d in points if _is_number(y) and _is_number(d)]  # type: ignore[arg-type]


def dot_plot(
    rows: Sequence[str], systems: Sequence[Dots], x_label: str, summary: str, chance: float | None = None, row_height: int = 22
) -> str:
    """One row per name, one marker per system and row, intervals as bars. chance: where a guess would stand, drawn as a dashed line."""
    values = [float(v) for s in systems for v in s.values if _is_number(v)]
    values += [float(v) for s in systems for pair in (s.intervals or ()) for v in pair if _is_number(v)]
    values += [] if chance is None else [chance]
    if not values:
        return '<p class="none">No score is defined.</p>'
    x0, x1 = min(values), max(values)
    pad = 0.04 * (x1 - x0) or 0.05
    x0, x1 = x0 - pad, x1 + pad
    left = min(150, max(60, 12 + int(6.3 * max(len(_short(row)) for row in rows))))
    right, top = WIDTH - 12, 8
    bottom = top + row_height * len(rows)
    height = bottom + 36

    def px(x: float) -> float:
        return left + (x - x0) / (x1 - x0) * (right - left)

    out = []
    for x in ticks(x0, x1):
        out.append(f'<line class="grid" x1="{px(x):.1f}" x2="{px(x):.1f}" y1="{top}" y2="{bottom}"/>')
        out.append(f'<text x="{px(x):.1f}" y="{bottom + 15}" text-anchor="middle">{x:g}</text>')
    if chance is not None:
        out.append(
            f'<line class="chance" x1="{px(chance):.1f}" x2="{px(chance):.1f}" y1="{top}" y2="{bottom}"><title>chance</title></line>'
        )
    out.append(f'<text x="{(left + right) / 2}" y="{height - 4}" text-anchor="middle">{escape(x_label)}</text>')
    for i, row in enumerate(rows):
        y = top + row_height * (i + 0.5)
        lines = textwrap.wrap(row, 22)[:2] if row_height >= 28 else [row]
        for k, line in enumerate(lines):
            at = y + 4 + 13 * (k - (len(lines) - 1) / 2)
            text = f"<title>{escape(row)}</title>{escape(_short(line))}"
            out.append(f'<text x="{left - 8}" y="{at:.1f}" text-anchor="end">{text}</text>')
        out.append(f'<line class="row" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        for s in systems:
            if s.intervals is not None and all(map(_is_number, s.intervals[i])):
                low, high = s.intervals[i]
                out.append(
                    f'<line class="line s{s.style % N_STYLES}" x1="{px(low):.1f}" x2="{px(high):.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
                )
        for s in reversed(systems):  # the first system on top
            if _is_number(s.values[i]):
                out.append(marker(s.style, px(float(s.values[i])), y, f"{row}, {s.name}: {s.values[i]:.3f}"))
    return _svg(height, summary, out) + (legend([(s.name, s.style) for s in systems]) if len(systems) > 1 else "")


def marker(style: int, x: float, y: float, title: str = "") -> str:
    """A series' marker, centred."""
    shapes = (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>',
        f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8"/>',
        f'<path d="M{x:.1f} {y - 5.5:.1f}L{x + 5.5:.1f} {y:.1f}L{x:.1f} {y + 5.5:.1f}L{x - 5.5:.1f} {y:.1f}Z"/>',
        f'<path d="M{x:.1f} {y - 5:.1f}L{x + 5:.1f} {y + 4:.1f}L{x - 5:.1f} {y + 4:.1f}Z"/>',
        f'<circle class="hollow" cx="{x:.1f}" cy="{y:.1f}" r="4"/>',
        f'<rect class="hollow" x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8"/>',
    )
    return f'<g class="mark s{style % N_STYLES}"><title>{escape(title)}</title>{shapes[style % N_STYLES]}</g>'


def legend(entries: Sequence[tuple[str, int]], dashes: bool = False) -> str:
    """The series' names beside their markers."""
    items = []
    for name, style in entries:
        line = (
            f'<path class="line s{style % N_STYLES}" d="M1 7L27 7" stroke-dasharray="{_DASHES[style % N_STYLES]}"/>'
            if dashes
            else ""
        )
        width = 28 if dashes else 14
        items.append(
            f'<span><svg width="{width}" height="14" aria-hidden="true">{line}{marker(style, width / 2, 7)}</svg>{escape(name)}</span>'
        )
    return f'<p class="legend">{"".join(items)}</p>'


def spectrogram(mel: np.ndarray, summary: str, max_columns: int = 900) -> str:
    """An <img> of a log-mel [frames, bands], low bands below; long ones are averaged down to `max_columns`. The picture is part of the page."""
    mel = np.asarray(mel, dtype=np.float32)
    if len(mel) > max_columns:
        edges = np.linspace(0, len(mel), max_columns + 1).astype(int)
        mel = np.add.reduceat(mel, edges[:-1], axis=0) / np.diff(edges)[:, None]
    low, high = np.quantile(mel, [0.01, 0.995])
    return _picture(mel.T[::-1], low, max(high, low + 1e-6), "spectrogram", summary)


def heat_map(values: np.ndarray, summary: str, high: float = 1.0) -> str:
    """An <img> (class heat) of [rows, columns], the first row on top, dark for 0 and bright for `high`: a row per label, a column per moment."""
    return _picture(np.asarray(values, dtype=np.float32), 0.0, high, "heat", summary)


def _picture(values: np.ndarray, low: float, high: float, kind: str, summary: str) -> str:
    """Values [rows, columns], the first row on top, as an <img> that is part of the page."""
    from matplotlib import image

    file = io.BytesIO()
    image.imsave(file, values, cmap="magma", vmin=low, vmax=high, format="png")
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img class="{kind}" alt="{escape(summary, quote=True)}" src="data:image/png;base64,{data}">'


def _svg(height: float, summary: str, parts: Sequence[str]) -> str:
    label = escape(summary, quote=True)
    return f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _short(text: str, longest: int = 22) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
