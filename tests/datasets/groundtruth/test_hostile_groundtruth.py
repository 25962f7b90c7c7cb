"""Groundtruths that are meant to harm, by generation: what is read is right, or refused in one sentence; nothing else is opened, nothing explodes."""

from __future__ import annotations

import builtins
import csv
import io
import json
import os
import pickle
import resource

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets.groundtruth import groundtruth as module
from datasets.groundtruth.groundtruth import Groundtruth
from datasets.groundtruth.values import Values
from models.errors import GroundtruthError

CASES = settings(max_examples=300, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
plain = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from([10**6, 999_999, 10**12, 10**400, -1, 1e999, float("nan")]),
    st.sampled_from(["", "/etc/passwd", "../up", "a|b", "\x1b[2J", "\x00", "\ud800", "x" * 300]), st.text(max_size=6),
)  # fmt: skip
anything = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | st.just("labels"), inner, max_size=3)
)


def outcome(path, **options):
    """Read; return None where it was refused. Nothing but that file may be opened."""
    opened, true_open = [], builtins.open
    builtins.open = lambda file, *args, **kwargs: (opened.append(str(file)), true_open(file, *args, **kwargs))[1]
    try:
        found = Groundtruth.read(path, **options)
    except GroundtruthError as error:
        found = error
    finally:
        builtins.open = true_open
        assert {name for name in opened if name.startswith(("/etc", "/dev", "/proc"))} == set()
    if isinstance(found, GroundtruthError):
        assert len(str(found)) < 4000
        return None
    assert len(found.keys) == len(found.packed)
    assert found.packed.nbytes <= module.MOST_MATRIX
    return found


@CASES
@given(content=st.one_of(anything, st.builds(lambda names, tracks: {"labels": names, "tracks": tracks}, anything, anything)))
def test_json(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "odd.json"
    path.write_text(json.dumps(content))
    outcome(path)


@CASES
@given(
    rows=st.lists(
        st.lists(st.text(max_size=8) | st.sampled_from(["0", "1", "path", "labels", "split", '"', "\n", "train"]), max_size=4),
        max_size=6,
    )
)
def test_csv(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "odd.csv"
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    path.write_bytes(text.getvalue().encode("utf-8", "surrogatepass"))
    outcome(path)


@CASES
@given(
    content=st.dictionaries(st.text(max_size=5), st.lists(st.integers(0, 5), min_size=1, max_size=4), min_size=1, max_size=4),
    data=st.data(),
)
def test_pickles_with_changed_bytes(tmp_path_factory, content, data):
    path = tmp_path_factory.getbasetemp() / "odd.pk"
    raw = bytearray(pickle.dumps(content, protocol=data.draw(st.integers(0, 5))))
    for _ in range(data.draw(st.integers(0, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw[: data.draw(st.integers(1, len(raw)))])
    outcome(path)


def tuples(depth):
    return b"\x80\x04}" + b")" + b"\x85" * depth + b"K\x01s."


def doubled(levels):
    return b"\x80\x04})" + b"\x94h\x00\x86" + b"".join(b"\x94h" + bytes([k]) + b"\x86" for k in range(1, levels)) + b"K\x01s."


@pytest.mark.parametrize(
    "raw",
    [
        tuples(300_000), b"\x80\x04" + b"]" * 10 + b"\x85" * 300_000 + b".", doubled(45), b"\x80\x04}X\x01\x00\x00\x00a\x8b\xff\xff\xff\x7f.",
        b"\x80\x04}X\x01\x00\x00\x00a\x8e" + b"\xff" * 7 + b"\x7f.", b"\x80\x04\x8a\xff" + b"\x7f" * 255 + b".", b"r\xff\xff\xff\xff.",
        b"L" + b"9" * 100_000 + b"L\n.", b"\x80\x04" + b"(" * 500_000 + b".", b"", b".", b"0.", b"\x80\x04t.", b"2.",
    ],
)  # fmt: skip
def test_pickles_that_would_end_the_process(tmp_path, raw):
    path = tmp_path / "odd.pk"
    path.write_bytes(raw)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert outcome(path) is None
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # kB


def test_honest_pickles_are_read(tmp_path):
    path = tmp_path / "honest.pk"
    content = {f"{k}.mp3": np.eye(4, dtype=np.int64)[k % 4] for k in range(200)}
    for protocol in range(6):
        path.write_bytes(pickle.dumps(content, protocol=protocol))
        assert outcome(path).matrix().sum() == 200
    shared = ["a", "b"]
    path.write_bytes(pickle.dumps({f"{k}": shared for k in range(5000)}))
    assert len(outcome(path)) == 5000


@pytest.mark.slow
def test_labels_that_would_fill_the_memory(tmp_path):
    tracks = {str(k): [999_999] for k in range(60_000)}
    for name, write in (
        ("a.json", lambda p: p.write_text(json.dumps(tracks))),
        ("a.pk", lambda p: p.write_bytes(pickle.dumps(tracks))),
    ):
        write(tmp_path / name)
        assert outcome(tmp_path / name) is None
    (tmp_path / "a.csv").write_text("path,labels\n" + "".join(f"{k},tag {k}\n" for k in range(120_000)))
    assert outcome(tmp_path / "a.csv") is None


def test_a_file_s_content_names_no_file(tmp_path):
    other = tmp_path / "secret.txt"
    other.write_text("one\ntwo\n")
    for labels in (str(other), "/etc/passwd", "/dev/zero", {"a": 1}, None, 3, [1]):
        path = tmp_path / "a.json"
        path.write_text(json.dumps({"labels": labels, "tracks": {"a": [1]}}))
        assert outcome(path) is None
    assert outcome(path, labels=str(other)) is None  # [1] of tracks are numbers: named labels are an argument's, and are read
    path.write_text(json.dumps({"labels": ["x", "y"], "tracks": {"a": ["y"]}}))
    assert outcome(path).labels == ["x", "y"]


def test_only_regular_files_are_opened(tmp_path):
    for suffix in (".csv", ".json", ".pk", ".tsv"):
        os.mkfifo(tmp_path / f"pipe{suffix}")
        with pytest.raises(GroundtruthError, match="named pipe"):
            Groundtruth.read(tmp_path / f"pipe{suffix}")
        (tmp_path / f"zero{suffix}").symlink_to("/dev/zero")
        with pytest.raises(GroundtruthError, match="device"):
            Groundtruth.read(tmp_path / f"zero{suffix}")
    (tmp_path / "good.csv").write_text("path,labels\na,x\n")
    with pytest.raises(GroundtruthError, match="device"):
        Groundtruth.read(tmp_path / "good.csv", labels="/dev/zero")
    with pytest.raises(GroundtruthError):
        Groundtruth.read("a\0b.csv")
    with pytest.raises(GroundtruthError):
        Values.read(tmp_path / "pipe.csv")


@pytest.mark.slow
def test_wide_tables_are_read(tmp_path):
    """100 000 columns: what costs a look through all others for each would not end here."""
    n = 100_000
    path = tmp_path / "wide.csv"
    lines = [",".join(["path", *(f"label {k}" for k in range(n))]), *(f"t{i}," + "1," * (n - 1) + "0" for i in range(2))]
    path.write_text("\n".join(lines) + "\n")
    found = outcome(path)
    assert found.n_labels == n
    assert found.with_labels(found.labels[::-1]).counts[0] == 0
    assert Values.read(path).numbers.shape == (2, n)
    with pytest.raises(GroundtruthError, match="no column") as caught:
        Groundtruth.read(path, label_column="labels")
    assert len(str(caught.value)) < 2000
