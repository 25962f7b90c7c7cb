"""Cells, claims and what is printed of them: numbers against the scores they are read from, and reasons in place of numbers."""

from __future__ import annotations

import csv
import io
import math
import os
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from helpers.metrics.differences import compare
from helpers.metrics.scores import SystemScores
from helpers.paper.cells import check_claims, fill_table, read_cell, read_cells, swept
from helpers.paper.citations import Citation
from helpers.paper.engine import Engine, Failed, Pending, Unavailable
from helpers.paper.records import Done
from helpers.paper.render import TableView, _page, markdown, print_table, write_table
from helpers.paper.steps import Keys, Step
from helpers.paper.table import Cell, Claim, Row, Table, text_cell
from tests.helpers.paper.mini import SCALE

EVIL = "<script>alert('x')</script>|=cmd"


def system(strength: float, seeds: int = 3, n: int = 120, split: str = "demo test", draw: int = 1) -> SystemScores:
    y = np.random.default_rng(7).random((n, 4)) < 0.4
    noise = np.random.default_rng(draw).standard_normal((seeds, n, 4))
    p = (1 / (1 + np.exp(-(strength * (2 * y - 1) + noise)))).astype(np.float32)
    about = {"block": 1, "types": "c", "chosen_by": "val_roc"}
    return SystemScores("s", split, list("wxyz"), [f"{i}" for i in range(n)], y, p, list(range(seeds)), settings=about)


@pytest.fixture
def bench(tmp_path):
    """bench(strength): a probe's step that is done, with its scores; bench.outcomes: what the engine would say."""

    class Bench:
        def __init__(self):
            self.outcomes = {}

        def __call__(self, strength: float, **more) -> Step:
            step = Step(f"probe {len(self.outcomes)}", "ex_tl.py", "main", (), {"n": len(self.outcomes)})
            folder = tmp_path / str(len(self.outcomes))
            system(strength, **more).save(folder / "runs" / "1")
            self.outcomes[step] = Done(folder, {"results": folder / "runs" / "1"}, commit="abc")
            return step

        def other(self, outcome) -> Step:
            step = Step("other", "ex_tl.py", "main", (), {"n": len(self.outcomes)})
            self.outcomes[step] = outcome
            return step

        def of(self, step):
            return self.outcomes[step]

    return Bench()


def test_a_cell_is_the_scores_mean_spread_and_interval(bench):
    value, want = read_cell(Cell("probe", bench(1.0), "", "macro_ap"), bench.of), system(1.0)
    assert (value.mean, value.sd, value.interval) == (want.mean("macro_ap"), want.sd("macro_ap"), want.interval("macro_ap"))
    low, high = value.interval
    assert value.text == f"{value.mean:.3f} ± {value.sd:.3f} [{low:.3f}, {high:.3f}]"
    assert "±" not in read_cell(Cell("probe", bench(1.0, seeds=1)), bench.of).text


def test_a_systems_scores_beside_the_first_are_in_their_folder(bench):
    step = bench(1.0)
    system(0.1).save(bench.of(step).output("results") / "mel_statistics")
    assert read_cell(Cell("probe", step, "mel_statistics"), bench.of).mean == pytest.approx(system(0.1).mean())


def test_cells_of_sweeps_few_labels_and_results(bench, tmp_path):
    step = bench(1.0)
    place = bench.of(step).output("results")
    system(0.5).save(place.parent / "cells" / "abc" / "c")
    assert read_cell(Cell("sweep", step, "1 c"), bench.of).mean == pytest.approx(system(0.5).mean())
    assert "failed: KeyError" in read_cell(Cell("sweep", step, "3 c"), bench.of).text
    older = place.parent / "cells" / "zzz" / "c"
    system(2.0).save(older)  # of embeddings that were made anew after a kill
    os.utime(older / "scores.json", (1, 1))
    assert swept(bench.of(step))["1 c"].mean() == pytest.approx(system(0.5).mean())
    draws = [system(0.4, seeds=2), system(0.4, seeds=2, draw=5)]
    for i, one in enumerate(draws):
        one.save(place / "points" / f"0.1-{i}")
    value = read_cell(Cell("few_label", step, "0.1", "macro_roc"), bench.of)
    each = np.concatenate([one.scores("macro_roc") for one in draws])
    assert (value.mean, value.sd, value.over) == (pytest.approx(each.mean()), pytest.approx(each.std(ddof=1)), 4)
    assert value.interval[0] < value.mean < value.interval[1]
    assert "failed: ConfigError" in read_cell(Cell("few_label", step, "0.5"), bench.of).text
    number = bench.other(Done(tmp_path, {}, result={"t2": 1.873}))
    assert read_cell(Cell("number", number, "t2", text=" x"), bench.of).text == "1.87 x"
    assert "KeyError" in read_cell(Cell("number", number, "t3"), bench.of).text


