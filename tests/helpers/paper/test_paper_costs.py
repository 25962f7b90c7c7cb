"""What a step took, beside the scores of a table."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from helpers.extraction.made_of import MadeOf
from helpers.extraction.settings import ExtractionSettings
from helpers.paper.cells import read_cell
from helpers.paper.records import Done
from helpers.paper.steps import Step
from helpers.paper.table import COSTS, Cell
from tests.helpers.paper.test_paper_tables import made

STEP = Step("extract", "ex_ssl.py", "extract_embeddings")


def _read(part: str, done: Done) -> str:
    return read_cell(Cell("cost", STEP, part, text="2"), lambda _: done).text


@pytest.mark.parametrize(
    ("seconds", "parameters", "said"),
    [
        (0.0149, 73_600, ("240 s", "14.9 ms", "0.0736 M")),
        (1.2, 86_000_000, ("240 s", "1200 ms", "86 M")),
        (None, None, ("240 s", "not known", "not known")),
    ],
)
def test_costs_are_the_step_s_and_its_extraction_s(tmp_path: Path, seconds, parameters, said):
    (tmp_path / "embeddings.h5").touch()
    settings = asdict(ExtractionSettings())
    MadeOf("maest", {}, 0, "mels/mels.h5", "mel", 2, settings, seconds=seconds, parameters=parameters).write(tmp_path)
    done = Done(tmp_path, {"2": tmp_path / "embeddings.h5"}, seconds=240.22)
    assert tuple(_read(part, done) for part in COSTS) == said


def test_seconds_of_the_last_try_alone_are_not_shown(tmp_path: Path):
    assert "not known" in _read(COSTS[0], Done(tmp_path, {}, seconds=3.0, about={"continued": True}))


@pytest.mark.parametrize("scale", ["demo", "mtt"])
def test_families_say_what_they_cost(scale):
    found = made("table_families", scale)
    assert tuple(found.columns[-3:]) == ("pre-training", "a track", "weights")
    rows = {row.name: row.cells[-3:] for row in found.rows}
    assert (rows["MAEST" if scale == "demo" else next(iter(rows))][0].step is not None) == (
        scale == "demo"
    )  # published ones are not trained here
    assert rows["untrained MAEST"][0].text == "-"
    assert all(
        cell.step.command == "extract_embeddings"
        for name, cells in rows.items()
        for cell in cells[1:]
        if "mel statistics" not in name
    )
