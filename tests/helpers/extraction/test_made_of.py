"""What embeddings say they were made of is looked at before it is followed."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.store.track_store import TrackStore
from helpers.evaluation import baseline_inputs
from helpers.evaluation.baseline_inputs import BaselineMaker
from helpers.extraction.made_of import FILE, MadeOf, elsewhere, read_made_of
from helpers.extraction.settings import ExtractionSettings
from helpers.probe.inputs import Inputs
from models.errors import ConfigError

MADE = MadeOf("maest", {"maest": {"depth": 2}}, 0, "mels/mels.h5", "mel", 1, asdict(ExtractionSettings()), seconds=0.1)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(st.sampled_from(sorted(asdict(MADE))), JSON)
def test_a_record_is_read_as_it_is_written_or_not_at_all(tmp_path_factory, name, value):
    folder = tmp_path_factory.mktemp("embeddings")
    (folder / FILE).write_text(json.dumps({**asdict(MADE), name: value}))
    found = read_made_of(folder)
    assert found is None or found == replace(MADE, **{name: value})


def test_a_family_s_own_rule_for_windows_is_read(tmp_path):
    rule = {"length": 480_000, "hop": 240_000, "tail": "drop", "rate": 16000, "seconds": 30.0, "overlap": 0.5, "ratio": 0.1}
    replace(MADE, family="omar_rq", settings={**MADE.settings, "rule": rule}).write(tmp_path)
    found = read_made_of(tmp_path)
    assert found is not None
    assert found.settings["rule"] == rule
    assert found.extraction == ExtractionSettings()  # whose rule the family gives


@pytest.mark.parametrize(
    ("made", "makes"),
    [
        (replace(MADE, store="/etc/passwd"), ("mels", "untrained")),
        (replace(MADE, store="../elsewhere/mels.h5"), ("mels", "untrained")),
        (replace(MADE, kind="waveform", audio_dir="/etc"), ("mels",)),
        (replace(MADE, family="omar_rq", config={"omar_rq": {"gin": "/etc/passwd"}}), ("untrained",)),
    ],
)
def test_nothing_outside_the_working_folder_is_followed(made, makes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made.write(tmp_path)
    (tmp_path / "embeddings.h5").touch()
    (tmp_path / "mels").mkdir()
    (tmp_path / "mels" / "mels.h5").touch()
    monkeypatch.setattr(baseline_inputs, "embedding_names", lambda path: ["a"])
    monkeypatch.setattr(baseline_inputs, "prepared", lambda *_: pytest.fail("audio was prepared"))
    monkeypatch.setattr(TrackStore, "open", lambda path: pytest.fail(f"{path} was opened"))
    maker = BaselineMaker(str(tmp_path), Inputs("t", "mean"), tmp_path / "cache", lambda name, config: None, asked=True)
    for make in makes:
        with pytest.raises(ConfigError, match="not in the working folder"):
            getattr(maker, make)()
    assert not (tmp_path / "cache").exists()


def test_links_are_followed_before_they_are_judged(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("mels.h5").symlink_to("/etc/passwd")
    assert elsewhere(["mels.h5"]) == "mels.h5"
    assert elsewhere(["other.h5", str(tmp_path / "here" / "x")]) is None
