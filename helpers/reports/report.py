"""report.html: one self-contained page that says what was run, what it scored, how surely, and what the numbers mean.

Nothing is loaded from elsewhere; charts are inline SVG, spectrograms PNG inside the page. Readable in light and dark, on a phone, and by ear.
"""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from datasets.utils.files import atomic
from models.errors import ConfigError

from ..metrics.scores import SystemScores, compare
from . import html
from .charts import Dots, Series, dot_plot, line_chart, spectrogram

METRICS = {"macro_roc": "ROC-AUC", "macro_ap": "AP"}
PACKAGES = ("torch", "timm", "pytorch-lightning", "numpy", "scikit-learn", "sacred")
MAX_LABELS_CHART = 60  # rows of the chart per label; the table holds all


@dataclass(frozen=True)
class Example:
    """One track to look at: its spectrogram and what a system says of it.

    name: the track. mel: raw log-mel [frames, bands]. seconds: its length. labels: the L names; probabilities [L]; truth bool [L].
    system: who predicts. top: labels shown, most probable first; true labels beyond them are listed too.
    """

    name: str
    mel: np.ndarray
    seconds: float
    labels: Sequence[str]
    probabilities: np.ndarray
    truth: np.ndarray
    system: str = ""
    top: int = 8


def write_report(
    path: str | Path,
    *,
    title: str,
    systems: Sequence[SystemScores],
    curves: str | Path | Sequence[Mapping[str, Any]] | None = None,
    examples: Sequence[Example] = (),
    class_counts: Mapping[str, Sequence[int]] | None = None,
    about: Mapping[str, Mapping[str, Any]] | None = None,
    notes: Sequence[str] = (),
    intro: str = "",
    reference: str | None = None,
    compared: Sequence[tuple[str, str]] = (),
) -> Path:
    """Write the page, whole or not at all.

    systems: scored on the same split, best known first; the others are compared with `reference` (a system's name; default: the first),
    or where `compared` names pairs the two of each.
    curves: the pre-training's history: rows of {"epoch", "train_loss", "val_loss", "val_roc", "val_ap", ...}, or the JSON file of them.
    class_counts: split -> tracks per label [L]. about: what was run, section -> settings. notes: further sentences on how to read the numbers.
    intro: a sentence or two under the title.

    Raises ConfigError for no systems, systems of different splits or labels, and counts that do not fit the labels.
    """
    if not systems:
        raise ConfigError("A report needs at least one system's scores.")
    first = systems[0]
    for system in systems[1:]:
        if system.split != first.split or system.labels != first.labels:
            raise ConfigError(
                f"'{first.name}' ({first.split}, {len(first.labels)} labels) and '{system.name}' ({system.split}, {len(system.labels)} labels) "
                "were not scored on the same split and labels: they cannot share a table."
            )
    for split, counts in (class_counts or {}).items():
        if len(counts) != len(first.labels):
            raise ConfigError(f"{len(counts)} counts of the {split} split for {len(first.labels)} labels.")
    rows = json.loads(Path(curves).read_text()) if isinstance(curves, (str, Path)) else list(curves or ())
    by_name = {s.name: s for s in systems}
    against = by_name.get(reference or "", first)
    pairs = [(by_name[a], by_name[b]) for a, b in compared] or [(against, s) for s in systems if s is not against]
    body = [
        f"<h1>{escape(title)}</h1>",
        html.paragraph(intro, "lead") if intro else "",
        html.paragraph(_headline(systems)),
        html.section("Scores", _score_table(systems), _score_chart(systems), _differences(pairs)),
        html.section(
            "Per label", _label_chart(systems), html.folded("All labels as a table", _label_table(systems, class_counts))
        ),
        html.section("Training curves", _curves(rows, systems)),
        html.section("A closer look", *(_example(example) for example in examples)),
        html.section("What was run", *_about(about or {}, systems)),
        html.section("How to read these numbers", html.notes([*_definitions(systems), *notes])),
    ]
    path = Path(path)
    with atomic(path) as part:
        part.write_text(html.page(title, body), encoding="utf-8")
    return path


def versions() -> dict[str, str]:
    """Python, machine and the versions of the packages that decide numbers."""
    found = {"python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}"}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def spread(system: SystemScores, metric: str) -> str:
    """'0.912 ± 0.003', or without a spread where there is one result."""
    mean, sd = system.mean(metric), system.sd(metric)
    return f"{mean:.3f}" if math.isnan(sd) else f"{mean:.3f} ± {sd:.3f}"


def runs(system: SystemScores) -> str:
    """How many results the mean is over."""
    return "exact" if system.settings.get("deterministic") else str(len(system.seeds))


def over(systems: Sequence[SystemScores]) -> str:
    """What several results of a system differ in."""
    return "seeds" if systems[0].folds is None else "repetitions"


def _headline(systems: Sequence[SystemScores]) -> str:
    scores = "; ".join(f"{system.name} {spread(system, 'macro_roc')}" for system in systems)
    return f"Macro ROC-AUC on {systems[0].split} ({len(systems[0].keys)} tracks): {scores}."