def test_cells_without_a_number_say_why(bench, tmp_path):
    assert read_cell(text_cell("not asked"), bench.of).text == "not asked"
    assert read_cell(Cell("probe", bench.other(Unavailable(("place F",)))), bench.of).text == "not available: place F"
    assert (
        read_cell(Cell("probe", bench.other(Failed(tmp_path / "log.txt", 1))), bench.of).text
        == f"failed: see {tmp_path / 'log.txt'}"
    )
    assert read_cell(Cell("probe", bench.other(Pending())), bench.of).text == "not made yet"
    gone = bench(1.0)
    (bench.of(gone).output("results") / "scores.npz").unlink()
    assert read_cell(Cell("probe", gone), bench.of).text.startswith("failed: FileNotFoundError")
    short = bench(1.0)
    file = bench.of(short).output("results") / "scores.npz"
    file.write_bytes(file.read_bytes()[:3000])
    assert read_cell(Cell("probe", short), bench.of).text.startswith("failed: ConfigError")


# ---- claims
@pytest.mark.parametrize(
    ("better", "worse", "margin", "verdict"),
    [
        (2.0, 0.5, 0.0, "held"),
        (0.5, 2.0, 0.0, "did not hold"),
        (1.0, 1.0, 0.0, "undecided at this scale"),
        (1.0, 1.0, 0.2, "held"),
    ],
)
def test_the_paired_interval_decides_a_claim(bench, better, worse, margin, verdict):
    a, b = bench(better), bench(worse, draw=2)
    found = check_claims([[Claim("More is better.", Cell("probe", a), Cell("probe", b), "more - less", margin)]], bench.of)[0]
    want = compare(system(better), system(worse, draw=2))
    assert found.verdict == verdict
    assert f"{want.mean:+.3f} (95 % {want.interval[0]:+.3f} to {want.interval[1]:+.3f}, paired over 120 tracks" in found.text


def test_a_claim_about_an_error_is_turned_round(bench):
    rng = np.random.default_rng(0)
    y = rng.standard_normal((60, 1))
    steps = []
    for noise in (0.1, 2.0):
        step = bench(1.0)
        p = (y + noise * rng.standard_normal((2, 60, 1))).astype(np.float32)
        SystemScores("s", "t", ["v"], [f"{i}" for i in range(60)], y, p, [0, 1], task="regression").save(
            bench.of(step).output("results")
        )
        steps.append(step)
    claim = Claim("Less error.", Cell("probe", steps[0], "", "mse"), Cell("probe", steps[1], "", "mse"), "a - b")
    assert check_claims([[claim]], bench.of)[0].verdict == "held"


def test_a_claim_that_cannot_be_tested_says_why(bench):
    a, b, c = bench(1.0), bench.other(Unavailable(("place F",))), bench.other(Unavailable(("place G",)))
    assert check_claims([[Claim("x", Cell("probe", a), Cell("probe", b), "a - b")]], bench.of)[0].text == "not available: place F"
    assert check_claims([[Claim("x", Cell("probe", b), Cell("probe", c), "b - c")]], bench.of)[0].missing == (
        "place F",
        "place G",
    )
    other = bench(1.0, split="another test")
    found = check_claims([[Claim("x", Cell("probe", a), Cell("probe", other), "a - b")]], bench.of)[0]
    assert found.verdict == "not tested"
    assert "not scored on the same tracks" in found.text


def test_several_networks_are_one_value_and_a_verdict_says_over_how_many(bench):
    better, worse = [bench(2.0), bench(2.4, draw=1)], [bench(0.2, draw=2), bench(0.3, draw=3)]
    value = read_cells([Cell("probe", step) for step in better], bench.of)
    each = [read_cell(Cell("probe", step), bench.of) for step in better]
    assert value.mean == pytest.approx(np.mean([one.mean for one in each]))
    assert value.over == sum(one.over for one in each)
    assert value.scores.factors["network"] == [0] * each[0].over + [1] * each[1].over
    assert read_cells([Cell("probe", better[0])] * 2, bench.of).over == each[0].over  # the same step: no network of its own
    claims = [Claim("x", Cell("probe", a), Cell("probe", b), "a - b") for a, b in zip(better, worse)]
    assert check_claims([claims], bench.of)[0].scope == "over 2 pre-trained networks"
    assert check_claims([claims[:1]], bench.of)[0].scope == "on this one network"


# ---- shown
@pytest.fixture
def shown(bench, tmp_path):
    good, bad = bench(1.0), bench.other(Failed(tmp_path / "log.txt", 1))
    citation = Citation("CLMR", "SampleCNN/CLMR 48/10000, linear", "MTT", "ROC-AUC", clips="unknown")
    rows = [Row(EVIL, [Cell("probe", good, "", "macro_roc"), Cell("probe", good, "", "macro_ap")], [citation])]
    rows.append(Row("b", [Cell("probe", bad), text_cell("not available")]))
    claim = Claim("It helps.", rows[0].cells[0], rows[1].cells[0], "a - b")
    table = Table("t", "Title & more", "a paper", ["ROC", "AP"], rows, [claim], [EVIL], x_label="block")
    return TableView(fill_table([table], bench.of), SCALE)


