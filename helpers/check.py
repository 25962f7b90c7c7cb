"""The command check_data: listen to a collection, compare it with its table, say what was found, write the cleaned table."""

from __future__ import annotations

import csv
import io
import itertools
import json
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from datasets.collection import Findings, examine, write_table
from datasets.groundtruth import SPLITS, Groundtruth
from datasets.sounds import listen_to_all, sounds_of_store
from datasets.splits import stratified_split
from datasets.store import TrackStore
from models.audio import find_audio
from models.errors import GroundtruthError, StoreError

from .files import atomic, plain

log = logging.getLogger(__name__)
EDGES = (1, 5, 10, 30, 60, 300, 900, 3600)  # seconds
SHOWN = 8


@dataclass(frozen=True)
class Checked:
    """The findings, the cleaned table (None: nothing is left), and where the files stand."""

    findings: Findings
    cleaned: Groundtruth | None
    folder: Path
    new_split: bool

    def counts(self) -> dict[str, int]:
        """Numbers of everything found, and the exit code."""
        f = self.findings
        return {
            "tracks": len(f.table),
            "files": len(f.names),
            "kept": 0 if self.cleaned is None else len(self.cleaned),
            "missing": len(f.missing),
            "unusable": len(f.unusable),
            "unreadable": len(f.unreadable),
            "copies": sum(len(rows) - 1 for rows in f.copies),
            "copies_with_other_labels": sum(len(rows) - 1 for rows in f.conflicting_copies),
            "copies_across_splits": sum(len(rows) - 1 for rows in f.leaking_copies),
            "groups_across_splits": len(f.torn),
            "files_without_row": len(f.unlisted),
            "remarks": len(f.remarks),
            "exit_code": f.exit_code,
        }


def check_collection(
    source: Path,
    table: Path,
    out: Path,
    *,
    is_store: bool = False,
    label_column: str | None = None,
    group_column: str | None = None,
    split_seed: int = 0,
    new_split: bool = False,
    jobs: int | None = None,
) -> Checked:
    """Listen to all audio under `source` (or read a store of mels or waveforms), examine it against `table`, and write into the folder `out`:

    clean.csv: the rows that can be used, copies once, with the table's splits, or new ones (stratified, whole groups together, by split_seed)
    where it has none or with new_split;
    problems.csv: path, problem, detail; report.json: counts, lengths, labels; sounds.jsonl: what was heard, so that only new and changed
    files are listened to the next time.

    Raises GroundtruthError for a table that cannot be read, AudioError or StoreError for audio that is not there.
    """
    truth = Groundtruth.read(table, label_column=label_column, group_column=group_column)  # before hours of listening
    if is_store:
        heard = dict(sounds_of_store(TrackStore.open(source)))
    else:
        heard = listen_to_all(source, find_audio(source), out / "sounds.jsonl", jobs)
    found = examine(truth, heard)
    cleaned, made = found.cleaned(), False
    if cleaned is not None and (cleaned.split is None or new_split):
        try:
            cleaned, made = cleaned.with_split(stratified_split(cleaned, split_seed)), True
        except GroundtruthError as error:
            log.warning("The cleaned table gets no new splits: %s", error)
    checked = Checked(found, cleaned, out, made)
    _write(checked, source, table)
    return checked