def _score_table(systems: Sequence[SystemScores]) -> str:
    header = ["System", "ROC-AUC", "95 % interval", "AP", "95 % interval", over(systems).capitalize()]
    rows = []
    for s in systems:
        cells = [s.name]
        for metric in METRICS:
            low, high = s.interval(metric)
            cells += [spread(s, metric), "too few tracks" if math.isnan(low) else f"{low:.3f} to {high:.3f}"]
        rows.append([*cells, runs(s)])
    best = int(np.argmax([s.mean() for s in systems]))
    first = systems[0]
    return html.table(header, rows, best=best) + html.paragraph(
        f"Split: {first.split}, {len(first.keys)} tracks. Unweighted means over {first.n_classes('macro_roc')} (ROC-AUC) and "
        f"{first.n_classes('macro_ap')} (AP) of {len(first.labels)} labels; mean ± standard deviation over {over(systems)}; "
        "intervals: bootstrap over tracks.",
        "small soft",
    )


def _score_chart(systems: Sequence[SystemScores]) -> str:
    names = [s.name for s in systems]
    panels = []
    for metric, label in METRICS.items():
        dots = Dots(label, [s.mean(metric) for s in systems], 0, [s.interval(metric) for s in systems])
        summary = f"Macro {label} with 95 % intervals: " + ", ".join(f"{s.name} {s.mean(metric):.3f}" for s in systems)
        chance = 0.5 if metric == "macro_roc" else None
        chart = dot_plot(names, [dots], f"macro {label}", summary, chance=chance, row_height=30)
        panels.append(
            html.figure(chart, f"Macro {label}, bootstrap 95 % interval over tracks{'; dashed: chance' if chance else ''}.")
        )
    return f'<div class="panels">{"".join(panels)}</div>'


def _differences(pairs: Sequence[tuple[SystemScores, SystemScores]]) -> str:
    if not pairs:
        return ""
    rows = []
    for one, other in pairs:
        cells = [f"{one.name} − {other.name}"]
        for metric in METRICS:
            found = compare(one, other, metric)
            cells += [f"{found.mean:+.3f}", f"{found.interval[0]:+.3f} to {found.interval[1]:+.3f}"]
        rows.append(cells)
    header = ["Difference", "ROC-AUC", "95 % interval", "AP", "95 % interval"]
    return "<h3>Paired differences on the same tracks</h3>" + html.table(header, rows)


def _label_chart(systems: Sequence[SystemScores]) -> str:
    labels = systems[0].labels
    sorting = systems[0].scores("class_roc").mean(axis=0)
    order = np.argsort(-np.nan_to_num(sorting, nan=-1.0), kind="stable")[:MAX_LABELS_CHART]
    shown = "" if len(order) == len(labels) else f" The best {len(order)} of {len(labels)} labels; the table holds all."
    panels = []
    for metric, name, chance in (("class_roc", "ROC-AUC", 0.5), ("class_ap", "AP", None)):
        scores = [s.scores(metric).mean(axis=0) for s in systems]
        dots = [Dots(s.name, [_number(score[i]) for i in order], style) for style, (s, score) in enumerate(zip(systems, scores))]
        summary = f"{name} of {len(order)} labels for {', '.join(s.name for s in systems)}; the table below holds the numbers."
        caption = f"{name} per label, mean over {over(systems)}{'; dashed: chance' if chance else ''}. Labels by ROC-AUC of {systems[0].name}.{shown}"
        panels.append(html.figure(dot_plot([labels[i] for i in order], dots, name, summary, chance=chance), caption))
    return f'<div class="panels">{"".join(panels)}</div>'


def _label_table(systems: Sequence[SystemScores], class_counts: Mapping[str, Sequence[int]] | None) -> str:
    labels = systems[0].labels
    counts = class_counts or {"scored tracks": systems[0].targets.sum(axis=0).tolist()}
    header = ["Label", *(f"n {split}" for split in counts)]
    columns = [[str(int(n)) for n in column] for column in counts.values()]
    for s in systems:
        for metric, name in (("class_roc", "ROC"), ("class_ap", "AP")):
            header.append(f"{s.name}: {name}")
            columns.append(["–" if math.isnan(v) else f"{v:.3f}" for v in s.scores(metric).mean(axis=0)])
    return html.table(header, list(zip(labels, *columns)))


