"""Files that could not be prepared: the table failed.csv (file, reason, bytes, modified), and which of them need not be tried again."""

from __future__ import annotations

import csv
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from models.bounded_files import MOST_TEXT, open_regular

from ..groundtruth.lines import csv_text
from ..utils.files import write_whole
from ..utils.spreadsheet import plain_cell, safe_cell

log = logging.getLogger(__name__)
FAILED_FILE = "failed.csv"
HEADER = ["file", "reason", "bytes", "modified"]


class Failures:
    """Failures of a preparation, those of the runs before included as long as they hold.

    bytes and modified (ns) are those of the file when it failed, and empty where the reason was none of the file's: such files, and those
    that have changed, are tried again. retry: all are.
    """

    def __init__(self, table: Path, audio_dir: Path, retry: bool = False):
        self.table, self._root = table, audio_dir
        self._rows: dict[str, list[str]] = {}
        self._before = {} if retry else _read(table)
        self.retry = retry

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def reasons(self) -> dict[str, str]:
        """Why each file failed, in the order of their names."""
        return {name: self._rows[name][0] for name in sorted(self._rows)}

    def known(self, name: str) -> bool:
        """Return whether the file has failed before for a reason of its own and is as it was; it is then kept as failed."""
        row = self._before.get(name)
        if row is None or not row[1] or row[1:] != self._state(name):
            return False
        self._rows[name] = row
        return True

    def keep(self, name: str, reason: str) -> None:
        """Keep a file that failed in a run which did not come to writing its table: it need not be tried again either, unless all are."""
        if not self.retry and name not in self._before:
            self._before[name] = [reason, *self._state(name)]

    def add(self, name: str, reason: str, lasting: bool) -> None:
        """Add a file that failed now. lasting: the file itself is at fault."""
        log.debug("%s: %s", name, reason)
        self._rows[name] = [reason, *(self._state(name) if lasting else ["", ""])]

    def _state(self, name: str) -> list[str]:
        try:
            status = os.stat(self._root / name)
        except OSError:
            return ["", ""]
        return [str(status.st_size), str(status.st_mtime_ns)]

    def write(self) -> None:
        """Write the table as it is now; it goes when nothing failed. Unchanged contents are not written again."""
        if not self._rows:
            self.table.unlink(missing_ok=True)
            return
        rows = [[safe_cell(name), *map(safe_cell, self._rows[name])] for name in sorted(self._rows)]
        write_whole(self.table, csv_text([HEADER, *rows]))


def failed_before(folder: Path) -> dict[str, str]:
    """Return the reason of each file that a preparation into `folder` left out, as its failed.csv says; {} where there is none."""
    return {name: row[0] for name, row in _read(folder / FAILED_FILE).items()}


def why_absent(names: Sequence[str], folder: Path) -> str:
    """Return, as a sentence that begins with a space, which of the tracks that a store lacks were left out by the preparation into `folder`, and why;
    "" where none was.
    """
    failed = failed_before(folder)
    known = [(name, failed[name]) for name in names if name in failed]
    if not known:
        return ""
    return f" {len(known)} of them are there and could not be prepared, such as {known[0][0]!r}: {known[0][1]}"


def _read(table: Path) -> dict[str, list[str]]:
    """The rows of an earlier table by file; a table that is not there, or not one of these, says nothing."""
    try:
        with open_regular(table, ValueError, MOST_TEXT, "r", newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except (OSError, ValueError, csv.Error):
        return {}
    if not rows or rows[0] != HEADER:
        return {}
    return {plain_cell(row[0]): [plain_cell(cell) for cell in row[1:]] for row in rows[1:] if len(row) == len(HEADER)}