def _write(checked: Checked, source: Path, table: Path) -> None:
    found, out = checked.findings, checked.folder
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["path", "problem", "detail"])
    lines.writerows(found.problems())
    about = {"audio": str(source), "table": str(table), **checked.counts(), "labels": _labels(found.table)}
    seconds = np.array([sound.seconds for sound in found.sounds.values()])
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
        for name, content in (("problems.csv", text.getvalue()), ("report.json", json.dumps(plain(about), indent=1) + "\n")):
            with atomic(out / name) as part:
                part.write_bytes(content.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise StoreError(f"The report could not be written to {out}: {error.strerror}.") from error


def _labels(table: Groundtruth) -> dict[str, int]:
    return dict(zip(table.labels, table.counts.tolist()))


# -- on the screen


def print_findings(checked: Checked, console: Console | None = None) -> None:
    """A summary that fits a screen; problems.csv has every line."""
    console = console or Console()
    found, counts = checked.findings, checked.counts()
    for titled in (_faults(found, counts, console.width), _lengths(found), _label_table(found.table, checked.cleaned)):
        if titled is not None:
            console.print(Text(titled[0], style="bold"), titled[1])
    if checked.cleaned is None:
        console.print(Text("No track can be used.", style="bold red"))
        return
    clean = f"{len(checked.cleaned)} of {len(found.table)} tracks can be used: {checked.folder / 'clean.csv'}"
    if checked.new_split:
        clean += " (split 80/10/10 by its labels" + (", whole groups together)" if found.table.group is not None else ")")
    console.print(Text(clean, style="bold green" if found.exit_code == 0 else "bold yellow"))
    if found.problems():
        console.print(Text(f"Every problem by line: {checked.folder / 'problems.csv'}"))


def _table(*columns: str) -> Table:
    """A plain table."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, name in enumerate(columns):
        table.add_column(name, justify="right" if i and name not in ("such as", "") else "left", no_wrap=True)
    return table


def _faults(found: Findings, counts: dict[str, int], width: int) -> tuple[str, Table]:
    key = found.table.keys
    split = found.table.split

    def where(rows: list[int]) -> str:
        return " = ".join(f"{key[i]} ({split[i]})" if split is not None else key[i] for i in rows[:3])

    lines: list[tuple[str, int, str, str]] = [
        (
            "missing: no such file",
            counts["missing"],
            "red",
            key[found.missing[0]] if found.missing else "",
        ),
        ("no file of their own", counts["unusable"], "red", next(iter(found.unusable.values()), "")),
        ("unreadable audio", counts["unreadable"], "red", next(iter(found.unreadable.values()), "")),
        ("copies: the same samples", counts["copies"], "red", where(found.copies[0]) if found.copies else ""),
        ("  with other labels", counts["copies_with_other_labels"], "red", _first(found.conflicting_copies, where)),
        ("  across splits: a leak", counts["copies_across_splits"], "red", _first(found.leaking_copies, where)),
        (
            "groups across splits: a leak",
            counts["groups_across_splits"],
            "red",
            next((f"{name}: {', '.join(parts)}" for name, parts in found.torn.items()), ""),
        ),
        ("odd sound", counts["remarks"], "yellow", _remark(found)),
        ("files without a row", counts["files_without_row"], "yellow", found.unlisted[0] if found.unlisted else ""),
    ]
    table = _table("what", "number", "such as")
    room = max(width - 48, 20)
    for what, n, style, example in lines:
        table.add_row(
            Text(what),
            Text(str(n), style=style if n else "green"),
            Text(example if len(example) <= room else example[: room - 1] + "…"),
        )
    return f"{counts['tracks']} tracks in the table, {counts['files']} audio files", table


def _first(groups: list[list[int]], where: object) -> str:
    return where(groups[0]) if groups else ""  # type: ignore[operator]


def _remark(found: Findings) -> str:
    return next((f"{found.table.keys[i]}: {'; '.join(words)}" for i, words in found.remarks.items()), "")


def _lengths(found: Findings) -> tuple[str, Table] | None:
    seconds = np.array([sound.seconds for sound in found.sounds.values()])
    if not len(seconds):
        return None
    title = f"Lengths: {seconds.sum() / 3600:.1f} h; shortest {seconds.min():.2f} s, median {np.median(seconds):.1f} s, longest {seconds.max():.1f} s"
    table = _table("seconds", "tracks", "")
    counts = np.bincount(np.searchsorted(EDGES, seconds, side="right"), minlength=len(EDGES) + 1)
    names = [f"below {EDGES[0]}", *(f"{a} to {b}" for a, b in itertools.pairwise(EDGES)), f"{EDGES[-1]} and more"]
    for name, n in zip(names, counts.tolist()):
        if n:
            table.add_row(name, str(n), "#" * max(1, round(40 * n / counts.max())))
    return title, table


def _label_table(table: Groundtruth, cleaned: Groundtruth | None) -> tuple[str, Table]:
    """The most and least frequent labels, and how many tracks of each every split of the cleaned table has."""
    order = np.argsort(-table.counts, kind="stable").tolist()
    shown = order if len(order) <= 2 * SHOWN else [*order[:SHOWN], None, *order[-SHOWN:]]
    parts = {} if cleaned is None else cleaned.splits
    title = f"{table.n_labels} labels, {table.n_unlabelled} tracks without any"
    lacking = [name for name, part in parts.items() if (part.counts[table.counts > 0] == 0).any()]
    if lacking:
        title += f"; some labels have no track in {', '.join(lacking)}"
    columns = {name: parts[name].counts for name in SPLITS if name in parts}
    out = _table("label", "tracks", *columns)
    for c in shown:
        if c is None:
            out.add_row("...")
            continue
        cells = [Text(str(n[c]), style="red" if n[c] == 0 and table.counts[c] else "") for n in columns.values()]
        out.add_row(Text(table.labels[c]), str(table.counts[c]), *cells)
    return title, out


__all__ = ["Checked", "check_collection", "print_findings"]