def test_what_is_written_is_the_same_everywhere_and_escaped(shown, tmp_path, bench, monkeypatch):
    engine = Engine(tmp_path / "out", tmp_path, Keys(lambda s, n, u: dict(u), lambda s, c: ()))
    monkeypatch.setattr(engine, "state", bench.of)
    paths = {path.name: path.read_text() for path in write_table(shown, tmp_path / "tables", engine)}
    assert set(paths) == {"table.md", "table.csv", "table.html"}
    number = shown.filled.values[0][0].text
    assert number in paths["table.md"]
    assert number.partition(" [")[0] in paths["table.html"]
    assert "<script>" not in paths["table.html"]
    assert "&lt;script&gt;" in paths["table.html"]
    assert "Title &amp; more" in paths["table.html"]
    assert EVIL.replace("|", "\\|") in paths["table.md"]
    rows = list(csv.DictReader(io.StringIO(paths["table.csv"])))
    assert [row["row"] for row in rows] == [EVIL, EVIL, "b", "b"]
    assert float(rows[0]["mean"]) == pytest.approx(system(1.0).mean(), abs=1e-6)
    assert (rows[0]["split"], rows[0]["tracks"], rows[0]["results"]) == ("demo test", "120", "3")
    assert rows[2]["why"].startswith("failed: see")
    assert rows[2]["mean"] == ""
    assert not list((tmp_path / "tables").glob(".*"))


def test_papers_numbers_stand_apart_with_source_and_protocol(shown):
    text = markdown(shown)
    assert "papers (other data: not comparable)" in text
    assert "MTT ROC-AUC 0.887 (whether untagged clips are kept is not said) [1]" in text
    assert "[1] CLMR, SampleCNN/CLMR 48/10000, linear" in text
    assert "protocol: frozen, linear head" in text
    assert "as its authors' README has it" in text
    assert text.count("not available") == 2  # the row without a citation, the cell that says so


def test_the_terminal_shows_names_as_they_are(shown, capsys):
    print_table(shown, Console(width=200))
    printed = capsys.readouterr().out
    assert EVIL in printed
    assert "see [1]" in printed
    assert "[1] CLMR, SampleCNN/CLMR 48/10000, linear: MTT ROC-AUC 0.887" in printed
    assert "It helps. Not tested: failed: see" in printed
    assert "demo test, 120 tracks, macro ROC-AUC over 4 of 4 labels" in printed
    assert shown.filled.failed


DATA, NET, ALONE = "data/a very long folder/mels is not there (python -m datasets.gtzan)", "place F", "place /a/folder/F2"


@pytest.fixture
def without(bench):
    """A table in most of whose cells something is not there."""
    two, one = bench.other(Unavailable((DATA, NET))), bench.other(Unavailable((ALONE,)))
    rows = [Row(name, [Cell("probe", step)] * 2) for name, step in (("a", two), ("b", two), ("c", one), ("d", bench(1.0)))]
    pairs = [(0, 3), (1, 3), (2, 3), (3, 3)]
    claims = [Claim("All tokens.", rows[i].cells[0], rows[j].cells[0], f"{i} - {j}") for i, j in pairs]
    claims += [Claim("Nothing.", rows[i].cells[0], rows[3].cells[0], "x") for i in (0, 1)]
    return TableView(fill_table([Table("t", "t", "p", ["x", "y"], rows, claims)], bench.of), SCALE)


def test_what_is_missing_is_listed_once(without, tmp_path, bench, monkeypatch, capsys):
    engine = Engine(tmp_path / "out", tmp_path, Keys(lambda s, n, u: dict(u), lambda s, c: ()))
    monkeypatch.setattr(engine, "state", bench.of)
    texts = {path.name: path.read_text() for path in write_table(without, tmp_path / "tables", engine)}
    print_table(without, Console(width=80))
    printed = capsys.readouterr().out
    for text in (printed, texts["table.md"], texts["table.html"]):
        assert text.count(DATA) == 1
        assert text.count("not available [a,b]") == 4
        assert "[b] place F" in text
    assert f"[a] {DATA}\n[b] {NET}\n[c] {ALONE}\n" in printed
    assert "| c | not available: place /a/folder/F2 |" in texts["table.md"]  # its row alone lacks it
    assert printed.count("not available [c]") == 2
    assert texts["table.csv"].count(f"not available: {DATA}; {NET}") == 4


