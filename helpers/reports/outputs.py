"""Scores output by output: dots per label, the confusion of classes, predicted over true numbers, and all of it as a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ..metrics.classes import confusion
from ..metrics.metric import Metric
from ..metrics.scores import SystemScores
from .charts import Dots, confusion_chart, dot_plot, scatter_chart
from .pages import Captioned, TableContent
from .score_charts import chance
from .wording import over

MAX_LABELS_CHART = 60  # rows of the chart per output; the table holds all
MAX_CLASSES = 40  # of a confusion matrix
MAX_VALUES = 6  # numbers that have a chart each


def output_charts(systems: Sequence[SystemScores]) -> list[Captioned]:
    """Every metric's scores per output."""
    return [_dots(systems, metric) for metric in systems[0].spec.per_output]


def prediction_charts(systems: Sequence[SystemScores]) -> list[Captioned]:
    """What the predictions themselves look like: the confusion of classes, by system; the first system's numbers over the true ones."""
    first = systems[0]
    if first.spec.one_class and len(first.labels) <= MAX_CLASSES:
        return [_confusion(system) for system in systems]
    if first.spec.numeric:
        return [_scatter(first, i) for i in range(min(len(first.labels), MAX_VALUES))]
    return []


def _dots(systems: Sequence[SystemScores], metric: Metric) -> Captioned:
    first, labels, (noun, nouns) = systems[0], systems[0].labels, systems[0].spec.nouns
    sorting = first.spec.per_output[0]
    by = sorting.sign * first.scores(sorting.outputs).mean(axis=0)
    order = np.argsort(-np.nan_to_num(by, nan=-np.inf), kind="stable")[:MAX_LABELS_CHART]
    shown = "" if len(order) == len(labels) else f" The best {len(order)} of {len(labels)} {nouns}; the table holds all."
    scores = [s.scores(metric.outputs).mean(axis=0) for s in systems]
    dots = [Dots(s.name, [_number(score[i]) for i in order], style) for style, (s, score) in enumerate(zip(systems, scores))]
    guess = chance(first, metric)
    guesses = guess[order].tolist() if isinstance(guess, np.ndarray) else guess
    name = metric.short_title[:1].upper() + metric.short_title[1:]
    summary = f"{name} of {len(order)} {nouns} for {', '.join(s.name for s in systems)}; the table below holds the numbers."
    caption = (
        f"{name} per {noun}, mean over {over(systems)}{'' if guess is None else '; dashed: chance'}. {nouns.capitalize()} by "
        f"{sorting.short_title} of {first.name}.{shown}"
    )
    return Captioned(dot_plot([labels[i] for i in order], dots, name, summary, chance=guesses), caption)


def _confusion(system: SystemScores) -> Captioned:
    counts = np.mean([confusion(system.targets, predictions) for predictions in system.predictions], axis=0)
    right = float(np.trace(counts) / counts.sum())
    summary = f"Confusion matrix of {system.name}: {right:.0%} of {len(system.keys)} tracks are taken for their own class"
    drawing = confusion_chart(counts, system.labels, summary)
    return Captioned(drawing, f"{system.name}: what tracks of each class (rows) are taken for, in percent of the row.")


def _scatter(system: SystemScores, i: int) -> Captioned:
    label = system.labels[i]
    predicted = system.predictions[:, :, i].mean(axis=0)
    summary = f"{label}: values predicted by {system.name} over the true ones, {len(system.keys)} tracks"
    drawing = scatter_chart(system.targets[:, i], predicted, f"{label}, true", "predicted", summary)
    mean = f" (mean over {len(system.seeds)} {over([system])})" if len(system.seeds) > 1 else ""
    return Captioned(drawing, f"{label}: predicted by {system.name}{mean} over true values; dashed: equal.")


def output_table(systems: Sequence[SystemScores], class_counts: Mapping[str, Sequence[int]] | None) -> TableContent:
    """A row per output: its tracks by split, and its scores by system."""
    first = systems[0]
    counts = class_counts or ({} if first.spec.numeric else {"scored tracks": first.targets.sum(axis=0).tolist()})
    header = [first.spec.nouns[0].capitalize(), *(f"n {split}" for split in counts)]
    columns = [[str(int(n)) for n in column] for column in counts.values()]
    for s in systems:
        for metric in first.spec.per_output:
            header.append(f"{s.name}: {metric.short_title}")
            columns.append(["–" if math.isnan(v) else f"{v:.3f}" for v in s.scores(metric.outputs).mean(axis=0)])
    return TableContent(header, list(zip(first.labels, *columns)) if columns else [])


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