def _curves(rows: Sequence[Mapping[str, Any]], systems: Sequence[SystemScores]) -> str:
    panels = []
    epochs = [row["epoch"] for row in rows]

    def recorded(names: Sequence[str]) -> list[Series]:
        lines = [(name, [row.get(name) for row in rows]) for name in names]
        present = [(name, values) for name, values in lines if any(v is not None for v in values)]
        return [Series(_READABLE.get(name, name), epochs, values, style) for style, (name, values) in enumerate(present)]

    for names, label in ((_LOSSES, "loss"), (_SCORES, "score")):
        lines = recorded(names)
        if lines:
            last = ", ".join(f"{s.name} {next(v for v in reversed(s.y) if v is not None):.3f}" for s in lines)
            chart = line_chart(lines, "epoch", label, f"Pre-training, {label} by epoch; last: {last}")
            panels.append(html.figure(chart, f"Pre-training: {label} by epoch. Last: {last}."))
    probes = [(i, s) for i, s in enumerate(systems) if "val_roc" in s.history]
    if probes:
        lines = [
            Series(s.name, range(s.history["val_roc"].shape[1]), s.history["val_roc"].mean(axis=0).tolist(), i) for i, s in probes
        ]
        summary = "Probes, validation macro ROC-AUC by epoch, mean over seeds"
        panels.append(html.figure(line_chart(lines, "epoch", "ROC-AUC", summary), f"{summary}. {_kept([s for _, s in probes])}"))
    return f'<div class="panels">{"".join(panels)}</div>' if panels else ""


def _kept(probes: Sequence[SystemScores]) -> str:
    last = all(s.settings.get("keep") == "last" for s in probes)
    return f"The {'last' if last else 'best'} epoch of each seed was kept."


_LOSSES = ("train_loss", "val_loss", "val_loss_swa")
_SCORES = ("val_roc", "val_ap", "val_roc_swa", "val_ap_swa", "train_accuracy", "val_accuracy")
_READABLE = {
    "train_loss": "training loss",
    "val_loss": "validation loss",
    "train_accuracy": "training, other view found",
    "val_accuracy": "validation, other view found",
    "val_loss_swa": "validation loss, averaged weights",
    "val_roc": "validation ROC-AUC",
    "val_ap": "validation AP",
    "val_roc_swa": "ROC-AUC, averaged weights",
    "val_ap_swa": "AP, averaged weights",
}


def _example(example: Example) -> str:
    truth, order = np.asarray(example.truth, dtype=bool), np.argsort(-np.asarray(example.probabilities), kind="stable")
    shown = [int(i) for i in order[: example.top]]
    missed = [int(i) for i in order[example.top :] if truth[i]]
    items = []
    for i in [*shown, *missed]:
        p = float(example.probabilities[i])
        items.append(
            f'<li class="{"true" if truth[i] else "other"}"><span class="name">{escape(example.labels[i])}</span>'
            f'<span class="bar"><i style="width:{100 * p:.1f}%"></i></span><span class="num">{p:.2f}</span>'
            f"<span>{'✓ true' if truth[i] else ''}</span></li>"
        )
    names = ", ".join(example.labels[i] for i in np.flatnonzero(truth)) or "none"
    picture = spectrogram(
        example.mel, f"Mel spectrogram of {example.name}, {example.seconds:.1f} seconds, {example.mel.shape[1]} bands"
    )
    axis = f'<div class="axis"><span>0 s</span><span>{example.seconds / 2:.1f} s</span><span>{example.seconds:.1f} s</span></div>'
    by = f" by {example.system}" if example.system else ""
    beyond = f", then the true labels beyond the first {example.top}" if missed else ""
    caption = f"{example.name}: log-mel spectrogram, low frequencies below. True labels: {names}."
    return (
        html.figure(picture + axis, caption)
        + html.paragraph(f"Most probable labels{by}{beyond}; ✓ marks what the track really has.", "small soft")
        + f'<ul class="tags">{"".join(items)}</ul>'
    )


def _about(about: Mapping[str, Mapping[str, Any]], systems: Sequence[SystemScores]) -> list[str]:
    parts = [html.folded(name, html.settings_table(settings)) for name, settings in about.items()]
    for s in systems:
        parts.append(html.folded(f"System: {s.name}", html.settings_table({**s.settings, "seeds": s.seeds, **s.validation})))
    return [*parts, html.folded("Versions", html.settings_table(versions()))]


def _definitions(systems: Sequence[SystemScores]) -> list[str]:
    first, n = systems[0], len(systems[0].labels)
    tested = "Nothing was chosen on these tracks; each system was scored on them once."
    if first.folds is not None:
        tested = (
            "In each repetition every track is tested once, by a system that was trained and chosen on other folds; a label's score is its "
            "mean over the folds that it is defined in. All systems share the folds."
        )
    lines = [
        f"All scores are on {first.split}: {len(first.keys)} tracks, {n} labels. " + tested,
        "ROC-AUC: probability that a track with the label is ranked above one without it (ties count half); 0.5 is chance. "
        "AP: average precision without interpolation; its chance level is the label's share of tracks. Both as scikit-learn defines them.",
        "Macro: unweighted mean over labels. Labels without positives (for ROC-AUC also without negatives) among the scored tracks are left "
        f"out and counted: {first.n_classes('macro_roc')} of {n} enter ROC-AUC, {first.n_classes('macro_ap')} enter AP.",
        f"±: sample standard deviation over {over(systems)}. It holds what a new random start changes, not what other tracks would change: "
        "that is the bootstrap interval (1000 resamples of the tracks; percentiles, corrected for bias).",
    ]
    if any(s.settings.get("deterministic") for s in systems):
        lines.append("Exact: the fit is convex and has no random part, so one run says all and there is no spread over seeds.")
    return lines


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
