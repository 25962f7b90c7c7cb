"""The command check_data: listen to a collection, compare it with its table, write what was found and the cleaned table."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets.collection.audio_scan import ScanResult, Sound, scan_files, scan_store
from datasets.collection.findings import Findings, examine, torn_groups, write_table
from datasets.groundtruth.groundtruth import Groundtruth
from datasets.groundtruth.lines import csv_text, line_numbers
from datasets.groundtruth.read import TABLES
from datasets.groundtruth.splits import stratified_split
from datasets.prepare.failures import failed_before
from datasets.store.track_store import TrackStore
from datasets.utils.files import atomic
from datasets.utils.spreadsheet import safe_cell
from models.audio import find_audio
from models.bounded_files import read_json
from models.errors import ConfigError, GroundtruthError, StoreError

from ..utils.json_values import plain

REPORT = ("clean.csv", "problems.csv", "report.json")


@dataclass(frozen=True)
class Checked:
    """The findings, the cleaned table (None: nothing is left), where the files stand, and where the audio does. unsplit: why no split was made."""

    findings: Findings
    cleaned: Groundtruth | None
    folder: Path
    new_split: bool
    source: Path
    unsplit: str = ""

    def counts(self) -> dict[str, int]:
        """Numbers of everything found, and the exit code."""
        f = self.findings
        return {
            "rows": len(f.table),
            "files": len(f.names),
            "kept": 0 if self.cleaned is None else len(self.cleaned),
            "missing": len(f.missing),
            "unusable": len(f.unusable),
            "unreadable": len(f.unreadable),
            "without_split": len(f.unsplit),
            "absolute_paths": len(f.absolute),
            "repeated_rows": sum(len(rows) - 1 for rows in f.repeated),
            "copies": sum(len(rows) - 1 for rows in f.copied),
            "copies_with_other_labels": len(f.conflicting_copies),
            "copies_across_splits": len(f.leaking_copies),
            "copies_across_groups": len(f.copies_across_groups),
            "groups_across_splits": len(f.torn),
            "groups_across_splits_left": len(self.torn_still),
            "files_without_row": len(f.unlisted),
            "remarks": len(f.remarks),
            "exit_code": f.exit_code,
        }

    @property
    def torn_still(self) -> dict[str, dict[str, int]]:
        """Groups that stand in several splits of the cleaned table: a table's own splits are kept as they are."""
        return {} if self.cleaned is None else torn_groups(self.cleaned)


@dataclass(frozen=True)
class TableColumns:
    """Columns of a table by name, None: found by their usual ones; and what parts labels in a cell."""

    label: str | None = None
    group: str | None = None
    separator: str | None = None


def check_collection(
    source: Path,
    table: Path,
    out: Path,
    *,
    is_store: bool = False,
    columns: TableColumns | None = None,
    split_seed: int = 0,
    new_split: bool = False,
    jobs: int | None = None,
) -> Checked:
    """Listen to all audio under `source` (or read a store of mels or waveforms), examine it against `table`, and write into the folder `out`:

    clean.csv: the rows that can be used, copies once, as path, labels, split and group (further columns stay in the table); with the table's splits
    as they are (groups that stand in several of them included: a published split is not changed unasked), or new ones (stratified, whole groups
    together, by split_seed) where it has none or with new_split;
    problems.csv: path, problem, detail, and the table's line (csv and tsv); report.json: counts, lengths, labels; sounds.jsonl: what was heard,
    so that only new and changed files are listened to the next time.

    Raises ConfigError where the report would take the place of the table, or of another table's report; GroundtruthError for a table that cannot
    be read, AudioError or StoreError for audio that is not there.
    """
    columns = columns or TableColumns()
    _refuse_to_overwrite(out, table)
    truth = Groundtruth.read(
        table, label_column=columns.label, group_column=columns.group, separator=columns.separator, faulty=True
    )  # before hours of listening
    if is_store:
        store = TrackStore.open(source)
        left_out = {name: ScanResult(None, why) for name, why in failed_before(Path(store.paths[0]).parent).items()}
        heard = left_out | dict(scan_store(store))
    else:
        heard = scan_files(source, find_audio(source), out / "sounds.jsonl", jobs)
    heard = {name: ScanResult(h.sound, h.error and h.error.replace(f"{source}/", "")) for name, h in heard.items()}
    found = examine(truth, heard, None if is_store else source, new_split)
    cleaned, made, why = found.cleaned(), False, ""
    if (truth.split is None or new_split) and (bare := found.cleaned(without_split=True)) is not None:
        try:
            cleaned, made = bare.with_split(stratified_split(bare, split_seed)), True
        except GroundtruthError as error:
            why = str(error)
    checked = Checked(found, cleaned, out, made, source, why)
    _write(checked, source, table)
    return checked


