"""Papers' numbers: every quoted one is in the file, and says where it does not compare."""

from __future__ import annotations

import json
import re

import pytest

from helpers.paper.citations import FILE, PER_CENT, Quote, entries, find
from tests.helpers.paper.all_tables import NAMES, TABLES, made


def test_the_file_is_whole():
    assert len(entries()) == 470
    assert {one["certainty"] for one in entries()} == {"verbatim-seed", "verbatim-stored", "image-transcribed", "derived"}
    assert not re.search(r"\bid \d{6,}|\bseed \d|(code|pages) corpus", FILE.read_text())


def test_shares_are_made_of_per_cent():
    assert find(Quote("CLMR", "SampleCNN/CLMR 48/10000, linear", "MTT", "ROC-AUC")).value == pytest.approx(0.887)
    assert find(Quote("MGPHot", "MAEST", "MTT (50 tags)", "mAP (mean of 5 seeds)")).value == pytest.approx(0.4926)
    for one in entries():
        scores = isinstance(one["value"], (int, float)) and one["table"] != "recipe" and one["metric"] not in ("setting", "clips")
        if scores and "MSE" not in one["metric"] and not one["metric"].startswith("clips"):
            assert (one["value"] > 1) == one["paper"].startswith(PER_CENT), json.dumps(one)


def test_a_number_of_magnatagatune_never_stands_without_its_clips():
    for name in NAMES:
        for scale in ("demo", "mtt"):
            for row in made(name, scale).rows:
                for quote in row.quotes:
                    assert not quote.dataset.startswith("MTT") or "untagged clips" in find(quote).short


@pytest.mark.parametrize("quote", [Quote("CLMR", "nothing", "MTT", "ROC-AUC"), Quote("M", "MAEST", "MTT (50 tags)", "mAP")])
def test_a_number_that_is_not_in_the_file_is_not_printed(quote):
    with pytest.raises(LookupError):
        find(quote)


def test_maests_own_tables_are_said_to_be_absent():
    for name in NAMES[:7]:
        assert any("MAEST paper's numbers of this table: not available" in note for note in made(name, "demo").notes), name
    assert not [one for one in entries() if one["paper"].startswith("MAEST") and "ROC" in one["metric"]]


def shorts(name: str, scale: str) -> set[str]:
    return {find(quote).short for row in made(name, scale).rows for quote in row.quotes}


def test_numbers_that_are_not_of_these_cells_say_so():
    assert any("here they are kept, where nothing else is said: not comparable" in text for text in shorts("table_tokens", "mtt"))
    assert not any("not comparable" in text for text in shorts("table_tokens", "mtt_tagged"))
    for table_name in ("table_tokens", "table_families", "table_downstream", "table_out_of_domain"):
        assert any("183 tags together, other labels than here: not comparable" in t for t in shorts(table_name, "mtg_jamendo"))
    assert any(text.startswith("MSD ROC-AUC 0.884") for text in shorts("table_clmr", "msd"))


def test_published_networks_that_differ_in_more_than_the_table_asks_say_so():
    for name, demo, published in (
        ("table_teacher_student", "saw as many clips", "129 epochs, the student, which had its logits besides, for 73"),
        ("table_initial_weights", "differ", "for 75 epochs, the others for 129"),
    ):
        assert published in " ".join(made(name, "mtt").notes)
        assert published not in " ".join(made(name, "demo").notes)
        assert ("saw as many clips" in " ".join(made(name, "mtt").notes)) is False
        assert demo in " ".join([*made(name, "demo").notes, TABLES[name].doc])
    assert "129 epochs" in made("table_initial_weights", "mtt").claims[1].between
    notes = " ".join(made("table_downstream", "mtt").notes)
    assert "tagged: MagnaTagATune, 50 tags, without untagged clips." in notes
    assert "maest: MagnaTagATune, 50 tags, untagged clips kept." in notes
