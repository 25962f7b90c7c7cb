"""Where commands may write: refused before any work in one sentence, and nothing is made there or left behind."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets.jobs.cluster import Cluster
from datasets.prepare import prepare
from helpers.data.check import _refuse_to_overwrite
from helpers.experiments.run_records import read_runs
from helpers.experiments.runs import compare_table
from helpers.metrics.scores import SystemScores
from helpers.probe.head_training import Examples, HeadSpec, Source, train_head
from helpers.probe.settings import ProbeSettings
from models.bounded_files import check_writable, check_writable_file
from models.errors import AudioError, ClusterError, ConfigError, StoreError
from tests.odd_things import KINDS, put, watched
from tests.sentences import one_sentence
from tests.sound import tune, write
from tests.test_json_hostile import anything

CASES = settings(max_examples=300, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
below = st.lists(st.sampled_from(["a", "b", "x" * 255, "x" * 300, "nul\0", "...", "..", "é", " "]), max_size=3)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("places")


@CASES
@given(kind=st.sampled_from(["absent", "folder there", *KINDS]), parts=below)
def test_a_place_is_refused_where_nothing_can_be_made(place, kind, parts):
    shutil.rmtree(place / "here", ignore_errors=True)
    (place / "here").mkdir()
    if kind != "absent":
        put(place / "here" / "out", kind.split()[0])
    there = sorted(place.rglob("*"))
    target = os.path.join(place, "here", "out", *parts)
    try:
        check_writable(target, ConfigError, "check.out")
        fine = True
    except ConfigError as error:
        one_sentence(error)
        fine = False
    assert sorted(place.rglob("*")) == there
    short = not any(len(part) > 255 or "\0" in part for part in parts)
    assert fine == (kind in ("absent", "folder", "folder there")) or not short
    if fine and short:
        os.makedirs(target, exist_ok=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_takes_no_other_things_place(tmp_path, kind):
    put(tmp_path / "x", kind)
    if kind in ("empty", "endless"):
        check_writable_file(tmp_path / "x", ConfigError)
        return
    with pytest.raises(ConfigError) as caught:
        check_writable_file(tmp_path / "x", ConfigError)
    one_sentence(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_of_check_data_that_is_no_file(tmp_path, kind):
    put(tmp_path / "out" / "report.json", kind)
    with watched():
        try:
            _refuse_to_overwrite(tmp_path / "out", tmp_path / "t.csv")
        except ConfigError as error:
            one_sentence(error)
        else:
            assert kind in ("nothing", "loop")  # links to nothing are replaced


@pytest.mark.parametrize(
    "asked",
    [
        {"shard_tracks": 0}, {"shard_tracks": -1}, {"cluster": Cluster("rubbish")}, {"cluster": Cluster("tcp://127.0.0.1:1")},
        {"cluster": Cluster("absent.json")}, {"cluster": Cluster(None, 3)}, {"cluster": Cluster("tcp://x:1"), "jobs": 2}, {"waveform": 0},
        {"waveform": -1}, {"max_seconds": float("nan")}, {"max_seconds": -1.0},
    ],
)  # fmt: skip
@pytest.mark.parametrize("there", [False, True])
def test_a_refused_preparation_leaves_nothing(tmp_path, asked, there, monkeypatch):
    monkeypatch.setattr("datasets.jobs.cluster.KNOCK", 0.1)
    write(tmp_path / "audio" / "a.wav", tune(0.2, 16000, 1), 16000)
    out = tmp_path / "out"
    if there:
        out.mkdir()
    with pytest.raises((StoreError, ClusterError, AudioError)) as caught:
        prepare(tmp_path / "audio", out, **asked)
    one_sentence(caught.value)
    assert out.exists() == there
    assert not there or not list(out.iterdir())


@pytest.mark.parametrize("size", [1e18, 3e38, -3e38, float("nan"), float("inf")])
def test_a_probe_whose_numbers_overflow_says_so(size):
    x = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    y = np.arange(20)[:, None] % 2 == 0
    odd = x.copy()
    odd[::2] = size
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="not finite"):
        train_head(HeadSpec(0, 1e30), Source(Examples(x, y), Examples(odd, y)), ProbeSettings(max_epochs=1), ["a"])
    predictions = np.full((1, 2, 1), size)
    if np.isfinite(size):
        return
    with pytest.raises(ConfigError, match="not all finite"):
        SystemScores("x", "test", ["a"], ["k", "l"], np.zeros((2, 1), bool), predictions, [0])


@pytest.mark.slow
@CASES
@given(one=anything, other=anything, kind=st.sampled_from(["json", "json", "torn", *KINDS]))
def test_runs_of_any_config_are_compared(place, one, other, kind):
    shutil.rmtree(place / "runs", ignore_errors=True)
    for number, content in (("1", one), ("2", other)):
        (place / "runs" / number).mkdir(parents=True)
        (place / "runs" / number / "run.json").write_text(json.dumps({"status": "COMPLETED", "host": content}))
        (place / "runs" / number / "config.json").write_text(json.dumps(content))
    if kind != "json":
        (place / "runs" / "2" / "config.json").unlink()
        put(place / "runs" / "2" / "config.json", "empty" if kind == "torn" else kind)
    with watched():
        table = compare_table(read_runs(place / "runs"))
    rows = list(table.columns[0].cells)
    assert kind == "json" or "config" in [str(row) for row in rows]


@pytest.mark.parametrize(
    "text",
    ['{"a": ' * 900 + "1" + "}" * 900, '{"a": ' + "[" * 900 + "]" * 900 + "}", '{"a": 1e999}', '{"a": ' + "9" * 4000 + "}"],
)
def test_runs_of_deep_configs_are_compared(tmp_path, text):
    for number, content in (("1", text), ("2", "{}")):
        (tmp_path / number).mkdir()
        (tmp_path / number / "run.json").write_text("{}")
        (tmp_path / number / "config.json").write_text(content)
    assert len(compare_table(read_runs(tmp_path)).columns) == 3
