"""Checkpoints that lie: bytes changed anywhere, storages and tensors that claim what the file does not hold. Right tensors, or a WeightsError."""

from __future__ import annotations

import collections
import io
import pickle
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.training.resume import read_saved
from models.errors import WeightsError
from models.pickle_bounds import MOST_DEEP
from models.weights.checkpoints import read_checkpoint, read_settings
from models.weights.torch_files import load_torch

CASES = settings(max_examples=300, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
STATE = {f"net.{k}": torch.arange(6.0).reshape(2, 3) + k for k in range(3)} | {"net.n": torch.tensor(3)}
SAVED = {
    "state_dict": STATE, "network": {"family": "toy", "depth": 2}, "loops": {}, "optimizer_states": [{"step": torch.ones(4)}],
    "epoch": 1, "global_step": 7, "experiment": {"seed": 1}, "rng": (3, (1 << 127, 5), None),
}  # fmt: skip


def saved(content, zipped=True) -> bytes:
    out = io.BytesIO()
    torch.save(content, out, _use_new_zipfile_serialization=zipped)
    return out.getvalue()


@pytest.fixture(scope="module")
def whole():
    return {zipped: saved(SAVED, zipped) for zipped in (True, False)}


def outcome(path):
    """Read for its weights, for its settings and to go on from it; None where it was refused each time, on one line."""
    found, said = None, []
    for read in (read_checkpoint, read_settings, read_saved):
        try:
            told = read(path)
        except WeightsError as error:
            said.append(str(error))
        else:
            found = told if read is read_checkpoint else found
    assert not any("\n" in one or len(one) > 1500 for one in said)
    return found


@pytest.mark.slow
@CASES
@given(zipped=st.booleans(), data=st.data())
def test_bytes_changed_anywhere(whole, tmp_path_factory, zipped, data):
    raw = bytearray(whole[zipped])
    for _ in range(data.draw(st.integers(0, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "odd.ckpt"
    path.write_bytes(raw[: data.draw(st.integers(1, len(raw)))] if data.draw(st.booleans()) else bytes(raw))
    found = outcome(path)
    assert found is None or sum(x.numel() for x in found.values()) < 1000


class Storage:
    """Pickled as torch pickles a storage: a kind, a key and a number of values."""

    def __init__(self, kind, key, count):
        self.pid = ("storage", kind, key, "cpu", count)


class Tensor:
    """Pickled as a tensor on a storage."""

    def __init__(self, *where):
        self.where = where

    def __reduce__(self):
        return torch._utils._rebuild_tensor_v2, (*self.where, False, collections.OrderedDict())


class Pickler(pickle.Pickler):
    def persistent_id(self, obj):
        return obj.pid if isinstance(obj, Storage) else None


def made_up(content, stored=b"\0" * 24, compression=zipfile.ZIP_STORED) -> bytes:
    """A torch file of a content with stand-ins, and one storage, 0."""
    out, pickled = io.BytesIO(), io.BytesIO()
    Pickler(pickled, protocol=2).dump(content)
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, data in {"data.pkl": pickled.getvalue(), "byteorder": b"little", "data/0": stored, "version": b"3\n"}.items():
            archive.writestr(f"archive/{name}", data)
    return out.getvalue()


numbers = st.sampled_from([0, 1, 2, 3, 6, 7, -1, 10**6, 10**9, 1 << 40, (1 << 63) - 1, 1 << 64]) | st.integers(-3, 40)


@pytest.mark.slow
@CASES
@given(
    kind=st.sampled_from([torch.FloatStorage, torch.LongStorage, torch.ByteStorage, torch.BoolStorage, torch.HalfStorage]),
    key=st.sampled_from(["0", "1", "../0", ""]),
    count=numbers,
    offset=numbers,
    shape=st.lists(numbers, max_size=3),
    stride=st.lists(numbers, max_size=3),
    twice=st.integers(1, 40),
)
def test_tensors_that_lie(tmp_path_factory, kind, key, count, offset, shape, stride, twice):
    path = tmp_path_factory.getbasetemp() / "lies.ckpt"
    where = (Storage(kind, key, count), offset, tuple(shape), tuple(stride))
    path.write_bytes(made_up({"state_dict": {f"x{k}": Tensor(*where) for k in range(twice)}}))
    found = outcome(path)
    if found is not None:
        assert key == "0"
        assert all(0 <= x.numel() * x.element_size() <= 64 << 20 for x in found.values())
        assert not any(x.any() for x in found.values())  # the file's zeros, and nothing from behind them


def doubled(levels, make):
    one = make(())
    for _ in range(levels):
        one = make((one, one))
    return one


CONTENTS = [
    {"a": Tensor(Storage(torch.FloatStorage, "0", 6), 0, (10**5, 10**5), (0, 0))},
    {"a": Tensor(Storage(torch.FloatStorage, "0", 10**9), 0, (10**9,), (1,))},
    {"a": torch.sparse_coo_tensor(torch.zeros(2, 1).long(), [1.0], (10**9, 10**9))},
    {"a": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.quint8)},
    {"a": torch.empty(10**9, device="meta")},
    {"network": doubled(45, tuple)},
    {"experiment": doubled(45, list)},
    {"experiment": doubled(45, lambda inner: dict(enumerate(inner)))},
    {"epoch": 1 << 5000},
    {"epoch": bytearray},
    {**SAVED, "epoch": "x"},
    {**SAVED, "epoch": -1},
    {**SAVED, "experiment": 3},
]


@pytest.mark.parametrize("number", range(len(CONTENTS)))
def test_contents_that_would_end_the_process(tmp_path, number):
    content = CONTENTS[number]
    path = tmp_path / "odd.ckpt"
    plain = any(isinstance(one, Tensor) for one in content.values())
    path.write_bytes(made_up(content) if plain else saved(content))
    with pytest.raises(WeightsError) as caught:
        read_saved(path)
    assert len(str(caught.value)) < 1500
    if set(content) != set(SAVED):
        with pytest.raises(WeightsError):
            read_checkpoint(path)


def test_bombs_and_nesting(tmp_path):
    deep = b"\x80\x02}X\x01\x00\x00\x00a" + b")" + b"\x85" * (MOST_DEEP + 200_000) + b"s."
    key = b"\x80\x02})q\x00" + b"".join(b"h%ch%c\x86q%c" % (k, k, k + 1) for k in range(45)) + b"K\x01s."
    for name, raw in {"deep": deep, "hash": key}.items():
        with zipfile.ZipFile(tmp_path / f"{name}.ckpt", "w") as archive:
            archive.writestr("archive/data.pkl", raw)
    (tmp_path / "bare.ckpt").write_bytes(deep)
    (tmp_path / "bomb.ckpt").write_bytes(made_up({"a": 1}, bytes(80 << 20), zipfile.ZIP_DEFLATED))
    for path in sorted(tmp_path.iterdir()):
        assert outcome(path) is None, path


def test_honest_files_are_read(tmp_path, whole):
    for zipped, raw in whole.items():
        (tmp_path / f"{zipped}.ckpt").write_bytes(raw)
        found = read_checkpoint(tmp_path / f"{zipped}.ckpt")
        assert all(torch.equal(found[name], x) for name, x in STATE.items())
    assert read_saved(tmp_path / "True.ckpt").step == 7
    tied = torch.ones(3, 3)
    odd = {
        "tied": tied, "again": tied.T, "none": torch.zeros(0, 4), "half": tied.half(), "b": tied.bfloat16(), "bool": tied > 0,
        "complex": torch.ones(2, dtype=torch.complex64), "slice": torch.arange(10.0)[2:6:2], "par": torch.nn.Parameter(tied),
        "numpy": torch.from_numpy(np.ones(2, np.uint8)),
    }  # fmt: skip
    (tmp_path / "odd.pt").write_bytes(saved(odd))
    found = load_torch(tmp_path / "odd.pt", tmp_path / "odd.pt")
    assert all(torch.equal(found[name], x) for name, x in odd.items())