def _refuse_to_overwrite(out: Path, table: Path) -> None:
    """Raise ConfigError where a file that is not this table's report would be lost."""
    if os.path.realpath(table) in [os.path.realpath(out / name) for name in REPORT]:
        raise ConfigError(
            f"check.out is {out}, and its {table.name} is the table itself, which would be overwritten: choose another check.out."
        )
    there = [name for name in REPORT if (out / name).exists()]
    if not there:
        return
    try:
        of = str(read_json(out / "report.json")["table"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(
            f"{out} holds {', '.join(there)}, and no report.json that says of which table: choose another check.out, or remove them."
        ) from None
    if "\0" in of or os.path.realpath(of) != os.path.realpath(table):
        raise ConfigError(f"{out} holds the report of another table, {of}: choose another check.out, or remove that folder.")


def _safe(cell: object) -> object:
    return safe_cell(cell) if isinstance(cell, str) else cell


def _write(checked: Checked, source: Path, table: Path) -> None:
    found, out = checked.findings, checked.folder
    located = found.located()
    of_row = line_numbers(table) if located and table.suffix.lower() in TABLES else None
    text = csv_text(
        [
            ("path", "problem", "detail", "line"),
            *([*map(_safe, line), "" if of_row is None or row is None else of_row[row]] for row, line in located),
        ]
    )
    about = {"audio": str(source), "table": str(table.resolve()), **checked.counts(), "labels": _labels(found.table)}
    about["labels_kept"] = {} if checked.cleaned is None else _labels(checked.cleaned)
    about |= {what: dict(counts) for what, counts in formats(found).items()}
    seconds = np.array([sound.seconds for sound in heard_sounds(found)])
    if len(seconds):
        about["seconds"] = {"min": seconds.min(), "median": np.median(seconds), "max": seconds.max(), "sum": seconds.sum()}
    if checked.cleaned is not None and checked.cleaned.split is not None:
        about["splits"] = {name: len(part) for name, part in checked.cleaned.splits.items()}
        about["new_split"] = checked.new_split
    try:
        if checked.cleaned is None:
            (out / "clean.csv").unlink(missing_ok=True)
        else:
            out.mkdir(parents=True, exist_ok=True)
            write_table(out / "clean.csv", checked.cleaned)
        for name, content in (("problems.csv", text), ("report.json", json.dumps(plain(about), indent=1) + "\n")):
            with atomic(out / name) as part:
                part.write_bytes(content.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise StoreError(f"The report could not be written to {out}: {error.strerror}.") from error


def _labels(table: Groundtruth) -> dict[str, int]:
    return dict(zip(table.labels, table.counts.tolist()))


def heard_sounds(found: Findings) -> list[Sound]:
    """The sounds of the table's files, each once."""
    return list({int(found.files[i]): sound for i, sound in found.sounds.items()}.values())


def formats(found: Findings) -> dict[str, Counter[str]]:
    """How many of the heard files have each format, sampling rate (Hz) and number of channels, the most frequent first."""
    sounds = heard_sounds(found)
    kinds = {
        "formats": (sound.format for sound in sounds),
        "sample_rates": (str(sound.sample_rate) for sound in sounds),
        "channels": (str(sound.channels) for sound in sounds),
    }
    return {what: Counter(dict(Counter(values).most_common())) for what, values in kinds.items()}
