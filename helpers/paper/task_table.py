"""A table of several tasks, tags and tasks in time, for one encoder: trained, untrained, mel statistics, guesses, and a paper's rows below."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..evaluation.system_names import mel_name
from .citations import Citation
from .encoders import Encoder
from .recipes import ProbeSettings, mel_store, music, probe, result_folder
from .scale import Scale
from .steps import Ref, Step
from .table import Cell, Claim, Row, Table, cited_cell, text_cell

ELSEWHERE = "not available: only the demo music has it here"
NONE = "none"
AUTO: Mapping[str, Any] = {"optimizer.monitor": "auto"}


@dataclass(frozen=True)
class Column:
    """A task of the table.

    Args:
        title: the column's.
        dataset: whose number the paper has, as the file of papers' numbers names it.
        metric: as that file names it.
        task: of ex_tl.py.
        score: which of the task's scores.
        labels: table of the demo music whose labels or values are probed.
        annotations: kind of annotations of the demo music, of a task in time.
        updates: dotted keys of ex_tl.py -> values.
    """

    title: str
    dataset: str
    metric: str
    task: str
    score: str
    labels: str = "demo"
    annotations: str = ""
    updates: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reported:
    """A paper's rows for the same tasks: (title, function column -> which number; None: it has none of that column).

    name, title and source: the table's; notes: below it.
    """

    name: str
    title: str
    source: str
    rows: Sequence[tuple[str, Callable[[Column], Citation | None]]]
    notes: Sequence[str]


def task_table(scale: Scale, encoder: Encoder, columns: Sequence[Column], reported: Reported) -> Table:
    """Return the table: the encoder's rows, guesses and mel statistics beside, then the paper's rows."""
    found = [_probes(scale, encoder, column) for column in columns]
    rows = [
        Row(encoder.title, [_cell(column, steps.get("trained")) for column, steps in zip(columns, found)]),
        Row(f"untrained {encoder.title}", [_cell(column, steps.get("random")) for column, steps in zip(columns, found)]),
        Row("mel statistics, linear", [_beside(column, steps.get("random"), mel_name(column.task)) for column, steps in zip(columns, found)]),
        *(
            Row(f"{kind} guess", [_beside(c, s.get("trained") if c.annotations else None, f"{kind} guess", NONE) for c, s in zip(columns, found)])
            for kind in ("constant", "random")
        ),
        *(Row(name, [cited_cell(cite(column), NONE) for column in columns]) for name, cite in reported.rows),
    ]  # fmt: skip
    numbers = [i for i, cell in enumerate(rows[0].cells) if cell.step is not None]
    claims = [
        Claim(text, rows[0].cells[i], rows[other].cells[i], f"{columns[i].title}: {encoder.title} - {rows[other].name}")
        for other, text in ((1, "Pre-training helps: beyond the untrained network."), (2, "A pre-trained network beats mel statistics."))
        for i in numbers
    ]  # fmt: skip
    titles = [column.title for column in columns]
    return Table(reported.name, reported.title, reported.source, titles, rows, claims=claims, notes=list(reported.notes))


def _probes(scale: Scale, encoder: Encoder, column: Column) -> dict[str, Step]:
    """Return the probe of the trained and of the untrained network; none where the scale's data have no such labels."""
    target = scale.target
    if target is not None and target.task != column.task:
        return {}
    steps = {}
    for name in ("trained", "random"):
        updates = {**column.updates, "data.mel_dir": mel_store(scale, target)}
        title = f"{column.task}, {name}"
        if column.annotations and target is None:
            frames = encoder.extracted(scale, trained=name == "trained", frames=True)
            updates |= {"data.task": column.task, "data.annotations": Ref(music(scale), column.annotations), **AUTO}
            named = scale.named_configs["frames"]
            steps[name] = probe(scale, frames, ProbeSettings("t", "mean", named=named, title=title, updates=updates))
            continue
        if target is None:
            updates["data.task"] = column.task
        embeddings = encoder.extracted(scale, target, trained=name == "trained")
        steps[name] = probe(scale, embeddings, ProbeSettings("t", "mean", column.labels, title=title, updates=updates), target)
    return steps


def _cell(column: Column, step: Step | None) -> Cell:
    return text_cell(ELSEWHERE) if step is None else Cell("probe", step, "", column.score)


def _beside(column: Column, step: Step | None, system: str, why: str = ELSEWHERE) -> Cell:
    return text_cell(why) if step is None else Cell("probe", step, result_folder(system), column.score)
