"""A filled table for people: on the terminal, and as table.md, table.csv and table.html, all from the same cells."""

from __future__ import annotations

import csv
import io
import math
import shutil
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from string import ascii_lowercase

from rich import box
from rich.padding import Padding
from rich.table import Table as RichTable

from datasets.utils.files import atomic
from datasets.utils.spreadsheet import safe_cell
from datasets.utils.terminal import Console, Text

from ..metrics.scores import SystemScores
from ..metrics.tasks import metric_title
from ..reports.charts import Series, line_chart
from ..reports.pages import Captioned, TableContent, render
from ..reports.wording import intervals_are, versions
from .cells import NOT_TESTED, CellValue, FilledTable, Verdict
from .citations import Citation, CitedScore, find_score
from .engine import Done, Engine, Failed, Unavailable
from .plan import format_duration, format_size
from .records import LOG
from .scale import Scale
from .steps import Step
from .table import Row

PAPERS = "papers"
OTHER_DATA = "papers (other data: not comparable)"
NOT_AVAILABLE = "not available"
IN_ROW = "this row"  # of a paper's own row
ONE_NETWORK = "One network each, pre-trained once: what another pre-training would change is in neither."
ONE_MORE = "another pre-training of the same networks, "
NOT_COVERED = (
    "Held, did not hold: the difference is one way or the other beyond what the tracks leave open; among all verdicts of a table a false one is to "
    "be expected in 5 % of tables at most (Holm). They do not cover ",
    "other music than this data set's, other sizes or lengths of training, other settings of the probe.",
)
NAME_WIDTH, PAPERS_WIDTH = 12, 9  # columns on a terminal that is narrow
CELL_WIDTH = 30  # of a cell on one line
CSV_COLUMNS = (
    "row", "column", "metric", "mean", "sd", "low_95", "high_95", "results", "split", "tracks", "why", "papers", "papers_source",
)  # fmt: skip


