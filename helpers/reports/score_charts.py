"""The scores of systems as charts: a metric with its intervals beside what a guess scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..metrics.metric import Metric, Predictions, mean_of_outputs
from ..metrics.scores import SystemScores
from .charts import Dots, dot_plot
from .pages import Captioned
from .wording import intervals_are


def chance(system: SystemScores, metric: Metric) -> float | np.ndarray | None:
    """What a guess scores on the system's targets, a number or one per output; None where it is not known."""
    return metric.chance_of(Predictions(system.targets, system.predictions[0], system.labels))


def score_chart(systems: Sequence[SystemScores], metric: Metric) -> Captioned:
    """A row per system."""
    dots = Dots(metric.title, [s.mean(metric) for s in systems], 0, [s.interval(metric) for s in systems])
    title = metric.title[:1].upper() + metric.title[1:]
    guess = chance(systems[0], metric)
    summary = f"{title} with 95 % intervals: " + ", ".join(f"{s.name} {s.mean(metric):.3f}" for s in systems)
    drawing = dot_plot(
        [s.name for s in systems], [dots], metric.title, summary, None if guess is None else mean_of_outputs(guess), row_height=30
    )
    lower = "" if metric.direction == "higher" else "; lower is better"
    return Captioned(
        drawing,
        f"{title}, {intervals_are(systems)}{lower}{'' if guess is None else '; dashed: chance'}.",
    )
