"""OMAR-RQ's table (arXiv 2507.03482, its README's): tags, difficulty, pitch, chords, beats, structure; and ours beside it."""

from __future__ import annotations

from functools import partial

from ..citations import Citation
from ..families.omar_rq import ENCODER, README_ROWS
from ..scale import Scale
from ..table import Table, table
from ..task_table import AUTO, Column, Reported, task_table

COLUMNS = (
    Column("tagging, macro AP", "MTT", "mAP", "multi-label", "macro_ap"),
    Column("difficulty, MSE", "PianoSyllabus", "MSE (lower better)", "ordinal", "grade_mse", "grades", updates=AUTO),
    Column("pitch, accuracy", "NSynth", "accuracy", "single-label", "accuracy", "tonics", updates=AUTO),
    Column("chords, majmin", "chords data set (name not given in cfg)", "accuracy", "chords", "chord_majmin", annotations="chords"),
    Column("beats, F1 (DBN)", "beat-tracking set (name not given in cfg)", "F1", "beats", "beat_f_dbn", annotations="beats"),
    Column("structure, frame accuracy", "Harmonix", "accuracy", "structure", "frame_accuracy", annotations="sections"),
)  # fmt: skip


@table
def table_omar_rq(scale: Scale) -> Table:
    """OMAR-RQ: tags, difficulty, pitch, chords, beats and structure, as its README has them; guesses and mel statistics beside."""
    rows = [(f"{name} (README)", partial(_readme, name)) for name in README_ROWS]
    reported = Reported("table_omar_rq", "OMAR-RQ", "OMAR-RQ, README: available models", rows, _notes(scale))
    return task_table(scale, ENCODER, COLUMNS, reported)


def _readme(row: str, column: Column) -> Citation:
    return Citation("OMAR-RQ", row, column.dataset, column.metric, clips="unknown" if column.dataset == "MTT" else "")


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
