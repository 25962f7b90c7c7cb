"""MusicFM's table (arXiv 2311.03318, Table 1): beats, chords, structure, key, tags; and ours beside it."""

from __future__ import annotations

from functools import partial

from ..citations import Citation
from ..families.musicfm import ENCODER, PAPER_ROWS
from ..scale import Scale
from ..table import Table, table
from ..task_table import AUTO, Column, Reported, task_table

COLUMNS = (
    Column("beats, F1 (DBN)", "Beat", "Beat F1", "beats", "beat_f_dbn", annotations="beats"),
    Column("chords, majmin", "Chord", "Acc", "chords", "chord_majmin", annotations="chords"),
    Column("structure, frame accuracy", "Structure", "Acc", "structure", "frame_accuracy", annotations="sections"),
    Column("key, accuracy", "Key", "Acc", "single-label", "accuracy", "tonics", updates=AUTO),
    Column("tagging, macro AP", "Tagging", "mAP", "multi-label", "macro_ap"),
    Column("tagging, ROC-AUC", "Tagging", "ROC", "multi-label", "macro_roc"),
)


@table
def table_musicfm(scale: Scale) -> Table:
    """MusicFM: beats, chords, structure, key and tags, as its paper has them; guesses and mel statistics beside."""
    rows = [(f"{short} (paper)", partial(_paper, name)) for name, short in PAPER_ROWS.items()]
    reported = Reported("table_musicfm", "MusicFM", "MusicFM, Table 1", rows, _notes(scale))
    return task_table(scale, ENCODER, COLUMNS, reported)


def _paper(row: str, column: Column) -> Citation:
    return Citation("MusicFM", row, column.dataset, column.metric)


def _notes(scale: Scale) -> list[str]:
    paper = (
        "Rows of the paper (read by eye from the image of its Table 1) are of other data and of networks trained on 160 000 hours, or on FMA's 8000: "
        "they stand here to be seen together, not to be compared with those above. Its downbeats and boundaries (HR.5) have no score here."
    )
    if scale.published:
        return [paper, "Probes of the tasks in time on user-supplied data: docs/probes.md."]
    return [
        paper,
        "Here: beats, chords and silences of the demo music as its generator made them, the note that the melody is built on (of five) for key, all "
        "labels for tags; one head on vectors at 25 Hz, where the paper has a rate of its own for each task.",
        "Mel statistics of tracks and of frames have a linear head of their own. Constant and random guesses are made of training's annotations.",
    ]
