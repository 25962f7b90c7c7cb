"""music2vec's table (arXiv 2212.02508): ours alone, since no figure of its papers could be read; MERT's, its successor's, below."""

from __future__ import annotations

from ..citations import Citation
from ..families.music2vec import ENCODER
from ..scale import Scale
from ..table import Table, table
from ..task_table import AUTO, Column, Reported, task_table

COLUMNS = (
    Column("tagging, macro AP", "MTT", "AP", "multi-label", "macro_ap"),
    Column("tagging, ROC-AUC", "MTT", "ROC", "multi-label", "macro_roc"),
    Column("key, accuracy", "", "", "single-label", "accuracy", "tonics", updates=AUTO),
)


@table
def table_music2vec(scale: Scale) -> Table:
    """music2vec: tags and key of tracks, as its paper probes them; mel statistics beside. Its own numbers are not available."""
    notes = [
        "The paper's numbers (genre, key, emotion, tags): not available. Its model card has them as an image that could not be read, and "
        "the stored text of the paper ends before its table."
    ]
    if not scale.published:
        notes.append(
            "Here: all labels of the demo music for tags, the note that the melody is built on (of five) for key; mel statistics have a linear "
            "head of their own."
        )
    notes.append(
        "The row of MERT, music2vec's successor, is the MuQ paper's (MARBLE's probe of the published 330M network): "
        "to be seen beside, not to be compared with. Its key score is a refined accuracy, which this column is not."
    )
    rows = [("MERT 330M (MuQ, MARBLE)", _mert)]
    return task_table(scale, ENCODER, COLUMNS, Reported("table_music2vec", "music2vec", "music2vec, section 3", rows, notes))


def _mert(column: Column) -> Citation | None:
    row = "MERT (330M, starred cells from the MERT paper)"
    return Citation("MuQ", row, column.dataset, column.metric, clips="unknown") if column.dataset else None
