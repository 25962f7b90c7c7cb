"""What many tables share: columns, and the row of a probe."""

from __future__ import annotations

from collections.abc import Sequence

from ..metrics.tasks import get_task, metric_title
from .citations import Citation
from .recipes import ProbeSettings, probe
from .scale import Scale, Target
from .steps import Ref, Step
from .table import Cell, Row


def headline(scale: Scale, target: Target | None = None) -> Sequence[str]:
    """Return the names of the two scores of a table's task."""
    target = target or scale.target
    return [metric.name for metric in get_task("multi-label" if target is None else target.task).headline]


def score_columns(scale: Scale) -> list[str]:
    """Return their titles."""
    return [metric_title(metric) for metric in headline(scale)]


def probe_cells(scale: Scale, step: Step, part: str = "", target: Target | None = None) -> list[Cell]:
    """Return the two scores of a probe.

    Args:
        scale: the table's.
        step: the probe.
        part: sub-folder of a system beside the first.
        target: the data set that is probed; None: the scale's.
    """
    return [Cell("probe", step, part, metric) for metric in headline(scale, target)]


def probe_row(
    scale: Scale, name: str, embeddings: Ref, settings: ProbeSettings | None = None, citations: Sequence[Citation] = ()
) -> Row:
    """Return a row with the two scores of a probe on the scale's data.

    Args:
        scale: the table's.
        name: the row's.
        embeddings: what is probed: Ref(extraction, "2") for a block, Ref(extraction, "embeddings") for the only output.
        settings: of the probe; None: the three tokens stacked.
        citations: what papers report for the same system.
    """
    step = probe(scale, embeddings, settings, scale.target)
    return Row(name, probe_cells(scale, step), citations)
