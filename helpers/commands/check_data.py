"""The command that looks whether a collection is fit to train on."""

from __future__ import annotations

from pathlib import Path

from models.bounded_files import check_writable
from models.errors import ConfigError

from ..data.check import TableColumns, check_collection
from ..data.check_table import print_findings
from ..data.find import audio_and_table
from .context import Context


def check_data(context: Context) -> dict[str, int]:
    """Is the collection fit to train on? Missing and unreadable files, lengths, labels, copies, leaks between splits; writes the cleaned table.

    Looks at datamodule.audio_dir (or base_dir) and datamodule.groundtruth. Exit code: 0 nothing to mend, 3 there is, 1 it could not look.
    """
    c, check = context.config.datamodule, context.config.check
    audio, table = audio_and_table(c.audio_dir, c.base_dir, c.groundtruth, c.demo_tracks)
    out = Path(check.out or Path("exp_out/checked") / f"{audio.resolve().name}-{table.stem}")
    check_writable(out, ConfigError, "check.out")
    found = check_collection(
        audio,
        table,
        out,
        is_store=c.audio_dir is None and c.base_dir is not None,
        jobs=check.jobs,
        new_split=check.new_split,
        columns=TableColumns(c.label_column, c.group_column, c.label_separator),
        split_seed=c.split_seed,
    )
    print_findings(found)
    return found.counts()
