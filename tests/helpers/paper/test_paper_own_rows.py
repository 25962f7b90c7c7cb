"""Papers' own rows in tables of tasks: their numbers stand in the cells, with their sources, and nowhere as the reason of an empty cell."""

from __future__ import annotations

import csv

import pytest
from rich.console import Console

import ex_paper
from helpers.paper.cells import fill_table
from helpers.paper.citations import Citation, find_score
from helpers.paper.engine import Engine, Unavailable
from helpers.paper.render import TableView, print_table, write_table
from helpers.paper.steps import Keys
from helpers.paper.table import Row, Table, cited_cell, load_tables, text_cell
from tests.helpers.paper.mini import SCALE

CITED = Citation("MuQ", "MusicFM (MSD)", "MTT", "AP", clips="unknown")


def test_its_numbers_stand_in_its_cells(tmp_path, capsys):
    rows = [Row("ours", [text_cell("why")] * 2), Row("theirs", [cited_cell(CITED, "none"), cited_cell(None, "none")])]
    table = Table("t", "T", "a paper", ["AP", "key"], rows)
    view = TableView(fill_table([table], lambda step: Unavailable(())), SCALE)
    assert view.rows == [["ours", "why", "why", "not available"], ["theirs", "0.4", "none", "this row"]]
    write_table(view, tmp_path, Engine(tmp_path / "out", tmp_path, Keys(lambda s, n, u: dict(u), lambda s, c: ())))
    number, none = list(csv.DictReader((tmp_path / "table.csv").open()))[2:]
    assert (number["mean"], number["why"]) == ("", "")
    assert number["papers"] == "MTT AP 0.400 (whether untagged clips are kept is not said) (other data: not comparable)"
    assert "MARBLE probing" in number["papers_source"]
    assert (none["why"], none["papers"], none["papers_source"]) == ("none", "not available", "")
    assert "this row" in (tmp_path / "table.html").read_text()
    print_table(view, Console(width=200))
    assert "this row" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "row"), [
    ("table_musicfm", "FM1, MERT's kind, 160 000 h (paper)"), ("table_omar_rq", "base (README)"), ("table_music2vec", "MERT 330M (MuQ, MARBLE)"),
])  # fmt: skip
@pytest.mark.parametrize("words", [["demo"], ["mtt"]])
def test_every_number_of_a_task_table_names_its_source(name, row, words):
    made = load_tables()[name].make(ex_paper.build_scale(ex_paper.resolve("ex_paper.py", words, {})))
    own = [one for one in made.rows if one.of_paper]
    assert row in [one.name for one in own]
    for cell in (cell for one in own for cell in one.cells):
        assert cell.text == "none" if cell.citation is None else 0 < find_score(cell.citation).value < 3
    assert not any(letter.isdigit() for one in made.rows for cell in one.cells for letter in cell.text)
