"""Pickles in place of a groundtruth: plain data and arrays come in, and nothing that a pickle can call runs."""

from __future__ import annotations

import builtins
import os
import pickle
import struct
import subprocess

import numpy as np
import pytest

from datasets.groundtruth import safe_pickle
from datasets.groundtruth.groundtruth import Groundtruth
from models.errors import GroundtruthError


class Call:
    """Pickles to a call, with a state if there is one."""

    def __init__(self, call, *arguments, state=None):
        self.made = (call, arguments) if state is None else (call, arguments, state)

    def __reduce__(self):
        return self.made


def by_hand(module: str, name: str, *texts: str) -> bytes:
    """A protocol 0 pickle that calls module.name(*texts)."""
    return f"c{module}\n{name}\n(".encode() + b"".join(f"V{text}\n".encode() for text in texts) + b"tR."


def refused(tmp_path, content: bytes, message: str = "") -> None:
    (tmp_path / "g.pk").write_bytes(content)
    before = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(GroundtruthError, match=message or "pickle"):
        Groundtruth.read(tmp_path / "g.pk")
    assert sorted(p.name for p in tmp_path.iterdir()) == before  # nothing ran


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("posix", "system"),
        ("nt", "system"),
        ("subprocess", "Popen"),
        ("builtins", "eval"),
        ("builtins", "exec"),
        ("builtins", "getattr"),
        ("builtins", "__import__"),
        ("__builtin__", "eval"),
        ("operator", "attrgetter"),
        ("functools", "partial"),
        ("importlib", "import_module"),
        ("pickle", "loads"),
        ("_pickle", "loads"),
        ("shutil", "rmtree"),
        ("runpy", "run_path"),
        ("copyreg", "_reconstructor"),
        ("_codecs", "decode"),
        ("codecs", "encode"),
        # numpy's own: code from text, files, libraries, pickles within
        ("numpy.testing._private.utils", "runstring"),
        ("numpy.testing", "rundocs"),
        ("numpy", "load"),
        ("numpy", "save"),
        ("numpy", "fromfile"),
        ("numpy", "memmap"),
        ("numpy", "fromfunction"),
        ("numpy", "vectorize"),
        ("numpy", "apply_along_axis"),
        ("numpy.lib.npyio", "load"),
        ("numpy.lib._npyio_impl", "load"),
        ("numpy.lib.format", "open_memmap"),
        ("numpy.ctypeslib", "load_library"),
        ("numpy.distutils.exec_command", "exec_command"),
        ("numpy.f2py", "compile"),
        ("numpy._core.multiarray", "fromstring"),
        ("numpy._core.multiarray", "_get_ndarray_c_version"),
        ("numpy.core.multiarray", "set_typeDict"),
        ("numpy._core._internal", "_ctypes"),
        ("numpy._core.numeric", "fromfunction"),
    ],
)
def test_every_name_that_is_not_on_the_list_is_refused(tmp_path, module, name):
    refused(tmp_path, by_hand(module, name, f"touch {tmp_path}/ran"), rf"asks for {module}\.{name}; only plain data")


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "make",
    [
        lambda p: Call(os.system, f"touch {p}"),
        lambda p: Call(eval, f"open({str(p)!r}, 'w')"),
        lambda p: {"a.mp3": Call(exec, f"open({str(p)!r}, 'w')")},
        lambda p: [Call(subprocess.call, ["touch", str(p)])],
        lambda p: {"a.mp3": Call(np.save, str(p), np.ones(2))},
        lambda p: {Call(builtins.open, str(p), "w"): 1},
        lambda p: Call(np.memmap, str(p), "u1", "w+", 0, (4,)),
    ],
)
def test_nothing_of_a_malicious_pickle_runs(tmp_path, make, protocol):
    refused(tmp_path, pickle.dumps(make(tmp_path / "ran"), protocol=protocol), "only plain data and numpy arrays are admitted")
    assert not (tmp_path / "ran").exists()


