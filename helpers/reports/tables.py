"""Score tables for the terminal: every score with its spread, split and number of classes."""

from __future__ import annotations

import math
import os
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich import box
from rich.cells import cell_len
from rich.table import Column, Table

from datasets.groundtruth.lines import csv_text
from datasets.utils.files import write_whole
from datasets.utils.spreadsheet import safe_cell
from datasets.utils.terminal import Console, Text
from models.errors import ConfigError

from ..metrics.differences import Difference, check_comparable, compare
from ..metrics.metric import Metric
from ..metrics.scores import SystemScores
from .wording import counted_outputs, difference, intervals_are, no_interval, over, runs, spread

NAME_WIDTH = 12  # of systems, at least
WIDE_NAMES = 20  # at least this much of them in a line, where numbers stand side by side


def small_table(title: str, columns: Sequence[str], numbers: Container[int] = (), caption: str = "") -> Table:
    """An empty table in the terminal's one style. numbers: columns that are aligned right and not broken. Names in brackets are no markup."""
    table = Table(title=Text(title, style="bold"), title_justify="left", caption_justify="left", box=box.SIMPLE_HEAD)
    for i, name in enumerate(columns):
        table.add_column(Text(name), justify="right" if i in numbers else "left", overflow="fold")
    table.caption = Text(caption, style="table.caption") if caption else None
    return table


def add_rows(table: Table, rows: Iterable[Sequence[str]]) -> None:
    """Plain texts as rows."""
    for row in rows:
        table.add_row(*map(Text, row))


def score_table(systems: Sequence[SystemScores]) -> Table:
    """One row per system: the task's headline metrics as mean ± sd over seeds, their intervals, seeds."""
    table = _score_frame(systems)
    metrics = systems[0].spec.headline
    for metric in metrics:
        table.add_column(metric.title, justify="right", no_wrap=True)
        table.add_column("95 %", justify="right", no_wrap=True)
    table.add_column(_seeds(systems), justify="right", no_wrap=True)  # what is left of 80 columns
    for s in systems:
        table.add_row(Text(s.name), *(cell for metric in metrics for cell in _score_cells(s, metric, systems)), runs(s))
    return table


def tall_score_table(systems: Sequence[SystemScores]) -> Table:
    """The same with one row per system and metric, for a terminal that is too narrow for them side by side."""
    table = _score_frame(systems)
    table.add_column("score", overflow="fold")
    for name in ("mean ± sd", "95 %", _seeds(systems)):
        table.add_column(name, justify="right", no_wrap=True)
    for s in systems:
        for i, metric in enumerate(s.spec.headline):
            table.add_row(Text("" if i else s.name), Text(metric.title), *_score_cells(s, metric, systems), "" if i else runs(s))
    return table


def _score_frame(systems: Sequence[SystemScores]) -> Table:
    """Title, caption and the column of names."""
    first = systems[0]
    noun = first.spec.nouns[len(first.labels) != 1]
    table = _plain_table(f"{first.split}: {len(first.keys)} tracks, {len(first.labels)} {noun}")
    table.caption = Text(_caption(systems), style="table.caption")
    table.add_column("system", overflow="fold")
    return table


