"""Families side by side: every registered one, random networks and mel statistics, under one probe; on one target, and on several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...evaluation.comparison import MEL_STATISTICS
from ...metrics.tasks import metric_title
from .. import recipes as r
from ..families import System, all_systems
from ..label_groups import TASKS
from ..rows import NO_MAEST_TABLE, headline, main_target, probe_cells, score_columns
from ..steps import Step
from ..table import Cell, Claim, Row, Table, table, words

UNTRAINED = "untrained MAEST"
BASELINE = "mel statistics, logistic regression"
SEEN = "MAEST was pre-trained on the labels that are probed (of other tracks), CLMR on none."
NOT_FOR = "not available: mel statistics are for tags"


@table
def table_families(scale: r.Scale) -> Table:
    """Every registered family, untrained networks and mel statistics under one probe."""
    target = main_target(scale)
    systems = all_systems(scale, target)
    steps = _probes(scale, systems, target)
    rows = [Row(s.name, probe_cells(scale, step, target=target), s.quotes) for s, step in zip(systems, steps)]
    rows.append(Row(BASELINE, _mel_cells(systems, steps, target, headline(scale))))
    untrained = {s.family: row for s, row in zip(systems, rows) if not s.trained}
    claims = []
    for system, row in zip(systems, rows):
        random = untrained.get(system.family)
        if system.trained and random is not None:
            claims.append(
                Claim(
                    "Pre-training helps: beyond the untrained network.",
                    row.cells[0],
                    random.cells[0],
                    f"{row.name} - {random.name}",
                )
            )
    claims += [
        Claim("A pre-trained network beats mel statistics.", row.cells[0], rows[-1].cells[0], f"{row.name} - mel statistics")
        for system, row in zip(systems, rows)
        if system.trained
    ]
    notes = [
        "One probe for all: the same head, optimiser, epochs and selection, on the mean over a track's windows; MAEST gives its three tokens "
        "stacked, others one vector. Mel statistics (mean and sd of each band) have logistic regression of their own.",
    ]
    if scale["networks"] == r.TRAINED:
        notes.append(SEEN)
    return Table("table_families", "Families", "all papers", score_columns(scale), rows, claims=claims, notes=notes)


def _probes(scale: r.Scale, systems: Sequence[System], target: Mapping[str, Any] | None, **more: Any) -> list[Step]:
    """A probe per system; that of the untrained MAEST, which hears the same mels, brings mel statistics with it where the task is tags."""
    tags = target is None or target["task"] == "multi-label"
    steps = []
    for system in systems:
        beside = {"data.mel_dir": r.mel_store(scale, target)} if system.name == UNTRAINED and tags else {}
        steps.append(r.probe(scale, system.embeddings, types=system.types, reduce=system.reduce, target=target, **more, **beside))
    return steps


def _mel_cells(
    systems: Sequence[System], steps: Sequence[Step], target: Mapping[str, Any] | None, metrics: Sequence[str]
) -> list[Cell]:
    step = next(step for system, step in zip(systems, steps) if system.name == UNTRAINED)
    if target is not None and target["task"] != "multi-label":
        return [words(NOT_FOR) for _ in metrics]
    return [Cell("probe", step, r.result_folder(MEL_STATISTICS), metric) for metric in metrics]


@table
def table_downstream(scale: r.Scale) -> Table:
    """Section 4.5: several targets. Demo: each group of labels by itself; published data: every variant of the data set."""
    if scale["networks"] == r.PUBLISHED:
        cases = [
            (f"{t['variant']}: {metric_title(headline(scale, t)[0])}", t, "demo", headline(scale, t)[0]) for t in scale["targets"]
        ]
    else:
        cases = [(task, None, task, headline(scale)[0]) for task in TASKS]
    columns: list[str] = []
    cells: dict[str, list[Cell]] = {}
    quotes = {}
    for column, target, group, metric in cases:
        columns.append(column)
        systems = [s for s in all_systems(scale, target) if s.trained or s.name == UNTRAINED]
        steps = _probes(scale, systems, target, table=group)
        for system, step in zip(systems, steps):
            cells.setdefault(system.name, []).append(Cell("probe", step, "", metric))
            quotes[system.name] = system.quotes
        cells.setdefault(BASELINE, []).extend(_mel_cells(systems, steps, target, [metric]))
    rows = [Row(name, found, quotes.get(name, ())) for name, found in cells.items()]
    note = "Every column is macro ROC-AUC over the labels of one group, its own probe." if scale["networks"] == r.TRAINED else ""
    variants = [f"{t['variant']}: {t['about']}." for t in scale["targets"]] if scale["networks"] == r.PUBLISHED else []
    return Table(
        "table_downstream",
        "Downstream targets",
        "MAEST, section 4.5",
        columns,
        rows,
        notes=[text for text in (NO_MAEST_TABLE, *variants, note, note and SEEN) if text],
    )