def test_what_is_admitted_cannot_be_turned_into_something_else(tmp_path):
    flags = (3, "|", None, None, None, 8, 8, 0)  # an object type that says it holds none: its bytes would be taken for pointers
    crafted = {
        "a pointer": b"cnumpy\ndtype\n(VO8\nI00\nI01\ntR" + pickle.dumps(flags, 0)[:-1] + b"b.",
        "flags": b"cnumpy\ndtype\n(Vf8\nI00\nI01\ntR" + pickle.dumps((3, "<", None, None, None, 1 << 30, 8, 63), 0)[:-1] + b"b.",
        "fields": b"cnumpy\ndtype\n(Vf8\nI00\nI01\ntR" + pickle.dumps((3, "<", None, ("a",), {}, -1, -1, 0), 0)[:-1] + b"b.",
        "objects": pickle.dumps({"a": np.array([None, os.sep], dtype=object)}),
        "a structure": pickle.dumps({"a": np.zeros(2, dtype=[("x", "i4")])}),
        "huge from nothing": b"cnumpy\nndarray\n((I1099511627776\nttR.",
        "more than its bytes": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntVb\ntR"
        + b"(I1\n(I1099511627776\ntcnumpy\ndtype\n(Vi8\nI00\nI01\ntRI00\nVab\ntb.",
        "a state for a function": b"cnumpy\ndtype\n}Va\nI1\nsb.",
        "slots for a function": b"cnumpy\ndtype\n(N}V_run\nI1\nstb.",
        "a new object": b"\x80\x02cnumpy\nndarray\n)\x81.",
        "a function as data": b"(dVa\ncnumpy\ndtype\ns.",
        "without data": b"(dVa\ncnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntVb\ntRs.",
        "another class": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\n(I0\ntVb\ntR.",
        "another codec": b"c_codecs\nencode\n(Vcafe\nVhex\ntR.",
        "a persistent name": b"Pos.system\n.",
        "a registered extension": b"\x80\x02\x82\x01.",
    }
    for what, content in crafted.items():
        try:
            refused(tmp_path, content)
        except BaseException as error:
            raise AssertionError(what) from error


def test_millions_of_labels_are_no_labels(tmp_path):
    (tmp_path / "g.pk").write_bytes(pickle.dumps({"a.mp3": (1 << 40,)}))
    with pytest.raises(GroundtruthError, match="1,000,000 are the most"):
        Groundtruth.read(tmp_path / "g.pk")


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("dtype", ["?", "i1", "<i8", ">i4", "u2", "f4", ">f8", "f2"])
def test_arrays_and_numbers_come_in_as_they_are(tmp_path, protocol, dtype):
    values = np.array([[0, 1, 1], [1, 0, 1]], dtype=dtype)
    data = {"c": values, "f": np.asfortranarray(values), "row": values[1], "numbers": [values[0, 1], 3], "plain": (1, "x", None)}
    (tmp_path / "x.pk").write_bytes(pickle.dumps(data, protocol=protocol))
    got = safe_pickle.load(tmp_path / "x.pk")
    for key in ("c", "f", "row"):
        assert got[key].dtype == values.dtype
        np.testing.assert_array_equal(got[key], data[key])
    assert (got["numbers"], got["plain"]) == (data["numbers"], data["plain"])


def test_pickles_as_python_2_wrote_them(tmp_path):
    """cPickle, protocol 2, of {"a.mmap": numpy.array([True, False])}: bytes are texts."""
    head = b"\x80\x02}q\x01U\x06a.mmapq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85U\x01b\x87R"
    kind = b"cnumpy\ndtype\nU\x02b1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    (tmp_path / "x.pk").write_bytes(head + b"(K\x01K\x02\x85" + kind + b"\x89U\x02\x01\x00tbs.")
    truth = Groundtruth.read(tmp_path / "x.pk")
    assert truth.keys == ["a.mmap"]
    assert truth.matrix().tolist() == [[True, False]]


def test_damage_at_any_byte_is_an_answer(tmp_path):
    content = pickle.dumps({"a.mp3": np.array([1, 0, 1]), "b.mp3": np.array([0, 0, 1])}, protocol=4)
    rng = np.random.default_rng(0)
    for _ in range(400):
        data = bytearray(content[: rng.integers(1, len(content) + 1)])
        data[rng.integers(len(data))] = rng.integers(256)
        (tmp_path / "x.pk").write_bytes(data)
        try:
            Groundtruth.read(tmp_path / "x.pk")
        except GroundtruthError:
            continue
    assert struct.calcsize("P") == 8  # this process stands


@pytest.mark.parametrize(
    "number", [b"r" + struct.pack("<I", 0xFFFFFFFF), b"r" + struct.pack("<I", 1 << 28), b"p99999999999\n", b"p-1\n"]
)
def test_a_memo_that_would_take_all_memory_is_refused(tmp_path, number):
    refused(tmp_path, b"}" + number + b".", "meant to exhaust the memory")
