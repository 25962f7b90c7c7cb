"""Training curves as charts: the pre-training's, and the probes' validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..metrics.curves import read_curve
from ..metrics.scores import SystemScores
from .charts import Series, line_chart
from .pages import Captioned

HISTOGRAMS = "histograms.json"  # beside a history: name -> counts, of the last validation


def history_charts(rows: Sequence[Mapping[str, Any]]) -> list[Captioned]:
    """A chart of losses and one of scores, of those that were recorded. rows: {"epoch": ..., curve: value}."""
    epochs = [row["epoch"] for row in rows]
    names = dict.fromkeys(name for row in rows for name in row)
    curves = [curve for curve in map(read_curve, names) if curve is not None]
    charts = []
    for scale in ("loss", "score"):
        recorded = [(c, [row.get(c.name) for row in rows]) for c in curves if c.scale == scale]
        present = [(c, values) for c, values in recorded if any(v is not None for v in values)]
        lines = [Series(c.title, epochs, values, style) for style, (c, values) in enumerate(present)]
        if lines:
            last = ", ".join(f"{s.name} {next(v for v in reversed(s.y) if v is not None):.3f}" for s in lines)
            chart = line_chart(lines, "epoch", scale, f"Pre-training, {scale} by epoch; last: {last}")
            charts.append(Captioned(chart, f"Pre-training: {scale} by epoch. Last: {last}."))
    return charts


def usage_chart(counts: Mapping[str, Sequence[int]]) -> list[Captioned]:
    """How evenly the numbers 0..n-1 (tokens) were used in the last validation: per name their shares, the most used first."""
    ranked = {name.removeprefix("val_tokens_"): sorted(n, reverse=True) for name, n in counts.items() if sum(n)}
    if not ranked:
        return []
    shares = {name: [100 * count / sum(n) for count in n] for name, n in ranked.items()}
    lines = [Series(name, range(1, len(y) + 1), y, style) for style, (name, y) in enumerate(shares.items())]
    most = ", ".join(f"{name} {y[0]:.1f} %" for name, y in shares.items())
    summary = f"Tokens of the validation by how often they are used, the most used code first; that one: {most}"
    chart = line_chart(lines, "code, by use", "share of the tokens, %", summary)
    return [Captioned(chart, f"{summary}. A flat line is an even use, one that falls to 0 at once a collapsed codebook.")]


def probe_chart(systems: Sequence[SystemScores]) -> list[Captioned]:
    """The probes' usual validation curve, where it was recorded."""
    spec = systems[0].spec
    curve = spec.monitor("auto")
    probes = [(i, s) for i, s in enumerate(systems) if curve in s.history]
    if not probes:
        return []
    lines = [Series(s.name, range(s.history[curve].shape[1]), s.history[curve].mean(axis=0).tolist(), i) for i, s in probes]
    summary = f"Probes, validation {spec.curve_title(curve)} by epoch, mean over seeds"
    last = all(s.settings.get("keep") == "last" for _, s in probes)
    kept = f"The {'last' if last else 'best'} epoch of each seed was kept."
    return [Captioned(line_chart(lines, "epoch", spec.curve_title(curve), summary), f"{summary}. {kept}")]