def _plain_table(title: str) -> Table:
    """Little padding: numbers need the width."""
    table = Table(title_justify="left", caption_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.title = Text(title, style="bold")
    return table


def _seeds(systems: Sequence[SystemScores]) -> str:
    return "seeds" if systems[0].folds is None else "reps"


def _score_cells(system: SystemScores, metric: Metric, systems: Sequence[SystemScores]) -> list[Text]:
    """A score, stressed where it is the best of several systems, and its interval."""
    best = max(metric.sign * s.mean(metric) for s in systems)
    stressed = metric.sign * system.mean(metric) == best and len(systems) > 1
    low, high = system.interval(metric)
    interval = no_interval(system, metric) if math.isnan(low) else f"{low:.3f}{' to ' if low < 0 else '-'}{high:.3f}"
    return [Text(spread(system, metric), style="bold" if stressed else ""), Text(interval)]


def print_fitting(console: Console, wide: Table, tall: Table) -> None:
    """Print the wide table where the console has room for its columns, names first, else the tall one, wider than the console rather than cut.

    rich measures a text by its words, and takes the rest of a line that is not to be broken away: columns are given their widths here.
    """
    names, spare = _widths(wide.columns[0])[0], console.width - _of_numbers(wide)
    if spare >= min(names, WIDE_NAMES):
        wide.columns[0].width = min(names, spare)
        console.print(wide)
        return
    spare, (titles, word) = console.width - _of_numbers(tall), _widths(tall.columns[1])
    tall.columns[1].width = titles if spare - titles >= min(names, NAME_WIDTH) else word
    tall.columns[0].width = min(names, max(NAME_WIDTH, spare - tall.columns[1].width))
    width = console.width
    console.width = max(width, tall.columns[0].width + tall.columns[1].width + _of_numbers(tall))
    try:
        console.print(tall)
    finally:
        console.width = width


def _widths(column: Column) -> tuple[int, int]:
    """Of its longest cell, and of the longest word of all."""
    cells = [str(cell) for cell in (column.header, *column.cells)]
    return max(map(cell_len, cells)), max(cell_len(word) for cell in cells for word in cell.split() or [""])


def _of_numbers(table: Table) -> int:
    """Width of the columns that are not broken, which are fixed here, and of what stands between all columns."""
    kept = [column for column in table.columns if column.no_wrap]
    for column in kept:
        column.width = _widths(column)[0]
    return sum(column.width or 0 for column in kept) + 2 * len(table.columns) + 1


def _caption(systems: Sequence[SystemScores]) -> str:
    first = systems[0]
    counted = counted_outputs(first)
    caption = f"{counted}{'; ' if counted else ''}mean ± sd over {over(systems)}."
    caption += f" {intervals_are(systems)}."
    if any(s.windows for s in systems):
        main = first.spec.main
        levels = "; ".join(
            f"{s.name} {np.mean(s.windows[main.name]):.3f} ({s.settings.get('aggregate')})"
            for s in systems
            if main.name in s.windows
        )
        caption += f" Window by window, {main.title} (and how tracks were put together): {levels}."
    if anew := [s.name for s in systems if s.settings.get("train_windows") == "random"]:
        caption += f" Another random window of each training track in every epoch (scores higher than one that is kept): {', '.join(anew)}."
    if any("max_lr" in s.validation for s in systems):
        kept = "; ".join(
            f"{s.name} {', '.join(f'{rate:g}' for rate in s.validation['max_lr'])}" for s in systems if "max_lr" in s.validation
        )
        caption += f" Learning rate of the grid that each seed kept: {kept}."
    return caption


def label_table(systems: Sequence[SystemScores], metric: str | Metric | None = None) -> Table:
    """One row per output: tracks that have it, and its score by each system (mean over seeds or repetitions); '-' where it is undefined.

    metric: one with scores per output; none: the task's first.
    """
    first = systems[0]
    chosen = first.spec.per_output[0] if metric is None else first.spec.metric(metric)
    title = f"{chosen.short_title[:1].upper()}{chosen.short_title[1:]} per label on {first.split}"
    table = small_table(title, ["label", "tracks", *(s.name for s in systems)], range(1, 2 + len(systems)))
    scores = [s.scores(chosen.outputs).mean(axis=0) for s in systems]
    for i in np.argsort(-np.nan_to_num(scores[0], nan=-1.0), kind="stable"):
        cells = ["-" if math.isnan(score[i]) else f"{score[i]:.3f}" for score in scores]
        count = len(first.keys) if first.spec.numeric else int(first.targets[:, i].sum())
        add_rows(table, [[first.labels[i], str(count), *cells]])
    return table


def print_scores(systems: Sequence[SystemScores], console: Console | None = None, per_label: bool = False) -> None:
    """Print the score table, and with `per_label` the labels' too."""
    console = console or Console()
    print_fitting(console, score_table(systems), tall_score_table(systems))
    if per_label and systems[0].spec.per_output:
        console.print(label_table(systems))


def saved_systems(folders: Sequence[str | Path]) -> list[SystemScores]:
    """Scores of result folders, each under a name of its own.

    Raises ConfigError for fewer than two, for a folder without scores, and for results of different tasks, tracks or labels.
    """
    if len(folders) < 2:
        raise ConfigError("compare.runs names two or more result folders, apart by commas.")
    systems = []
    for folder in folders:
        if not (Path(folder) / "scores.npz").is_file():
            below = f" Its results may be in {Path(folder) / 'runs' / '1'}." if (Path(folder) / "runs").is_dir() else ""
            raise ConfigError(f"{folder} has no scores.json and scores.npz: it is not the folder of a probe's results.{below}")
        systems.append(SystemScores.load(folder))
    names = _apart(systems, folders)
    systems = [replace(system, name=f"{system.name} ({name})") for system, name in zip(systems, names)]
    for other in systems[1:]:
        check_comparable(systems[0], other)
    return systems


def _apart(systems: Sequence[SystemScores], folders: Sequence[str | Path]) -> list[str]:
    """What tells results apart: the settings of their embeddings that differ, or else their folders, no longer than needed."""
    words = []
    for key in ("types", "reduce", "layers", "layer_reduce", "test_windows"):
        values = [system.settings.get(key) for system in systems]
        if any(value != values[0] for value in values):
            words.append([f"{key} {'none' if value is None else value}" for value in values])
    names = [", ".join(parts) for parts in zip(*words)]
    if len(set(names)) == len(systems):
        return names
    places = [Path(folder).resolve() for folder in folders]
    above = os.path.commonpath(places)
    return [os.path.relpath(place, above) for place in places]


def difference_table(systems: Sequence[SystemScores]) -> Table:
    """The first system minus each of the others, on the same tracks."""
    table = _difference_frame(systems)
    for metric in systems[0].spec.headline:
        table.add_column(metric.title, justify="right", no_wrap=True)
        table.add_column("95 %", justify="right", no_wrap=True)
    for other, found in _differences(systems):
        table.add_row(Text(other.name), *(cell for one in found for cell in _difference_cells(one)))
    return table


def tall_difference_table(systems: Sequence[SystemScores]) -> Table:
    """The same with one row per system and metric, for a terminal that is too narrow for them side by side."""
    table = _difference_frame(systems)
    table.add_column("score", overflow="fold")
    for name in ("difference", "95 %"):
        table.add_column(name, justify="right", no_wrap=True)
    for other, found in _differences(systems):
        for i, (metric, one) in enumerate(zip(systems[0].spec.headline, found)):
            table.add_row(Text("" if i else other.name), Text(metric.title), *_difference_cells(one))
    return table


def _difference_frame(systems: Sequence[SystemScores]) -> Table:
    table = _plain_table("Paired differences on the same tracks")
    table.caption = Text(f"{intervals_are(systems)}. Each interval is for itself.", style="table.caption")
    table.add_column("first minus", overflow="fold")
    return table


def _difference_cells(one: Difference) -> list[Text]:
    return [Text(f"{one.mean:+.3f}"), Text(difference(one))]


def _differences(systems: Sequence[SystemScores]) -> Iterator[tuple[SystemScores, list[Difference]]]:
    """Each system but the first, with what the first has more of each headline score."""
    first = systems[0]
    for other in systems[1:]:
        yield other, [compare(first, other, metric) for metric in first.spec.headline]


def write_differences(systems: Sequence[SystemScores], path: Path) -> Path:
    """The paired differences as a csv: first, other, score, difference, low, high (95 %), tracks. Returns its path."""
    rows: list[list[str]] = [["first", "other", "score", "difference", "low_95", "high_95", "tracks"]]
    for other, found in _differences(systems):
        names = [safe_cell(systems[0].name), safe_cell(other.name)]
        rows += [[*names, one.metric, *map(_number, (one.mean, *one.interval)), str(len(other.keys))] for one in found]
    write_whole(path, csv_text(rows).encode("utf-8", "surrogateescape"))
    return path


def _number(value: float) -> str:
    return "" if math.isnan(value) else str(value)


def print_differences(systems: Sequence[SystemScores], console: Console | None = None) -> None:
    """Print the paired differences. Raises ConfigError for systems that were not scored on the same tracks."""
    print_fitting(console or Console(), difference_table(systems), tall_difference_table(systems))
