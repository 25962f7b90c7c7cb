"""Annotation files of any content, tables of their tracks, file lists: read, or one sentence that shows no control character."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets.groundtruth.annotation_files import MOST_LINES, read_annotation
from datasets.groundtruth.annotations import read_annotations
from datasets.raw_waveforms import import_waveforms, read_filelists
from models.errors import GroundtruthError, StoreError
from tests.sentences import one_sentence

CASES = settings(max_examples=300, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
odd = st.one_of(
    st.sampled_from([None, True, 1e999, float("nan"), -1, 0, 10**400, "", "N", "C:maj", "\x1b[2J", "end", "\u202e", "/etc/passwd", [], {}]),
    st.floats(0, 9), st.integers(-2, 9), st.text(max_size=5), st.recursive(st.just([]), lambda inner: st.lists(inner, max_size=2), max_leaves=9),
)  # fmt: skip
row = st.fixed_dictionaries({}, optional={"time": odd, "duration": odd, "value": odd | st.fixed_dictionaries({"label": odd})})
data = (
    odd
    | st.lists(row | odd, max_size=4)
    | st.dictionaries(st.sampled_from(["time", "duration", "value"]), st.lists(odd, max_size=3) | odd)
)
annotation = st.fixed_dictionaries(
    {}, optional={"namespace": st.sampled_from(["beat", "chord", "segment_open", "x"]) | odd, "data": data}
)
cell = st.sampled_from(
    ["0", "1", "2.5", "1e999", "nan", "-1", "end", "N", "C:min", "²", "\x1b[2J", "\x00", "#", '"', ",", ";", "\t", "  "]
) | st.text(max_size=4)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("annotations")


def outcome(path, kind):
    try:
        return read_annotation(path, kind)
    except GroundtruthError as error:
        return one_sentence(error)


@pytest.mark.slow
@CASES
@given(
    content=st.one_of(
        odd, st.fixed_dictionaries({"annotations": st.lists(annotation | odd, max_size=3) | odd}, optional={"file_metadata": odd})
    ),
    kind=st.sampled_from(["beats", "chords", "sections"]),
)
def test_jams(place, content, kind):
    (place / "a.jams").write_text(json.dumps(content))
    for span in outcome(place / "a.jams", kind) or ():
        assert 0 <= span.start <= span.end < float("inf")


@CASES
@given(
    lines=st.lists(st.lists(cell, max_size=5).map(" ".join), max_size=6),
    kind=st.sampled_from(["beats", "chords", "sections"]),
)
def test_lines(place, lines, kind):
    (place / "a.txt").write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    for span in outcome(place / "a.txt", kind) or ():
        assert 0 <= span.start <= span.end < float("inf")


@pytest.mark.parametrize(
    "text",
    [
        '{"annotations":' + "[" * 100_000, "0 1 " + "x" * 100_000, "a" + " " * 100_000 + "b" + " " * 100_000 + ",x", "0 1 C:" + "(" * 9000,
        "0 1 x\n" * (MOST_LINES + 1), json.dumps({"annotations": [{"namespace": "chord", "data": [{"time": 0, "value": "x" * 100_000}]}]}),
    ],
    ids=range(6),
)  # fmt: skip
def test_what_would_take_for_ever(tmp_path, text):
    path = tmp_path / ("a.jams" if text.startswith("{") else "a.lab")
    path.write_text(text)
    assert outcome(path, "chords") is None


def test_only_regular_files_are_read(tmp_path):
    (tmp_path / "an").mkdir()
    (tmp_path / "an/a.beats").write_text("1 1\n")
    for name, make in {"pipe": os.mkfifo, "zero": lambda path: os.symlink("/dev/zero", path)}.items():
        for suffix in (".lab", ".jams", ".txt"):
            make(tmp_path / f"{name}{suffix}")
            assert outcome(tmp_path / f"{name}{suffix}", "chords") is None
        with pytest.raises(StoreError):
            read_filelists([tmp_path / f"{name}.txt"])
    for content in (b"path,split\n\xff,train\n", b"path,split\n" + b"a" * 200_000 + b",train\n"):
        (tmp_path / "t.csv").write_bytes(content)
        with pytest.raises(GroundtruthError, match=r"t\.csv cannot be read as a table") as caught:
            read_annotations("beats", tmp_path / "an", tmp_path / "t.csv")
        one_sentence(caught.value)


def test_raw_files_lead_nowhere(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    os.mkfifo(folder / "pipe.mmap")
    (folder / "zero.mmap").symlink_to("/dev/zero")
    (tmp_path / "list.txt").write_text("../list.txt\n")
    for lists in ((), [tmp_path / "list.txt"], ["/etc/passwd"]):
        with pytest.raises(StoreError) as caught:
            import_waveforms(folder, tmp_path / "out.h5", filelists=lists)
        one_sentence(caught.value)
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "a.mmap").write_bytes(b"\0\0")
    for rate in (-1, 0, 10**9):
        with pytest.raises(StoreError, match="rate"):
            import_waveforms(folder, tmp_path / "out.h5", rate)
    assert not list(tmp_path.glob("out*"))