class TableView:
    """What is printed of a filled table, as plain texts.

    Args:
        filled: the table with its values.
        scale: that it was made at; papers' numbers are comparable where it is published.
        commits: versions of the code that made its steps -> how many of them.
        commit: the code as it is.
    """

    def __init__(self, filled: FilledTable, scale: Scale, commits: Mapping[str, int] | None = None, commit: str = ""):
        self.filled, self.scale, self.commits, self.commit = filled, scale, commits or {}, commit
        self.table = filled.table
        self.comparable = scale.published
        self.notes: list[CitedScore] = []
        rows = [dict.fromkeys(one for value in values for one in value.missing) for values in filled.values]
        self._rows_without = Counter(one for missing in rows for one in missing)
        of_claims = [one for verdict in filled.verdicts for one in verdict.missing]
        self.labels = {one: _label(i) for i, one in enumerate(dict.fromkeys([*self._rows_without, *of_claims]))}
        self.header = ["", *self.table.columns, PAPERS if self.comparable else OTHER_DATA]
        self.rows = [
            [row.name, *map(self.cell_text, values), IN_ROW if row.of_paper else self._papers(row.citations)]
            for row, values in zip(self.table.rows, filled.values)
        ]

    def _papers(self, citations: Sequence[Citation]) -> str:
        found = [find_score(citation) for citation in citations]
        texts = []
        for one in found:
            if one not in self.notes:
                self.notes.append(one)
            texts.append(f"{one.short} [{self.notes.index(one) + 1}]")
        return "; ".join(texts) or NOT_AVAILABLE

    def cell_text(self, value: CellValue) -> str:
        """Return a cell's text in files. A single thing that only this row lacks is named in it, all else once, in the legend."""
        alone = len(value.missing) == 1 and self._rows_without[value.missing[0]] == 1
        return value.text if alone else self.short_text(value)

    def short_text(self, value: CellValue) -> str:
        """Return a cell's text where columns are narrow: 'not available [a]'."""
        return f"{NOT_AVAILABLE} {self._see(value.missing)}" if value.missing else value.text

    def _see(self, missing: Sequence[str]) -> str:
        return f"[{','.join(label for one, label in self.labels.items() if one in missing)}]"

    @property
    def legend(self) -> list[str]:
        """Return what is not on this machine, each thing once: '[a] place FILE'."""
        return [f"[{label}] {one}" for one, label in self.labels.items()]

    def citation_references(self, row: Row) -> str:
        """Return 'see [1], [2]': the numbers themselves stand beneath, with their protocols; or that the row's cells are such."""
        if row.of_paper:
            return IN_ROW
        places = [f"[{self.notes.index(find_score(citation)) + 1}]" for citation in row.citations]
        return f"see {', '.join(places)}" if places else NOT_AVAILABLE

    @property
    def title(self) -> str:
        """Return the table's title, its paper and its scale."""
        return f"{self.table.title} ({self.table.paper}; scale: {self.scale.title})"

    @property
    def scored(self) -> str:
        """Return what the scores are of: split, tracks, classes, seeds."""
        found: dict[str, SystemScores] = {}
        for value in (value for values in self.filled.values for value in values):
            if value.scores is not None:
                found.setdefault(value.scores.split, value.scores)
        if not found:
            return "No score could be made."
        s = next(iter(found.values()))
        metrics = {value.metric for values in self.filled.values for value in values}
        if len(found) == 1:
            of = f"{s.split}, {len(s.keys)} tracks, {_classes(s, metrics)}"
        else:  # of those without all their labels, how many count
            whole = {split: all(one.n_classes(m) == len(one.labels) for m in one.spec.headline) for split, one in found.items()}
            names = [split if whole[split] else f"{split}: {_classes(one, metrics)}" for split, one in found.items()]
            of = f"{len(found)} targets ({'; '.join(names)})"
        about_data = self.scale.targets and self.table.name != "table_downstream"  # whose columns name theirs
        n, seeds = self.filled.networks, len(self.scale.seeds)
        results = f"{seeds} probe seeds" + (f" and {n} pre-trained networks together" if n > 1 else "")
        networks = ONE_NETWORK if n == 1 else f"Every network was pre-trained {n} times, from other random numbers."
        data = f" Data: {self.scale.targets[0].about}." if about_data else ""
        return f"{of}; mean ± sd over {results} [95 % interval]. {intervals_are(list(found.values()))}. {networks}{data}"

    @property
    def findings(self) -> list[tuple[str, list[str]]]:
        """Return every claim once: a sentence, and its results where they are several."""
        claims: dict[str, list[Verdict]] = {}
        for verdict in self.filled.verdicts:
            claims.setdefault(verdict.claim.text, []).append(verdict)
        out = []
        for text, verdicts in claims.items():
            whys = [f"see {self._see(v.missing)}" if v.missing else v.text.rstrip(".") for v in verdicts]
            if {v.verdict for v in verdicts} == {NOT_TESTED} and len(set(whys)) == 1:  # which pair it is does not matter then
                results = [f"{NOT_TESTED.capitalize()}: {whys[0]}."]
            else:
                results = [f"{_said(v)}: {v.claim.between}: {why}." for v, why in zip(verdicts, whys)]
            out.append((text, results) if len(results) > 1 else (f"{text} {results[0]}", []))
        return out

    @property
    def lines(self) -> list[str]:
        """Return what else a reader has to know, sentence by sentence."""
        out = [*self.table.notes]
        if any(v.verdict != NOT_TESTED for v in self.filled.verdicts):
            out.append(f"{NOT_COVERED[0]}{ONE_MORE if self.filled.networks == 1 else ''}{NOT_COVERED[1]}")
        if not self.comparable:
            out.append(
                "Papers' numbers are of other data, networks and sizes: they stand here to be looked up, not to be compared with."
            )
        out += [f"[{i}] {one.long}" for i, one in enumerate(self.notes, 1)]
        if len({*self.commits, self.commit or next(iter(self.commits), "")}) > 1:
            made = ", ".join(f"{commit} ({n} step{'' if n == 1 else 's'})" for commit, n in self.commits.items())
            out.append(f"Versions of the code that made it: {made}; the code is now {self.commit}.")
        return out