def test_a_claim_is_said_once_with_its_results(without):
    (text, results), (other, none) = without.findings
    assert text == "All tokens."
    assert results[:3] == [
        "Not tested: 0 - 3: see [a,b].",
        "Not tested: 1 - 3: see [a,b].",
        "Not tested: 2 - 3: see [c].",
    ]
    assert results[3].startswith("Undecided at this scale, on this one network: 3 - 3: macro ROC-AUC +0.000 (95 %")
    assert (other, none) == ("Nothing. Not tested: see [a,b].", [])
    assert "* All tokens.\n  * Not tested: 0 - 3: see [a,b].\n" in markdown(without)


def test_more_things_than_letters(bench):
    step = bench.other(Unavailable(tuple(f"place {i}" for i in range(28))))
    shown = TableView(fill_table([Table("t", "t", "p", ["x"], [Row("a", [Cell("probe", step)])])], bench.of), SCALE)
    assert [line.split()[0] for line in shown.legend[24:]] == ["[y]", "[z]", "[aa]", "[ab]"]


def test_classes_without_a_score_are_said_below_the_table_and_not_warned_of(bench, caplog):
    steps = [bench(1.0, split="one"), bench(1.0, split="two")]
    for step, label in zip(steps, (1, None)):
        found = system(1.0, split="one" if label else "two")
        targets = found.targets.copy()
        if label is not None:
            targets[:, label] = False
        replace(found, targets=targets).save(bench.of(step).output("results"))
    caplog.clear()
    rows = [Row(step.title, [Cell("probe", step)]) for step in steps]
    for part, want in (
        (rows[:1], "macro ROC-AUC over 3 of 4 labels"),
        (rows, "2 targets (one: macro ROC-AUC over 3 of 4 labels; two)"),
    ):
        assert want in TableView(fill_table([Table("t", "t", "p", ["x"], part)], bench.of), SCALE).scored
    assert not caplog.text


def test_on_a_phone_the_papers_numbers_are_a_list(shown, tmp_path, bench, monkeypatch):
    engine = Engine(tmp_path / "out", tmp_path, Keys(lambda s, n, u: dict(u), lambda s, c: ()))
    monkeypatch.setattr(engine, "state", bench.of)
    write_table(shown, tmp_path, engine)
    page = (tmp_path / "table.html").read_text()
    assert page.count('class="text wrap wide">MTT ROC-AUC 0.887') == 1
    assert page.partition('<div class="narrow">')[2].count("MTT ROC-AUC 0.887") == 2  # the list, and the note with its source


def test_formulas_do_not_reach_spreadsheets(bench, tmp_path):
    table = Table("t", "t", "p", ["x"], [Row("=1+1", [text_cell("-cmd")])])
    from helpers.paper.render import _csv

    text = _csv(TableView(fill_table([table], bench.of), SCALE))
    assert "'=1+1" in text
    assert "'-cmd" in text
    assert text.splitlines()[1].endswith(",not available,")
    assert math.isnan(read_cell(text_cell("x"), bench.of).mean)


def test_the_csv_has_the_papers_numbers_with_their_sources(shown):
    from helpers.paper.render import _csv

    rows = list(csv.DictReader(io.StringIO(_csv(shown))))
    assert rows[0]["papers"].startswith("MTT ROC-AUC 0.887 (whether untagged clips are kept is not said)")
    assert rows[0]["papers"].endswith("(other data: not comparable)")
    assert "frozen, linear head; source: " in rows[0]["papers_source"]
    assert (rows[2]["papers"], rows[2]["papers_source"]) == ("not available", "")


def test_other_versions_of_the_code_are_said(shown):
    told = lambda commits, now: [line for line in TableView(shown.filled, SCALE, commits, now).lines if "Versions" in line]  # noqa: E731
    assert not told({"abc": 4}, "abc")
    assert told({"abc": 4}, "def") == ["Versions of the code that made it: abc (4 steps); the code is now def."]
    assert told({"abc": 4, "abd": 1}, "abc") == [
        "Versions of the code that made it: abc (4 steps), abd (1 step); the code is now abc."
    ]


def test_papers_numbers_stand_below_a_table_of_many_columns(bench, tmp_path):
    citation = Citation("CLMR", "SampleCNN/CLMR 48/10000, linear", "MTT", "ROC-AUC", clips="unknown")
    engine = Engine(tmp_path / "out", tmp_path, Keys(lambda s, n, u: dict(u), lambda s, c: ()))
    for columns, beside in ((3, True), (4, False)):
        table = Table("t", "t", "p", [f"c{i}" for i in range(columns)], [Row("a", [text_cell("x")] * columns, [citation])])
        page = _page(TableView(fill_table([table], bench.of), SCALE), engine)
        assert (page.count("MTT ROC-AUC 0.887") == 3) == beside  # beside, below on a phone, and in its note
        assert ('class="narrow"' in page) == beside
