"""Safetensors files that lie: shapes, places, kinds, bytes changed. The file's own tensors, or a WeightsError."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from models.errors import WeightsError
from models.weights.checkpoints import read_checkpoint, read_settings
from models.weights.head_origin import header
from tests.sentences import one_sentence

CASES = settings(max_examples=300, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
STATE = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.int64), "none": torch.zeros(0, 5)}
WHOLE = save(STATE, metadata={"network": '{"family": "toy"}', "loss": "bce"})
sizes = st.sampled_from(
    [0, 1, 2, 3, 6, -1, 1.5, None, True, "2", 1 << 31, 1 << 40, 1 << 62, 1 << 63, 1 << 64, 10**30]
) | st.integers(-2, 9)
shapes = st.lists(sizes, max_size=5) | st.sampled_from([[0, 1 << 62, 1 << 62], [1 << 32, 1 << 32], [1] * 40, None, "x", {}])
kinds = st.sampled_from(
    ["F64", "F32", "F16", "BF16", "I64", "U8", "BOOL", "C64", "F8_E4M3", "F4", "U64", "f32", "", None, 3, ["F32"]]
)
parts = st.one_of(
    st.fixed_dictionaries({}, optional={"shape": shapes, "dtype": kinds, "data_offsets": st.lists(sizes, max_size=3)}),
    st.sampled_from([None, [], "x", 3, {"dtype": "F32"}]),
)


def outcome(path):
    """What all three readers say: the tensors, or None where they were refused in one sentence each."""
    found = None
    for read in (read_checkpoint, read_settings, header):
        try:
            told = read(path)
        except WeightsError as error:
            one_sentence(error)
        else:
            found = told if read is read_checkpoint else found
    return found


def written(raw: bytes, head: bytes, length: int | None = None) -> bytes:
    old = int.from_bytes(raw[:8], "little")
    return (len(head) if length is None else length).to_bytes(8, "little") + head + raw[8 + old :]


@pytest.mark.slow
@CASES
@given(data=st.data(), name=st.sampled_from(["a", "b", "none", "more", "__metadata__"]), told=parts)
def test_headers_that_lie(tmp_path_factory, data, name, told):
    old = int.from_bytes(WHOLE[:8], "little")
    said = json.loads(WHOLE[8 : 8 + old])
    before = json.dumps(said[name]) if name in said else None
    said[name] = {**said[name], **told} if isinstance(told, dict) and name in said else told
    length = data.draw(st.sampled_from([None, None, None, 0, 1, 8, 1 << 20, (1 << 64) - 1]))
    path = tmp_path_factory.getbasetemp() / "lies.safetensors"
    path.write_bytes(written(WHOLE, json.dumps(said).encode(), length))
    found = outcome(path)
    if found is not None:
        assert sum(one.numel() * one.element_size() for one in found.values()) <= len(WHOLE)
        if before == json.dumps(said.get(name)):
            assert all(torch.equal(found[key], one) for key, one in STATE.items())


@CASES
@given(data=st.data())
def test_bytes_changed_anywhere(tmp_path_factory, data):
    raw = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(0, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "changed.safetensors"
    path.write_bytes(raw[: data.draw(st.integers(0, len(raw)))] if data.draw(st.booleans()) else bytes(raw))
    found = outcome(path)
    assert found is None or sum(one.numel() for one in found.values()) <= len(WHOLE)


@pytest.mark.parametrize(
    "head", [b"[" * 100_000, b"[]", b"null", b'{"a":1,"a":2}', b'{"a":' * 50_000, b"\xff\xfe", b"9" * 6000, b" " * 100]
)
def test_headers_of_another_kind(tmp_path, head):
    (tmp_path / "x.safetensors").write_bytes(written(WHOLE, head))
    assert outcome(tmp_path / "x.safetensors") is None


def test_what_is_no_real_number_is_no_weight(tmp_path):
    for odd in (torch.ones(2, dtype=torch.complex64), torch.tensor([1.0, float("nan")]), torch.tensor([float("inf")]).half()):
        (tmp_path / "x.safetensors").write_bytes(save({"a": odd}))
        with pytest.raises(WeightsError, match="real numbers|not finite"):
            read_checkpoint(tmp_path / "x.safetensors")
    (tmp_path / "x.safetensors").write_bytes(save({"a\nCompleted \x1b[2J": torch.ones(3)}))
    with pytest.raises(WeightsError, match="names of weights are printable") as refused:
        read_checkpoint(tmp_path / "x.safetensors")
    assert str(refused.value).isprintable()
    (tmp_path / "x.safetensors").write_bytes(save({"a": torch.ones(3).to(torch.float8_e4m3fn)}))
    assert set(read_checkpoint(tmp_path / "x.safetensors")) == {"a"}
