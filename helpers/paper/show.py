"""A filled table for people: on the terminal, and as table.md, table.csv and table.html, all from the same cells."""

from __future__ import annotations

import csv
import io
import math
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.status import Status
from rich.table import Table as RichTable
from rich.text import Text

from .. import report_html as html
from ..files import atomic
from ..report import versions
from ..report_charts import Series, line_chart
from ..tasks import METRIC_NAMES
from .cells import Filled, Value
from .engine import Done, Engine
from .plan import clock, size
from .quotes import Quote, Quoted, find
from .records import LOG
from .steps import Step

PAPERS = "papers"
OTHER_DATA = "papers (other data: not comparable)"
NOT_AVAILABLE = "not available"


class Shown:
    """What is printed of a filled table, as plain texts. comparable: whether the papers' numbers are of the same data."""

    def __init__(self, filled: Filled, scale: Mapping[str, Any]):
        self.filled, self.scale = filled, scale
        self.table = filled.table
        self.comparable = scale["networks"] == "published"
        self.notes: list[Quoted] = []
        self.header = ["", *self.table.columns, PAPERS if self.comparable else OTHER_DATA]
        self.rows = [
            [row.name, *(value.text for value in values), self._papers(row.quotes)]
            for row, values in zip(self.table.rows, filled.values)
        ]

    def _papers(self, quotes: Sequence[Quote]) -> str:
        found = [find(quote) for quote in quotes]
        texts = []
        for one in found:
            if one not in self.notes:
                self.notes.append(one)
            texts.append(f"{one.short} [{self.notes.index(one) + 1}]")
        return "; ".join(texts) or NOT_AVAILABLE

    def references(self, quotes: Sequence[Quote]) -> str:
        """'see [1], [2]': the numbers themselves stand beneath, with their protocols."""
        places = [f"[{self.notes.index(find(quote)) + 1}]" for quote in quotes]
        return f"see {', '.join(places)}" if places else NOT_AVAILABLE

    @property
    def title(self) -> str:
        """The table's title, its paper and its scale."""
        return f"{self.table.title} ({self.table.paper}; scale: {self.scale['name']})"

    @property
    def scored(self) -> str:
        """What the scores are of: split, tracks, classes, seeds."""
        first = next((v for values in self.filled.values for v in values if v.scores is not None), None)
        if first is None or first.scores is None:
            return "No score could be made."
        splits = list(dict.fromkeys(v.scores.split for values in self.filled.values for v in values if v.scores is not None))
        s = first.scores
        classes = ", ".join(f"{METRIC_NAMES[m]} over {s.n_classes(m)} of {len(s.labels)} labels" for m in s.asked.headline)
        of = f"{s.split}, {len(s.keys)} tracks, {classes}" if len(splits) == 1 else f"{len(splits)} targets ({', '.join(splits)})"
        data = (
            ""
            if self.table.name == "table_downstream" or not self.scale["targets"]
            else f" Data: {self.scale['targets'][0]['about']}."
        )
        return (
            f"{of}; mean ± sd over {len(s.seeds)} probe seeds [bootstrap 95 % interval over tracks of the mean]. One network each, pre-trained once: "
            f"what another pre-training would change is in neither.{data}"
        )

    @property
    def lines(self) -> list[str]:
        """Everything beneath the table, sentence by sentence."""
        out = [self.scored, *self.table.notes]
        out += [f"{v.claim} {v.verdict[0].upper()}{v.verdict[1:]}: {v.text}." for v in self.filled.verdicts]
        if not self.comparable:
            out.append(
                "Papers' numbers are of other data, networks and sizes: they stand here to be looked up, not to be compared with."
            )
        out += [f"[{i}] {one.long}" for i, one in enumerate(self.notes, 1)]
        commits = Counter(done.commit for done in self.filled.done)
        if len(commits) > 1:
            out.append(
                "Cells were made by several versions of the code: "
                + ", ".join(f"{c} ({n} steps)" for c, n in commits.most_common())
                + "."
            )
        return out


