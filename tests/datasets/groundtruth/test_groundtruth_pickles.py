"""Groundtruths in pickles: plain data and arrays are read, what could run something is refused and runs nothing."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest

from datasets.groundtruth.groundtruth import Groundtruth
from models.errors import GroundtruthError

TABLE = "path,labels\na/1.mp3,rock|loud\na/2.mp3,jazz\nb/3.mp3,\n"


def rows_of(truth):
    return {key: [truth.labels[c] for c in np.flatnonzero(truth.row(i))] for i, key in enumerate(truth.keys)}


EXPECTED = {"a/1.mp3": ["loud", "rock"], "a/2.mp3": ["jazz"], "b/3.mp3": []}


def read(tmp_path, text, name="labels.csv", **options):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return Groundtruth.read(tmp_path / name, **options)


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_of_plain_data_and_arrays(tmp_path, protocol):
    for values in (
        [np.array([True, False]), np.array([False, True])],
        [np.array([1, 0], np.int64), np.array([0, 1], np.int64)],
        [["a"], ["b"]],
        [(np.int64(0),), (np.int64(1),)],
    ):
        (tmp_path / "g.pk").write_bytes(pickle.dumps({"x.mmap": values[0], "y.mmap": values[1]}, protocol=protocol))
        truth = Groundtruth.read(tmp_path / "g.pk", labels=["a", "b"])
        assert truth.keys == ["x.mmap", "y.mmap"]
        np.testing.assert_array_equal(truth.matrix(), np.eye(2))


class _Runs:
    """Pickles to a call."""

    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


def _touch(path):
    open(path, "w").close()


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    "make",
    [
        lambda path: _Runs(os.system, f"touch {path}"),
        lambda path: _Runs(eval, f"open({str(path)!r}, 'w')"),
        lambda path: _Runs(exec, f"open({str(path)!r}, 'w')"),
        lambda path: _Runs(__import__, "os"),
        lambda path: _Runs(open, str(path), "w"),
        lambda path: _Runs(_touch, str(path)),
        lambda path: _Runs(np.load, str(path)),
        lambda path: {"x.mp3": _Runs(np.save, str(path), np.ones(2))},
        lambda path: _Runs(bytearray, 10),
        lambda path: _Runs(type, "T", (), {}),
    ],
)
def test_pickles_that_could_run_something_are_refused_and_run_nothing(tmp_path, make, protocol):
    trace = tmp_path / "ran.npy"
    content = pickle.dumps(make(trace), protocol=protocol)
    trace.unlink(missing_ok=True)
    (tmp_path / "g.pk").write_bytes(content)
    with pytest.raises(GroundtruthError, match="only plain data and numpy arrays are admitted"):
        Groundtruth.read(tmp_path / "g.pk")
    assert not trace.exists()


def test_dotted_names_do_not_reach_through_what_is_admitted(tmp_path):
    # protocol 4 resolves "ndarray.__class__" by attributes when find_class does
    for module, name in (
        ("numpy", "ndarray.__class__"),
        ("numpy", "dtype.__subclasses__"),
        ("_codecs", "decode"),
        ("builtins", "eval"),
    ):
        content = (
            b"\x80\x04\x8c" + bytes([len(module)]) + module.encode() + b"\x8c" + bytes([len(name)]) + name.encode() + b"\x93."
        )
        (tmp_path / "g.pk").write_bytes(content)
        with pytest.raises(GroundtruthError, match="admitted"):
            Groundtruth.read(tmp_path / "g.pk")


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x04", b"no pickle", pickle.dumps({"a": ["x"]})[:-3], pickle.dumps([1]), pickle.dumps({1: ["x"]})]
)
def test_broken_and_other_pickles(tmp_path, content):
    (tmp_path / "g.pk").write_bytes(content)
    with pytest.raises(GroundtruthError, match=r"g\.pk"):
        Groundtruth.read(tmp_path / "g.pk")
