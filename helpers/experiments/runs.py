"""List and compare runs.

python -m helpers.runs                            runs of exp_logs and exp_out/tl: status, best score, duration
python -m helpers.runs exp_logs runs.db           of folders and SQLite databases (Sacred's `-s sqlite:///runs.db`)
python -m helpers.runs compare 3 5                side by side: scores, times, code, and every setting in which they differ
`python ex_maest.py runs ...` and any other experiment's are the same.

A run that says RUNNING is DEAD when its process is gone, or, seen from another machine, after 120 s without a heartbeat (--dead-after).
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

from rich import box
from rich.table import Table

from datasets.utils.terminal import Console, Text
from models.errors import ConfigError

from .run_records import DEAD_AFTER, Record, differences, is_loss, is_number, read_runs

PLACES = ("exp_logs", "exp_out/tl")
MOST_LETTERS = 1000  # of a value that is compared
MOST_SETTINGS = 500  # that are compared, a line each
COLOURS = {"COMPLETED": "green", "RUNNING": "cyan", "FAILED": "red", "DEAD": "red", "INTERRUPTED": "yellow", "TIMEOUT": "yellow"}


def runs_table(records: Sequence[Record], score: str | None = None, dead_after: float = DEAD_AFTER) -> Table:
    """One row per run: number, command, start, duration, status, best score."""
    places = list(dict.fromkeys(record.place for record in records))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("run", justify="right", no_wrap=True)
    table.add_column("command", overflow="fold", min_width=10)
    table.add_column("started (UTC)", no_wrap=True)
    table.add_column("duration", justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("best score", no_wrap=True)
    remarked = any(record.remark for record in records)
    if remarked:
        table.add_column("remark", overflow="fold", min_width=12)
    for place in places:
        if len(places) > 1:
            table.add_row("", Text(str(place), style="bold"))
        for r in (record for record in records if record.place == place):
            state = r.state(dead_after)
            table.add_row(
                Text(r.number),
                Text(f"{r.experiment} {r.command}"),
                f"{r.started:%Y-%m-%d %H:%M}" if r.started else "-",
                duration(r.seconds()),
                Text(state, style=COLOURS.get(state, "")),
                Text(best_score(r, score)),
                *([Text(r.remark)] if remarked else []),
            )
    return table


def compare_table(records: Sequence[Record], dead_after: float = DEAD_AFTER) -> Table:
    """One column per run: what it is, its scores (the best of each curve), and every setting in which the runs differ."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("", overflow="fold", min_width=32)
    for r in records:
        table.add_column(Text(f"run {r.number}"), overflow="fold", justify="right")

    def row(name: str, cells: Sequence[object], style: str = "") -> None:
        table.add_row(Text(name), *(Text(_cell(cell), style=style) for cell in cells))

    row("command", [f"{r.experiment} {r.command}" for r in records])
    row("status", [r.state(dead_after) for r in records])
    row("started (UTC)", [f"{r.started:%Y-%m-%d %H:%M}" if r.started else "-" for r in records])
    row("duration", [duration(r.seconds()) for r in records])
    row("machine", [r.host.get("hostname") or "-" for r in records])
    row("code", [code(r) for r in records])
    row("lock", [_lock(r) for r in records])
    if any(r.remark for r in records):
        row("remark", [r.remark or "-" for r in records])
    table.add_section()
    names = [
        n
        for n in dict.fromkeys(n for r in records for n in r.metrics)
        if not n.endswith(("_classes", "_classes_swa", "_step")) and n != "lr"
    ]
    for name in names:
        found = [r.best(name) for r in records]
        values = [math.nan if one is None else one[1] for one in found]
        known = [v for v in values if not math.isnan(v)]
        top = (min if is_loss(name) else max)(known) if len(known) > 1 else None
        cells = [Text("-" if math.isnan(v) else f"{v:.4f}", style="bold" if v == top else "") for v in values]
        table.add_row(Text(name), *cells)
    table.add_section()
    different = differences(records)
    for key, cells in islice(different.items(), MOST_SETTINGS):
        row(key, cells)
    if len(different) > MOST_SETTINGS:
        row("further settings", [f"{len(different) - MOST_SETTINGS} more differ", *[""] * (len(records) - 1)])
    if not all(r.config for r in records):
        row("config", ["-" if r.config else "not known" for r in records])
    elif not different:
        row("config", ["the same"] * len(records))
    return table