# ---- terminal
def print_table(shown: Shown, console: Console | None = None) -> None:
    """The table with all that stands beneath it."""
    console = console or Console()
    table = RichTable(
        title=Text(shown.title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )
    for i, name in enumerate(shown.header):
        table.add_column(Text(name), overflow="fold", justify="left" if i in (0, len(shown.header) - 1) else "right")
    for row, entry in zip(shown.rows, shown.table.rows):
        table.add_row(*(Text(cell) for cell in [*row[:-1], shown.references(entry.quotes)]))
    console.print(table)
    for line in shown.lines:
        console.print(Text(line), highlight=False)


# ---- files
def write_table(shown: Shown, folder: Path, engine: Engine) -> list[Path]:
    """table.md, table.csv, table.html and the pictures of its steps in `folder`; each whole or not at all. Returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"table.md": markdown(shown), "table.csv": _csv(shown), "table.html": _page(shown, engine)}
    paths = []
    for name, text in texts.items():
        with atomic(folder / name) as part:
            part.write_text(text, encoding="utf-8")
        paths.append(folder / name)
    for step, name in shown.table.copies:
        done = engine.state(step)
        if isinstance(done, Done) and (done.output("results") / name).is_file():
            with atomic(folder / name) as part:
                shutil.copyfile(done.output("results") / name, part)
            paths.append(folder / name)
    return paths


def markdown(shown: Shown) -> str:
    """The table as Markdown."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    rows = [line(shown.header), "|" + "---|" * len(shown.header), *map(line, shown.rows)]
    return "\n".join([f"# {shown.title}", "", *rows, "", *(f"* {text}" for text in shown.lines), ""])


def _csv(shown: Shown) -> str:
    """A row per cell: row, column, metric, mean, sd, low, high, over, split, tracks, and why there is no number."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "column", "metric", "mean", "sd", "low_95", "high_95", "results", "split", "tracks", "why"])
    for row, values in zip(shown.table.rows, shown.filled.values):
        for column, value in zip(shown.table.columns, values):
            writer.writerow([_harmless(row.name), _harmless(column), value.metric, *_numbers(value), _harmless(value.why)])
    return text.getvalue()


def _numbers(value: Value) -> list[str]:
    def number(x: float) -> str:
        return "" if math.isnan(x) else f"{x:.6f}"

    low, high = value.interval or (math.nan, math.nan)
    split, tracks = ("", "") if value.scores is None else (_harmless(value.scores.split), str(len(value.scores.keys)))
    return [number(value.mean), number(value.sd), number(low), number(high), str(value.over or ""), split, tracks]


def _harmless(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t") else text


def _page(shown: Shown, engine: Engine) -> str:
    held = [f"{v.claim} {v.verdict[0].upper()}{v.verdict[1:]}: {v.text}." for v in shown.filled.verdicts]
    steps = engine.needed(shown.table.steps)
    body = [
        f"<h1>{escape(shown.title)}</h1>",
        html.paragraph(shown.scored, "lead"),
        html.section("Figure", _figure(shown)),
        html.section("Table", _table(shown)),
        html.section("Findings, tested", html.notes(held)),
        html.section("How to read these numbers", html.notes([line for line in shown.lines[1:] if line not in held])),
        html.section(
            "What was run", html.folded("Steps", _steps(engine, steps)), html.folded("Versions", html.settings_table(versions()))
        ),
    ]
    return html.page(shown.title, body)


def _table(shown: Shown) -> str:
    """Like report_html.table; the papers' column wraps."""
    last = len(shown.header) - 1
    kinds = ["" if 0 < i < last else ' class="text wrap"' for i in range(last + 1)]
    head = "".join(f'<th scope="col"{kind}>{escape(cell)}</th>' for kind, cell in zip(kinds, shown.header))
    body = []
    for row, values in zip(shown.rows, shown.filled.values):
        cells = [_cell(value) for value in values]
        body.append(f"<tr><td{kinds[0]}>{escape(row[0])}</td>{''.join(cells)}<td{kinds[last]}>{escape(row[last])}</td></tr>")
    return f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'


def _cell(value: Value) -> str:
    if value.why:
        return f'<td class="text wrap small">{escape(value.why)}</td>'
    if value.interval is None:
        return f"<td>{escape(value.text)}</td>"
    number, _, interval = value.text.partition(" [")
    return f'<td>{escape(number)}<br><span class="soft small">[{escape(interval)}</span></td>'


def _figure(shown: Shown) -> str:
    """Lines over the columns, where the table is a figure."""
    if not shown.table.x_label:
        return ""
    series = []
    x = list(range(len(shown.table.columns)))
    for i, (row, values) in enumerate(zip(shown.table.rows, shown.filled.values)):
        y = [None if math.isnan(v.mean) else v.mean for v in values]
        spread = [0.0 if math.isnan(v.sd) else v.sd for v in values]
        series.append(Series(row.name, x, y, i, spread))
    metric = next((v.metric for values in shown.filled.values for v in values if v.metric), "")
    chart = line_chart(
        series, shown.table.x_label, METRIC_NAMES.get(metric, "score"), shown.title, x_ticks={float(k): str(k) for k in x}
    )
    return html.figure(chart, "Bars: standard deviation over probe seeds.")


def _steps(engine: Engine, steps: Sequence[Step]) -> str:
    rows = []
    for step in steps:
        found = engine.state(step)
        done = isinstance(found, Done)
        took, large = (clock(found.seconds), size(found.megabytes)) if isinstance(found, Done) else ("", "")
        took = f"> {took}" if isinstance(found, Done) and found.continued else took
        state = "done" if done else getattr(found, "text", "failed" if hasattr(found, "log") else "to do")
        commit = found.commit if isinstance(found, Done) else ""
        rows.append([step.title, f"steps/{engine.keys(step)}/{LOG}", state, took, large, commit])
    return html.table(["Step", "Log", "State", "Time", "Disk", "Code"], rows, text_columns=(1, 2, 5))


class Teller:
    """Says what the engine does: a line per step, and on a terminal how long the one at hand has run. A context; `tell` is the engine's."""

    def __init__(self, total: int, console: Console | None = None):
        self.total, self.begun = total, 0
        self.console = console or Console(stderr=True)
        self._status: Status | None = None

    def __enter__(self) -> Teller:
        if self.console.is_terminal:
            self._status = self.console.status("")
            self._status.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._status is not None:
            self._status.stop()

    def tell(self, step: Step, what: str, seconds: float) -> None:
        """What a step does ("begins", "runs", "waits", "done", "failed"), and for how long it has."""
        if what == "begins":
            self.begun += 1
        place = f"[{self.begun} of {self.total}] {step.title}"
        if what == "runs":
            if self._status is not None:
                self._status.update(Text(f"{place}: {clock(seconds)} of about {clock(step.estimate.seconds)}"))
            return
        texts = {
            "begins": f"{place} (about {clock(step.estimate.seconds)})",
            "waits": f"Another process makes: {step.title}. Waiting for it.",
            "failed": f"FAILED: {step.title}, after {clock(seconds)}",
        }
        if what in texts:
            self.console.print(Text(texts[what], style="bold" if what == "failed" else ""), highlight=False)
