"""Families side by side: every registered one, random networks and mel statistics, under one probe; on one target, and on several."""

from __future__ import annotations

from collections.abc import Sequence

from ...evaluation.system_names import MEL_STATISTICS
from ...metrics.tasks import metric_title
from ..families import System, all_systems, maest
from ..label_groups import TASKS
from ..recipes import ProbeSettings, mel_store, probe, result_folder
from ..rows import headline, probe_cells, score_columns
from ..scale import Scale, Target
from ..steps import Step
from ..table import COSTS, Cell, Claim, Row, Table, table, text_cell

UNTRAINED = "untrained MAEST"
BASELINE = "mel statistics, logistic regression"
SEEN = "MAEST was pre-trained on the labels that are probed (of other tracks), musicnn on those of MagnaTagATune, the others on none."
NONE = "-"
NOT_FOR = "not available: mel statistics are for tags"


@table
def table_families(scale: Scale) -> Table:
    """Every registered family, untrained networks and mel statistics under one probe."""
    target = scale.target
    systems = all_systems(scale, target)
    steps = _probes(scale, systems, target)
    rows = [Row(s.name, [*probe_cells(scale, step, target=target), *_costs(s)], s.citations) for s, step in zip(systems, steps)]
    rows.append(Row(BASELINE, [*_mel_cells(systems, steps, target, headline(scale)), *(text_cell(NONE) for _ in COSTS)]))
    untrained = {s.family: row for s, row in zip(systems, rows) if not s.trained}
    trained = [(row, untrained.get(s.family)) for s, row in zip(systems, rows) if s.trained]
    claims = [
        Claim("Pre-training helps: beyond the untrained network.", row.cells[0], random.cells[0], f"{row.name} - {random.name}")
        for row, random in trained
        if random is not None
    ]
    claims += [
        Claim("A pre-trained network beats mel statistics.", row.cells[0], rows[-1].cells[0], f"{row.name} - mel statistics")
        for row, _ in trained
    ]
    notes = [
        "One probe for all: the same head, optimiser, epochs and selection, on the mean over a track's windows; MAEST gives its three tokens "
        "stacked, others one vector. Mel statistics (mean and sd of each band) have logistic regression of their own.",
        "Pre-training and a track's extraction are seconds of the clock, on this machine, beside whatever else it did: steps side by side share its "
        "cores. Weights are the network's without its classes' head.",
    ]
    if not scale.published:
        notes.append(SEEN)
    columns = [*score_columns(scale), "pre-training", "a track", "weights"]
    return Table("table_families", "Families", "all papers", columns, rows, claims=claims, notes=notes)


def _costs(system: System) -> list[Cell]:
    """Return what a system took and how large it is: pre-training here, extraction per track, weights."""
    extraction = system.embeddings.step
    trained = next((step for step in extraction.inputs if step.trains), None) if system.trained else None
    first = text_cell(NONE) if trained is None else Cell("cost", trained, COSTS[0])
    return [first, *(Cell("cost", extraction, part, text=system.embeddings.output) for part in COSTS[1:])]


def _probes(scale: Scale, systems: Sequence[System], target: Target | None, group: str = "demo") -> list[Step]:
    """Return a probe per system; that of the untrained MAEST, which reads the same mels, brings mel statistics with it where the task is tags.

    Args:
        scale: the table's.
        systems: those that are probed.
        target: the data set that they are of; None: the demo music.
        group: whose labels of the demo music.
    """
    steps = []
    for system in systems:
        with_mels = system.name == UNTRAINED and _tags(target)
        updates = {"data.mel_dir": mel_store(scale, target)} if with_mels else {}
        settings = ProbeSettings(system.types, system.reduce, group, updates=updates)
        steps.append(probe(scale, system.embeddings, settings, target))
    return steps


def _tags(target: Target | None) -> bool:
    return target is None or target.task == "multi-label"


def _mel_cells(systems: Sequence[System], steps: Sequence[Step], target: Target | None, metrics: Sequence[str]) -> list[Cell]:
    if not _tags(target):
        return [text_cell(NOT_FOR) for _ in metrics]
    step = next(step for system, step in zip(systems, steps) if system.name == UNTRAINED)
    return [Cell("probe", step, result_folder(MEL_STATISTICS), metric) for metric in metrics]


@table
def table_downstream(scale: Scale) -> Table:
    """Section 4.5: several targets. Demo: each group of labels by itself; published data: every variant of the data set."""
    cases: list[tuple[str, Target | None, str, str]] = []  # column, data set, labels of the demo music, metric
    if scale.published:
        firsts = [(t, headline(scale, t)[0]) for t in scale.targets]
        cases += [(f"{t.variant}: {metric_title(metric)}", t, "demo", metric) for t, metric in firsts]
    else:
        cases += [(task, None, task, headline(scale)[0]) for task in TASKS]
    columns: list[str] = []
    cells: dict[str, list[Cell]] = {}
    citations = {}
    for column, target, group, metric in cases:
        columns.append(column)
        systems = [s for s in all_systems(scale, target) if s.trained or s.name == UNTRAINED]
        steps = _probes(scale, systems, target, group)
        for system, step in zip(systems, steps):
            cells.setdefault(system.name, []).append(Cell("probe", step, "", metric))
            citations[system.name] = system.citations
        cells.setdefault(BASELINE, []).extend(_mel_cells(systems, steps, target, [metric]))
    rows = [Row(name, found, citations.get(name, ())) for name, found in cells.items()]
    note = "Every column is macro ROC-AUC over the labels of one group, its own probe." if not scale.published else ""
    variants = [f"{t.variant}: {t.about}." for t in scale.targets] if scale.published else []
    return Table(
        "table_downstream",
        "Downstream targets",
        "MAEST, section 4.5",
        columns,
        rows,
        notes=[text for text in (maest.NO_TABLE, *variants, note, note and SEEN) if text],
    )