def _lock(record: Record) -> str:
    lock = record.host.get("lock")
    digest = lock.get("sha256") if isinstance(lock, Mapping) else None
    return digest[:8] if isinstance(digest, str) else "-"


def _cell(value: object) -> str:
    """A value of a config as text, whatever a file says."""
    try:
        text = str(value)
    except (RecursionError, ValueError):  # nested too deeply; a number of too many digits
        return "too large to be shown"
    return text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]}..."


def duration(seconds: float | None) -> str:
    """1:02:03, or 0:07."""
    if seconds is None:
        return "-"
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02d}:{s:02d}" if hours else f"{m}:{s:02d}"


def best_score(record: Record, score: str | None = None) -> str:
    """val_ap 0.5230 @ 12: the best value, and the epoch (or step) it is of."""
    found = record.best(score)
    return "-" if found is None else f"{found[0]} {found[1]:.4f} @ {found[2]}"


def code(record: Record) -> str:
    """Return the commit; + behind it: with changes."""
    return "-" if record.commit is None else record.commit[:8] + ("+" if record.dirty else "")


def choose(numbers: Sequence[str], places: Sequence[str]) -> list[Record]:
    """Return the runs that words name: a run's folder, or its number in the places. Raises ConfigError for what is not there or stands in two."""
    found = [record for place in places for record in read_runs(place)]
    chosen = []
    for word in numbers:
        if not is_number(word):
            chosen += _only(word, read_runs(word), f"{word} is not one run: name its folder, or its number")
            continue
        same = [record for record in found if record.number == word]
        where = ", ".join(str(r.place) for r in same) or ", ".join(places) or "exp_logs"
        what = "is in each of" if same else "is not in"
        chosen += _only(word, same, f"Run {word} {what} {where}: name its folder, or with --in the place")
    which = [(r.number, (r.folder or r.place).resolve()) for r in chosen]
    if twice := next((word for i, word in enumerate(numbers) if which[i] in which[:i]), None):
        raise ConfigError(f"Run {twice} is named before: a run differs in nothing from itself. Name another one.")
    return chosen


def _only(word: str, found: list[Record], problem: str) -> list[Record]:
    if len(found) != 1:
        raise ConfigError(f"{problem}.")
    return found


def main(argv: Sequence[str] | None = None, places: Sequence[str] = PLACES, console: Console | None = None) -> int:
    """The command. places: where to look when none is named. Returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    comparing = "compare" in words
    if comparing:  # `runs PLACE compare A B` is `runs compare A B --in PLACE`
        i = words.index("compare")
        words = ["compare", *words[i + 1 :], *(word for place in words[:i] for word in ("--in", place))]
    parser = argparse.ArgumentParser(
        prog="runs compare" if comparing else "runs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if comparing:
        parser.add_argument("runs", nargs="+", metavar="RUN", help="number or folder of a run")
        parser.add_argument("--in", dest="places", action="append", metavar="PLACE", help="where numbers are looked up")
    else:
        parser.add_argument("places", nargs="*", metavar="PLACE", help="folder of run folders, or SQLite database")
        parser.add_argument(
            "--score", metavar="NAME", help="metric to show the best value of (default: the first that a run has)"
        )
        parser.add_argument("--status", type=str.upper, help="only runs of this status: completed, running, failed, dead, ...")
    parser.add_argument(
        "--dead-after", type=float, default=DEAD_AFTER, metavar="S",
        help="silence after which a run of another machine counts as dead (default: %(default)g s)",
    )  # fmt: skip
    args = parser.parse_args(words[1:] if comparing else words)
    console = console or Console()
    where = args.places or [place for place in places if Path(place).exists()]
    try:
        if comparing:
            console.print(compare_table(choose(args.runs, where), args.dead_after))
            return 0
        records = [record for place in where for record in read_runs(place)]
        chosen = [r for r in records if args.status in (None, r.state(args.dead_after))]
        if not chosen:
            console.print(
                f"No runs{f' that are {args.status}' if args.status else ''} in {', '.join(where or places)}.", markup=False
            )
            return 0
        console.print(runs_table(chosen, args.score, args.dead_after))
    except ConfigError as error:
        Console(stderr=True).print(str(error), markup=False, soft_wrap=True)
        return 2
    return 0
