"""Extraction under `auto` goes on in what its output began with."""

import json

import pytest

from helpers.extraction.extract import ExtractionSettings, extract_embeddings, extract_logits
from helpers.extraction.outputs import SETTINGS, begun_precision
from tests.helpers.extraction.small_extraction import network


@pytest.mark.parametrize("form", ["store", "npy"])
def test_the_outputs_say_it(mels, tmp_path, form):
    assert begun_precision(tmp_path / "absent") is None
    extract_embeddings(network(), mels, tmp_path / "out", [1], settings=ExtractionSettings(precision="bf16-mixed", format=form))
    assert begun_precision(tmp_path / "out") == "bf16-mixed"


def test_an_output_that_is_under_way_says_it(mels, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("helpers.extraction.outputs.StoreOutput.finish", stop)
    with pytest.raises(KeyboardInterrupt):
        extract_logits(network(), mels, tmp_path, settings=ExtractionSettings(precision="32"))
    assert begun_precision(tmp_path) == "32-true"


@pytest.mark.parametrize("content", ["{", "[]", '{"precision": 5}', "\x00"])
def test_files_that_say_nothing_are_passed_over(tmp_path, content):
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / SETTINGS).write_text(content)
    (tmp_path / "7" / "embeddings.h5").write_text("no store")
    assert begun_precision(tmp_path) is None
    (tmp_path / "8").mkdir()
    (tmp_path / "8" / SETTINGS).write_text(json.dumps({"precision": "32-true"}))
    assert begun_precision(tmp_path) == "32-true"
