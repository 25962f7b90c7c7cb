"""What check_data found, on the screen: faults, lengths, labels, and what to do next."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from rich import box
from rich.table import Table

from datasets.collection.findings import Findings
from datasets.groundtruth.groundtruth import SPLITS, Groundtruth
from datasets.utils.terminal import Console, Text

from .check import Checked, formats, heard_sounds

EDGES = (1, 5, 10, 30, 60, 300, 900, 3600)  # seconds
SHOWN = 8


def print_findings(checked: Checked, console: Console | None = None) -> None:
    """A summary that fits a screen; problems.csv has every line."""
    console = console or Console()
    found, counts = checked.findings, checked.counts()
    for titled in (_faults(found, counts, console.width), _lengths(found), _label_table(found.table, checked.cleaned)):
        if titled is not None:
            console.print(Text(titled[0], style="bold"), titled[1])
    if found.missing:
        console.print(Text(_where_paths_begin(checked), style="yellow"))
    if checked.cleaned is None:
        console.print(Text("No track can be used.", style="bold red"))
    else:
        columns = ["path", "labels", *(name for name in ("split", "group") if getattr(checked.cleaned, name) is not None)]
        clean = f"{len(checked.cleaned)} of {len(found.table)} rows can be used: {checked.folder / 'clean.csv'} ({', '.join(columns)})"
        console.print(Text(clean, style="bold green" if found.exit_code == 0 else "bold yellow"))
        console.print(Text(_split_sizes(checked)))
    if found.unsplit and not checked.new_split and not checked.unsplit:
        words = f"Rows that are left out for want of a split: {len(found.unsplit)}. check.new_split=True splits all rows anew."
        console.print(Text(words, style="yellow"))
    if checked.torn_still:
        cure = "" if checked.unsplit else " check.new_split=True splits anew, whole groups together."
        words = f"Groups in several splits of clean.csv too, because the table's own splits are kept: {len(checked.torn_still)}.{cure}"
        console.print(Text(words, style="bold red"))
    if found.problems():
        console.print(Text(f"Every problem by line: {checked.folder / 'problems.csv'}"))


def _where_paths_begin(checked: Checked) -> str:
    """What the table's paths are relative to, with one that was looked for and one that is there."""
    found = checked.findings
    row, why = min(found.missing.items(), key=lambda one: not one[1].endswith("meant?"))
    there = f"; a file that is there is {found.names[0]!r}" if found.names else ""
    return f"Paths are relative to {checked.source}. Looked for {found.table.keys[row]!r}: {why}{there}."


