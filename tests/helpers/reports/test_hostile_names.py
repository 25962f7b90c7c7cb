"""Names of tracks, labels, systems and data sets on pages and in tables: text, whatever they hold, that comes back as it was."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets.collection.audio_scan import ScanResult, Sound
from datasets.collection.findings import examine
from datasets.groundtruth.groundtruth import Groundtruth
from datasets.utils.spreadsheet import plain_cell
from datasets.utils.terminal import Console, visible
from helpers.data.check import Checked
from helpers.data.check_table import print_findings
from helpers.evaluation import few_label_report, sweep_report
from helpers.evaluation.few_label import Point
from helpers.evaluation.sweep import Cell
from helpers.metrics.scores import SystemScores
from helpers.paper import render
from helpers.paper.cells import fill_table
from helpers.paper.engine import Engine
from helpers.paper.render import TableView, print_table, write_table
from helpers.paper.steps import Keys
from helpers.paper.table import Row as PaperRow
from helpers.paper.table import Table, text_cell
from helpers.prediction.predict import Prediction, print_prediction
from helpers.reports import figures, report
from helpers.reports.charts import Dots, dot_plot
from helpers.reports.report import Example, Report, write_report
from helpers.reports.similar_page import SimilarContent, write_similar
from helpers.reports.similar_page import Sound as Near
from helpers.reports.tables import print_differences, print_scores, write_differences
from helpers.reports.track_page import Row, TrackContent, folder_page, readable, track_page
from models.tagging import Tagged
from tests.helpers.paper.mini import SCALE
from tests.helpers.reports.test_report import Page

PIECES = [
    "<script>alert(1)</script>", '" onload="x', "' onerror='x", "><img src=x onerror=y>", "-->", "<!--", "]]>", "</style>", "</title>",
    "</script>", "&amp;", "&#x3c;b&#x3e;", "{{7*7}}", "{% raw %}", "%s%n", "{0.__class__}", "{}", "=1+1", "@SUM(A1)", "'=x", "-2",
    "\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "\x00", "\x7f", "\u202e", "\u2066", "\u200f", "\ud800", "\udcff", "\ufeff", "\ufffe",
    "🎸", "漢字", "[red]", "[/]", "|", "`", "$x$", "\\x1b", "javascript:alert(1)", "\r\n", "\n", "\t", "\u2028", "/../", "x" * 300, " ",
]  # fmt: skip
name = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), min_size=1, max_size=4).map("".join)
four = st.lists(name.filter(lambda text: "---" not in text), min_size=4, max_size=4)


def cases(number: int):
    """A test by generation of four names that differ."""
    names = four.map(lambda texts: [f"{text}{i}" for i, text in enumerate(texts)])
    how = settings(max_examples=number, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    return lambda test: how(given(names=names)(test))


@cache
def scored(seed: int) -> SystemScores:
    y = np.array([[1, 0, 1, 0], [0, 1, 1, 0], [1, 1, 0, 1]] * 2, bool)
    p = np.random.default_rng(seed).random((1, 6, 4))
    validation = {"val_roc": [0.5], "best_epoch": [1.0]}
    return SystemScores(
        "a", "test", list("abcd"), list("123456"), y, p, [0], validation, settings={"chosen_by": "val_roc", "block": 1}
    )


def whole(text: str) -> str:
    """What names of files and data sets may hold: no half characters."""
    return text.replace("\ud800", "")


def scores(names: list[str]) -> list[SystemScores]:
    """Two systems on six tracks, with these names as labels, tracks, systems, settings and data set."""
    made = []
    for seed, own in enumerate(names[:2]):
        base = scored(seed)
        about = {**base.settings, names[0]: names[1]}
        one = replace(
            base,
            name=own,
            split=f"{whole(names[3])} test",
            labels=names,
            keys=[*names, "5", "6"],
            settings=about,
        )
        vars(one)["_cache"] = base._cache  # whatever the names, the numbers are these
        made.append(one)
    return made


def heard(names: list[str]) -> Tagged:
    times = np.array([[0, 1], [1, 2]], np.float32)
    p = np.array([[0.1, 0.2, 0.3, 0.4]] * 2, np.float32)
    return Tagged(names, p, times, 2.0, np.ones((4, 4), np.float32), names[0], names[1])


def paper_table(names: list[str]) -> Table:
    own = [whole(one) for one in names]
    return Table("t", own[0], own[1], own[:2], [PaperRow(one, [text_cell(own[2])] * 2) for one in own], notes=own)


def some_pages(names: list[str], folder: Path) -> dict[str, tuple[str, list[str]]]:
    """Page -> its text, and the texts that must stand on it."""
    systems, names_read = scores(names), [readable(one) for one in names]
    tops = heard(names).top(3)
    links = [f"tracks/{whole(one)}.html" for one in names]
    rows = [Row(one, 1.0, tops, link, one) for one, link in zip(names, links)]
    near = [Near(one, 0.5, page=link, heard=one) for one, link in zip(names, links)]
    table = paper_table(names)
    engine = Engine(folder / "engine", folder, Keys(lambda script, named, updates: dict(updates), lambda script, command: ()))
    example = Example(names[0], np.ones((4, 4)), 1.0, names, np.full(4, 0.5), np.ones(4, bool), names[1])
    content = Report(
        names[0], systems, examples=[example], about={"Configuration": {"audio": names[2]}}, notes=names, intro=names[3]
    )
    write_table(TableView(fill_table([table], lambda step: None), SCALE), folder, engine)
    cells = [Cell(1, "c", one) for one in systems]
    sweep_report.report_sweep(cells, folder, names[0])
    few_label_report.report_few_label([Point(1.0, 0, 6, systems[0])], folder, names[0])
    write_report(folder / "report.html", content)
    write_similar(folder / "similar.html", near[0], near[1:], SimilarContent(names, names[1], {"collection": names[2]}))
    written = {
        "table.html": [whole(one) for one in names],
        "sweep.html": [names[0], systems[0].split],
        "few_label.html": [names[0], systems[0].split],
        "report.html": names,
        "similar.html": names_read + names,
    }
    return {
        "track": (track_page(names[0], heard(names), TrackContent(about={"a": names[3]}, notes=names)), [names_read[0], *names]),
        "folder": (folder_page(names[3], rows, [(names[0], names[1])], {"a": names[2]}, names), names_read + names),
        **{file: ((folder / file).read_bytes().decode(), texts) for file, texts in written.items()},
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        for module in (sweep_report, few_label_report):
            patch.setattr(module, "write_pictures", lambda *args: [])  # see below
        for module in (figures, report, render):
            patch.setattr(module, "versions", dict)
        yield tmp_path_factory.mktemp("pages")


def check_pages(names: list[str], place: Path) -> None:
    plain = some_pages([f"{'x' * (len(one) - 1)}{i}" for i, one in enumerate(names)], place)
    for page, (text, wanted) in some_pages(names, place).items():
        found, same = Page(text), Page(plain[page][0])
        kinds = [{(tag, *attrs) for tag, attrs in parsed.tags} for parsed in (same, found)]
        assert kinds[1] <= kinds[0], page
        counts = [Counter(tag for tag, _ in parsed.tags if tag not in ("text", "title")) for parsed in (same, found)]
        assert counts[0] == counts[1], page  # a chart breaks a name into lines, at its spaces
        for tag, attrs in found.tags:
            assert not any(key.startswith("on") for key in attrs), page
            assert re.fullmatch(r"[\w./~%-]*", attrs.get("href", ""), re.ASCII), page
            for key in set(attrs) & {"id", "class", "style", "src"}:
                assert any(attrs[key] == other.get(key) for kind, other in same.tags if kind == tag), (page, key)
        code = [re.findall(r"<(script|style)>(.*?)</\1>", parsed, re.DOTALL) for parsed in (plain[page][0], text)]
        assert code[0] == code[1], page
        assert clean(text), page
        words = "".join(found.words)
        assert [one for one in wanted if visible(one) not in words] == [], page


def clean(text: str) -> bool:
    return text.replace("\n", "").replace("\t", "") == visible(text.replace("\n", "").replace("\t", ""))


@cases(12)
def test_names_on_pages(names, place):
    check_pages(names, place)


@pytest.mark.slow
@cases(300)
def test_any_names_on_pages(names, place):
    check_pages(names, place)


# ---- terminal and csv
def said(names: list[str], place: Path) -> list[tuple[str, list[str]]]:
    """What each printer prints, and the texts that must stand in it."""
    systems = scores(names)
    sound = Sound(2.0, 16000, 1, names[0], 0.5, 0.0, 0.0, "d")
    truth = Groundtruth.from_rows(names, [[one] for one in names], labels=names, split=["train"] * 4, group=names)
    found = examine(truth, {names[1]: ScanResult(sound), names[2]: ScanResult(error=names[3]), "other": ScanResult(sound)})
    rows = [Row(one, 1.0, heard(names).top(3), "x", one) for one in names]
    table = paper_table(names)
    printers = [
        (lambda console: print_scores(systems, console, per_label=True), names),
        (lambda console: print_differences(systems, console), names[1:2]),
        (lambda console: print_prediction(Prediction(rows, [], []), console), [readable(one) for one in names]),
        (lambda console: print_prediction(Prediction(rows[:1], [], []), console), names[1:]),
        (lambda console: print_findings(Checked(found, truth, place, False, place), console), names),
        (
            lambda console: print_table(TableView(fill_table([table], lambda step: None), SCALE), console),
            [whole(one) for one in names],
        ),
        (lambda console: sweep_report.print_sweep([Cell(1, "c", systems[0])], None, console), [systems[0].split]),
        (lambda console: few_label_report.print_few_label([Point(1.0, 0, 6, systems[0])], console), [systems[0].split]),
    ]
    out = []
    for show, wanted in printers:
        text = io.StringIO()
        show(Console(file=text, width=4000, force_terminal=False))
        out.append((text.getvalue(), wanted))
    return out


def check_terminal(names: list[str], place: Path) -> None:
    def squashed(text: str) -> str:
        return "".join(text.split())

    for number, (text, wanted) in enumerate(said(names, place)):
        assert clean(text), number
        lost = [
            one for one in wanted if squashed(visible(one).replace("\t", "\\t")) not in squashed(text) and "\n" not in one
        ]  # a table has it on two lines
        assert lost == [], number
    systems = scores([whole(one) for one in names])
    text = write_differences(systems, place / "d.csv").read_bytes().decode("utf-8", "surrogateescape")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert {(plain_cell(row["first"]), plain_cell(row["other"])) for row in rows} == {(systems[0].name, systems[1].name)}
    assert not any(row[key].startswith(("=", "+", "-", "@", "\t", "\r")) for row in rows for key in ("first", "other"))


@cases(28)
def test_names_on_a_terminal_and_in_a_spreadsheet(names, place):
    check_terminal(names, place)


@pytest.mark.slow
@cases(300)
def test_any_names_on_a_terminal_and_in_a_spreadsheet(names, place):
    check_terminal(names, place)


def test_pictures_hold_any_name(tmp_path):
    names = ["".join(PIECES[i::4]) for i in range(4)]
    drawing = dot_plot(names, [Dots(one, [0.1, 0.2, 0.3, 0.4], i) for i, one in enumerate(names)], names[0], names[1])
    tree = ElementTree.parse(drawing.write_svg(tmp_path / "a.svg")).getroot()
    assert tree.get("aria-label") == re.sub(r"[\n\t]", " ", visible(names[1]))
    assert {one.tag.rpartition("}")[2] for one in tree.iter()} <= {
        "svg",
        "style",
        "rect",
        "line",
        "text",
        "title",
        "g",
        "path",
        "circle",
    }
    assert drawing.write_png(tmp_path / "a.png").stat().st_size > 1000