def _classes(scores: SystemScores, metrics: Container[str]) -> str:
    """Return 'macro ROC-AUC over 29 of 30 labels, ...', of the scores that the table has."""
    each = [(metric.title, scores.n_classes(metric)) for metric in scores.spec.headline if metric.name in metrics]
    return ", ".join(f"{name} over {n} of {len(scores.labels)} labels" for name, n in each)


def _said(verdict: Verdict) -> str:
    """Return 'Held, on this one network'."""
    return verdict.verdict.capitalize() + ("" if verdict.verdict == NOT_TESTED else f", {verdict.scope}")


def _label(i: int) -> str:
    """Return 0 -> 'a', 25 -> 'z', 26 -> 'aa'."""
    return (_label(i // 26 - 1) if i >= 26 else "") + ascii_lowercase[i % 26]


# ---- terminal
def print_table(view: TableView, console: Console | None = None) -> None:
    """Print the table with all that stands beneath it."""
    console = console or Console()
    table = RichTable(
        title=Text(view.title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    names = [row.name for row in view.table.rows]
    narrow = console.width < max(map(len, names), default=0) + CELL_WIDTH * len(view.table.columns) + 2 * PAPERS_WIDTH
    longest = max((len(word) for name in names for word in name.split()), default=0)
    left = console.width - (CELL_WIDTH // 2 + 2) * len(view.table.columns) - PAPERS_WIDTH - 5  # of cells on two lines
    width = max(min(max(map(len, names), default=0), left), min(longest, NAME_WIDTH))
    table.add_column(overflow="fold", width=width if narrow else None)
    for name in view.table.columns:
        table.add_column(Text(name), overflow="fold", justify="right")
    table.add_column(PAPERS, overflow="fold", width=PAPERS_WIDTH if narrow else None)  # of which data they are is said below
    for row, values in zip(view.table.rows, view.filled.values):
        cells = [view.short_text(value).replace(" [", "\n[") if narrow else view.short_text(value) for value in values]
        table.add_row(*(Text(cell) for cell in [row.name, *cells, view.citation_references(row)]))
    console.print(table)
    for line in view.legend:
        console.print(Text(line), highlight=False, soft_wrap=True)  # paths and commands can be copied whole
    console.print(Text(view.scored), highlight=False)
    for claim, results in view.findings:
        console.print(Text(claim), highlight=False)
        for line in results:
            console.print(Padding(Text(line), (0, 0, 0, 2), expand=False), highlight=False)
    for line in view.lines:
        console.print(Text(line), highlight=False)


# ---- files
def write_table(view: TableView, folder: Path, engine: Engine) -> list[Path]:
    """Write table.md, table.csv, table.html and the pictures of its steps in `folder`; each whole or not at all. Returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"table.md": markdown(view), "table.csv": _csv(view), "table.html": _page(view, engine)}
    paths = []
    for name, text in texts.items():
        with atomic(folder / name) as part:
            part.write_text(text, encoding="utf-8", errors="surrogateescape")
        paths.append(folder / name)
    for step, name in view.table.copies:
        done = engine.state(step)
        if isinstance(done, Done) and (done.output("results") / name).is_file():
            with atomic(folder / name) as part:
                shutil.copyfile(done.output("results") / name, part)
            paths.append(folder / name)
    return paths


def markdown(view: TableView) -> str:
    """Return the table as Markdown."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    rows = [line(view.header), "|" + "---|" * len(view.header), *map(line, view.rows)]
    notes = [*view.legend, view.scored, *("\n  * ".join([claim, *results]) for claim, results in view.findings), *view.lines]
    return "\n".join([f"# {view.title}", "", *rows, "", *(f"* {text}" for text in notes), ""])


def _csv(view: TableView) -> str:
    """Return CSV_COLUMNS, a line per cell; why: there is no number; papers: numbers of the row, in a paper's own row that of the cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for row, values in zip(view.table.rows, view.filled.values):
        of_row = [find_score(citation) for citation in row.citations]
        for column, value in zip(view.table.columns, values):
            found = of_row if value.cited is None else [value.cited]
            papers = ["; ".join(one.short for one in found) or NOT_AVAILABLE, " ".join(one.long for one in found)]
            if found and not view.comparable:
                papers[0] += " (other data: not comparable)"
            cells = [safe_cell(row.name), safe_cell(column), value.metric, *_numbers(value), safe_cell(value.reason)]
            writer.writerow([*cells, *map(safe_cell, papers)])
    return text.getvalue()


def _numbers(value: CellValue) -> list[str]:
    def number(x: float) -> str:
        return "" if math.isnan(x) else f"{x:.6f}"

    low, high = value.interval or (math.nan, math.nan)
    split, tracks = ("", "") if value.scores is None else (safe_cell(value.scores.split), str(len(value.scores.keys)))
    return [number(value.mean), number(value.sd), number(low), number(high), str(value.over or ""), split, tracks]


def _page(view: TableView, engine: Engine) -> str:
    """Return the page. The papers' numbers stand beside the cells where there is room; on a
    phone, and beside many columns, they are a list below the table.
    """
    papers = [f"{row[0]}: {row[-1]}" for row, entry in zip(view.rows, view.table.rows) if entry.citations]
    return render(
        "paper_table.html.j2",
        title=view.title,
        scored=view.scored,
        figure=_figure(view),
        header=view.header,
        rows=[
            (row[0], [_cell(value, text) for value, text in zip(values, row[1:])], row[-1])
            for row, values in zip(view.rows, view.filled.values)
        ],
        beside=len(view.table.columns) <= 3,
        papers=papers or [NOT_AVAILABLE],
        missing=view.legend,
        findings=view.findings,
        notes=view.lines,
        steps=_steps(engine, engine.needed(view.table.steps)),
        versions=versions(),
    )


def _cell(value: CellValue, text: str) -> tuple[str, str, str]:
    """Return (class, text, what stands below it in small)."""
    if value.reason:
        return "text wrap small" if text == value.text else "text small", text, ""  # a reference is short
    number, _, interval = value.text.partition(" [")
    return "", number, f"[{interval}" if interval else ""


def _figure(view: TableView) -> list[Captioned]:
    """Return lines over the columns, where the table is a figure."""
    if not view.table.x_label:
        return []
    series = []
    x = list(range(len(view.table.columns)))
    for i, (row, values) in enumerate(zip(view.table.rows, view.filled.values)):
        y = [None if math.isnan(v.mean) else v.mean for v in values]
        spread = [0.0 if math.isnan(v.sd) else v.sd for v in values]
        series.append(Series(row.name, x, y, i, spread))
    metric = next((v.metric for values in view.filled.values for v in values if v.metric), "")
    chart = line_chart(
        series, view.table.x_label, metric_title(metric, "score"), view.title, x_ticks={float(k): str(k) for k in x}
    )
    return [Captioned(chart, "Bars: standard deviation over probe seeds.")]


def _steps(engine: Engine, steps: Sequence[Step]) -> TableContent:
    rows = []
    for step in steps:
        found = engine.state(step)
        took, large = (format_duration(found.seconds), format_size(found.megabytes)) if isinstance(found, Done) else ("", "")
        took = f"> {took}" if isinstance(found, Done) and found.continued else took
        state = {Done: "done", Unavailable: NOT_AVAILABLE, Failed: "failed"}.get(type(found), "to do")
        commit = found.commit if isinstance(found, Done) else ""
        rows.append([step.title, f"steps/{engine.keys(step)}/{LOG}", state, took, large, commit])
    return TableContent(["Step", "Log", "State", "Time", "Disk", "Code"], rows, (1, 2, 5))
