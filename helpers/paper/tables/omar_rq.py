"""OMAR-RQ's table (arXiv 2507.03482, its README's): tags, difficulty, pitch, chords, beats, structure; and ours beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...evaluation.system_names import mel_name
from ..citations import Citation, find_score
from ..families import omar_rq
from ..recipes import ProbeSettings, mel_store, music, probe, result_folder
from ..scale import Scale
from ..steps import Ref, Step
from ..table import Cell, Claim, Row, Table, table, text_cell

ELSEWHERE = "not available: only the demo music has it here"
NONE = "none"


@dataclass(frozen=True)
class Column:
    """A task of the table.

    Args:
        title: the column's.
        dataset: whose number the README has, as the file of papers' numbers names it.
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


_AUTO = {"optimizer.monitor": "auto"}
COLUMNS = (
    Column("tagging, macro AP", "MTT", "mAP", "multi-label", "macro_ap"),
    Column("difficulty, MSE", "PianoSyllabus", "MSE (lower better)", "ordinal", "grade_mse", "grades", updates=_AUTO),
    Column("pitch, accuracy", "NSynth", "accuracy", "single-label", "accuracy", "tonics", updates=_AUTO),
    Column("chords, majmin", "chords data set (name not given in cfg)", "accuracy", "chords", "chord_majmin", annotations="chords"),
    Column("beats, F1 (DBN)", "beat-tracking set (name not given in cfg)", "F1", "beats", "beat_f_dbn", annotations="beats"),
    Column("structure, frame accuracy", "Harmonix", "accuracy", "structure", "frame_accuracy", annotations="sections"),
)  # fmt: skip


@table
def table_omar_rq(scale: Scale) -> Table:
    """OMAR-RQ: tags, difficulty, pitch, chords, beats and structure, as its README has them; guesses and mel statistics beside."""
    found = [_probes(scale, column) for column in COLUMNS]
    rows = [
        Row("OMAR-RQ", [_cell(column, steps.get("trained")) for column, steps in zip(COLUMNS, found)]),
        Row("untrained OMAR-RQ", [_cell(column, steps.get("random")) for column, steps in zip(COLUMNS, found)]),
        Row("mel statistics, linear", [_beside(column, steps.get("random"), mel_name(column.task)) for column, steps in zip(COLUMNS, found)]),
        *(
            Row(f"{kind} guess", [_beside(c, s.get("trained") if c.annotations else None, f"{kind} guess", NONE) for c, s in zip(COLUMNS, found)])
            for kind in ("constant", "random")
        ),
        *(Row(f"{name} (README)", [text_cell(_readme(name, column)) for column in COLUMNS]) for name in omar_rq.README_ROWS),
    ]  # fmt: skip
    numbers = [i for i, cell in enumerate(rows[0].cells) if cell.step is not None]
    claims = [
        Claim(text, rows[0].cells[i], rows[other].cells[i], f"{COLUMNS[i].title}: OMAR-RQ - {rows[other].name}")
        for other, text in ((1, "Pre-training helps: beyond the untrained network."), (2, "A pre-trained network beats mel statistics."))
        for i in numbers
    ]  # fmt: skip
    return Table(
        "table_omar_rq", "OMAR-RQ", "OMAR-RQ, README: available models", [column.title for column in COLUMNS], rows,
        claims=claims, notes=_notes(scale),
    )  # fmt: skip


def _probes(scale: Scale, column: Column) -> dict[str, Step]:
    """Return the probe of the trained and of the untrained network; none where the scale's data have no such labels."""
    target = scale.target
    if target is not None and target.task != column.task:
        return {}
    steps = {}
    for name in ("trained", "random"):
        updates = {**column.updates, "data.mel_dir": mel_store(scale, target)}
        if column.annotations and target is None:
            frames = omar_rq.extracted(scale, trained=name == "trained", frames=True)
            updates |= {"data.task": column.task, "data.annotations": Ref(music(scale), column.annotations), **_AUTO}
            settings = ProbeSettings(
                "t", "mean", named=scale.named_configs["frames"], title=f"{column.task}, {name}", updates=updates
            )
            steps[name] = probe(scale, frames, settings)
            continue
        if target is None:
            updates["data.task"] = column.task
        embeddings = omar_rq.extracted(scale, target, trained=name == "trained")
        steps[name] = probe(
            scale, embeddings, ProbeSettings("t", "mean", column.labels, title=f"{column.task}, {name}", updates=updates), target
        )
    return steps


def _cell(column: Column, step: Step | None) -> Cell:
    return text_cell(ELSEWHERE) if step is None else Cell("probe", step, "", column.score)


def _beside(column: Column, step: Step | None, system: str, why: str = ELSEWHERE) -> Cell:
    return text_cell(why) if step is None else Cell("probe", step, result_folder(system), column.score)


def _readme(row: str, column: Column) -> str:
    return f"{find_score(Citation('OMAR-RQ', row, column.dataset, column.metric)).value:g}"


def _notes(scale: Scale) -> list[str]:
    readme = (
        "Rows of the README are of other data (MagnaTagATune, Piano Syllabus, NSynth, a chord set and a beat set that its configs do not name, "
        "Harmonix) and of networks trained on 330 000 hours: they stand here to be seen together, not to be compared with those above."
    )
    if scale.published:
        return [readme, "Probes of the other five tasks on user-supplied data: docs/probes.md."]
    return [
        readme,
        "Here: all labels of the demo music for tags; its tempo as a grade of 1 to 3 for difficulty; the note that the melody is built on (of five) "
        "for pitch; chords, beats and silences as its generator made them. For chords and difficulty the README's probe is not public: ours.",
        "Mel statistics of tracks and of frames have a linear head of their own. Constant and random guesses are made of training's annotations.",
    ]