def _split_sizes(checked: Checked) -> str:
    """How many tracks each split of the cleaned table has, and where the splits come from."""
    clean = checked.cleaned
    assert clean is not None
    if clean.split is None:
        return f"It has no splits. {checked.unsplit}"
    sizes = ", ".join(f"{name} {len(part)} ({100 * len(part) / len(clean):.0f} %)" for name, part in clean.splits.items())
    if not checked.new_split:
        return f"Its splits are the table's: {sizes}." + (f" No new ones were made: {checked.unsplit}" if checked.unsplit else "")
    groups = "" if clean.group is None else ", whole groups together"
    return f"Its splits are new, 80/10/10 by its labels{groups}: {sizes}."


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

    def by(rows: list[int]) -> str:
        return " = ".join(f"{key[i]} (group {found.table.group[i]})" for i in rows[:3])  # type: ignore[index]

    lines: list[tuple[str, int, str, str]] = [
        ("missing: no such file", counts["missing"], "red", next((key[i] for i in found.missing), "")),
        ("several files fit", counts["unusable"], "red", _named(key, found.unusable)),
        ("unreadable audio", counts["unreadable"], "red", _named(key, found.unreadable)),
        ("no split", counts["without_split"], "red", _named(key, found.unsplit)),
        ("absolute paths", counts["absolute_paths"], "red", next(iter(found.absolute.values()), "")),
        ("rows too many for one sound", counts["repeated_rows"] + counts["copies"], "red", ""),
        ("  rows that repeat a file", counts["repeated_rows"], "red", _first(found.repeated, where)),
        ("  copies: the same samples", counts["copies"], "red", _first(found.copied, where)),
        ("  of both, other labels", counts["copies_with_other_labels"], "red", _first(found.conflicting_copies, where)),
        ("  of both, across splits: a leak", counts["copies_across_splits"], "red", _first(found.leaking_copies, where)),
        ("  of both, across groups", counts["copies_across_groups"], "red", _first(found.copies_across_groups, by)),
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
    table.columns[-1].no_wrap = False
    table.columns[-1].overflow = "fold"
    room = 3 * max(width - 48, 20)  # three lines of it
    for what, n, style, example in lines:
        table.add_row(
            Text(what),
            Text(str(n), style=style if n else "green"),
            Text(example if len(example) <= room else example[: room - 1] + "…"),
        )
    return f"{counts['rows']} rows in the table, {counts['files']} audio files", table


def _named(keys: Sequence[str], rows: dict[int, str]) -> str:
    """The first of some rows, and what is said of it."""
    row, why = next(iter(rows.items()), (0, ""))
    return why if not why or why.startswith(keys[row]) else f"{keys[row]}: {why}"


def _first(groups: list[list[int]], where: Callable[[list[int]], str]) -> str:
    return where(groups[0]) if groups else ""


def _counted(counts: Counter[str]) -> str:
    """'WAV 20, FLAC 2 and 3 others'."""
    first = counts.most_common(4)
    rest = counts.total() - sum(n for _, n in first)
    return ", ".join(f"{what}: {n}" for what, n in first) + (f" and {rest} others" if rest else "")


def _remark(found: Findings) -> str:
    return next((f"{found.table.keys[i]}: {'; '.join(words)}" for i, words in found.remarks.items()), "")


def _duration(seconds: float) -> str:
    """'2.5 h', '12.5 min' or '8.0 s'."""
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.1f} s"


def _lengths(found: Findings) -> tuple[str, Table] | None:
    seconds = np.array([sound.seconds for sound in heard_sounds(found)])
    if not len(seconds):
        return None
    title = f"Lengths: {_duration(seconds.sum())} in all; shortest {seconds.min():.2f} s, median {np.median(seconds):.1f} s, "
    title += f"longest {seconds.max():.1f} s"
    title += "".join(f"\n{what.replace('_', ' ').capitalize()}: {_counted(n)}" for what, n in formats(found).items())
    table = _table("seconds", "files", "")
    counts = np.bincount(np.searchsorted(EDGES, seconds, side="right"), minlength=len(EDGES) + 1)
    names = [f"below {EDGES[0]}", *(f"{a} to {b}" for a, b in itertools.pairwise(EDGES)), f"{EDGES[-1]} and more"]
    for name, n in zip(names, counts.tolist()):
        if n:
            table.add_row(name, str(n), "#" * max(1, round(40 * n / counts.max())))
    return title, table


def _label_table(table: Groundtruth, cleaned: Groundtruth | None) -> tuple[str, Table]:
    """The most and least frequent labels: rows of the table that have each, and tracks of the cleaned table, in all and by split."""
    order = np.argsort(-table.counts, kind="stable").tolist()
    shown = order if len(order) <= 2 * SHOWN else [*order[:SHOWN], None, *order[-SHOWN:]]
    parts = {} if cleaned is None else cleaned.splits
    title = f"{table.n_labels} labels: rows of the table that have them; of those, tracks that are kept"
    lacking = [name for name, part in parts.items() if (part.counts[table.counts > 0] == 0).any()]
    if lacking:
        title += f"; some labels have none in {', '.join(lacking)}"
    columns = {} if cleaned is None else {"kept": cleaned, **{name: parts[name] for name in SPLITS if name in parts}}
    counts = {name: part.counts for name, part in columns.items()}
    out = _table("label", "rows", *columns)
    for c in shown:
        if c is None:
            out.add_row("...")
            continue
        cells = [Text(str(n[c]), style="red" if n[c] == 0 and table.counts[c] else "") for n in counts.values()]
        out.add_row(Text(table.labels[c]), str(table.counts[c]), *cells)
    out.add_row(Text("no label", style="dim"), str(table.n_unlabelled), *(str(part.n_unlabelled) for part in columns.values()))
    out.add_row(Text("in all", style="bold"), str(len(table)), *(str(len(part)) for part in columns.values()))
    return title, out
