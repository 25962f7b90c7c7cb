"""All that reads json or yaml: whatever a file says is read, or refused by the reader's own error in one sentence; no link is written through."""

from __future__ import annotations

import ast
import json
import os
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets.collection.audio_scan import _read_cache
from datasets.jobs.crash_counts import CrashCounts
from datasets.jobs.file_marks import MARKS_FILE, read_marks
from datasets.utils.locks import open_locked
from helpers.data.check import _refuse_to_overwrite
from helpers.experiments.config_source import config_of_file
from helpers.experiments.run_lock import RunLock
from helpers.extraction.origin import origin_of
from helpers.extraction.outputs import LONG_NAMES, long_names
from helpers.metrics.scores import SystemScores
from helpers.paper.records import INPUTS, RECORD, read_build, read_inputs, read_record
from helpers.prediction.predict import claim_folder
from models.errors import ConfigError, StoreError
from models.omar_rq.statistics import read_statistics
from tests.imports import ROOT
from tests.sentences import one_sentence

CASES = settings(max_examples=300, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
plain = (
    st.sampled_from([None, True, 0, -1, 10**400, 1e999, float("nan"), "", "/etc/passwd", "\x1b[2J", "\ud800", [], {}])
    | st.integers()
    | st.text(max_size=4)
)
keys = st.sampled_from(
    ["name", "labels", "mean", "std", "audio", "table", "network", "version", "outputs", "deaths", "at", "a.b", "a", "."]
)
anything = st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4), max_leaves=8)
READERS = {  # name of the file -> what reads it, given the folder and the file
    "config.json": lambda folder, file: config_of_file(str(file), {}),
    "config.yaml": lambda folder, file: config_of_file(str(file), {}),
    "stats.json": lambda folder, file: read_statistics(file),
    "scores.json": lambda folder, file: SystemScores.load(folder),
    "settings.json": lambda folder, file: origin_of(folder),
    MARKS_FILE: lambda folder, file: read_marks(folder),
    LONG_NAMES: lambda folder, file: long_names(folder),
    RECORD: lambda folder, file: (read_record(folder), read_build(folder)),
    INPUTS: lambda folder, file: read_inputs(folder),
    "report.json": lambda folder, file: _refuse_to_overwrite(folder, folder / "t.csv"),
    "out.source.json": lambda folder, file: claim_folder(folder / "out", folder, writes=False),
    "cache": lambda folder, file: _read_cache(file),
    "x.deaths": lambda folder, file: CrashCounts.total(file),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("json")


def read(place, name, write):
    folder = place / "here"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    if name == "scores.json":
        np.savez(folder / "scores.npz", targets=np.zeros((2, 1)), labels=["a"], keys=["x", "y"])
    write(folder / name)
    try:
        READERS[name](folder, folder / name)
    except (ConfigError, StoreError) as error:
        one_sentence(error)


@pytest.mark.slow
@CASES
@given(name=st.sampled_from(sorted(READERS)), content=anything)
def test_json_of_any_kind(place, name, content):
    read(place, name, lambda path: path.write_text(json.dumps(content)))


@pytest.mark.parametrize("name", READERS)
def test_json_of_no_kind(place, name):
    deep = "[" * (3000 if name.endswith("yaml") else 100_000)  # yaml's reader is a slow one
    for text in (deep, '{"a":' * 100_000, "", "{", "\x00", "9" * 5000):
        read(place, name, lambda path, text=text: path.write_text(text))
    read(place, name, lambda path: path.write_bytes(b"\xff\xfe"))
    read(place, name, os.mkfifo)
    read(place, name, lambda path: path.symlink_to("/dev/zero"))


def test_yaml_that_grows(place):
    twice = "".join(f"a{k + 1}: &a{k + 1} [*a{k},*a{k}]\n" for k in range(45))
    merged = "".join(f"a{k + 1}: &a{k + 1} {{<<: [*a{k},*a{k},*a{k}], y{k}: 1}}\n" for k in range(45))
    for text in (f"a0: &a0 [x]\n{twice}", f"a0: &a0 {{x: 1}}\n{merged}", "a: &a [*a]\n"):
        (place / "bomb.yaml").write_text(text)
        with pytest.raises(ConfigError, match="values") as caught:
            config_of_file(str(place / "bomb.yaml"), {})
        one_sentence(caught.value)


# ---- links that somebody planted
def test_nothing_is_written_through_a_link(tmp_path):
    victim = tmp_path / "victim"
    for name, write in {
        ".lock": lambda folder: RunLock(folder),
        "lock": lambda folder: open_locked(folder / "lock"),
        "x.deaths": lambda folder: CrashCounts(folder / "x.deaths").__enter__(),
    }.items():
        folder = tmp_path / f"of {name}"
        folder.mkdir()
        victim.write_text("precious")
        (folder / name).symlink_to(victim)
        with pytest.raises(OSError, match="symbolic links"):
            write(folder)
        assert victim.read_text() == "precious"


@pytest.mark.slow
def test_what_is_written_in_place_is_opened_as_ones_own():
    """Whole files go through `atomic`; what grows in place (locks, logs, event files) is opened with never_through_a_link."""
    for path in (
        p
        for folder in ("models", "datasets", "helpers", "web")
        for p in (ROOT / folder).rglob("*.py")
        if "node_modules" not in p.parts
    ):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open" and node.args):
                continue
            given = [*node.args[1:2], *(k.value for k in node.keywords if k.arg == "mode")]
            mode = given[0].value if given and isinstance(given[0], ast.Constant) else "" if given else "r"
            own = any(k.arg == "opener" for k in node.keywords)
            whole = ast.unparse(node.args[0]) in ("part", "target")  # of `atomic`, and of a name that was just taken away
            assert own or whole or not set(str(mode) or "w") & set("wax+"), f"{path}:{node.lineno}"
