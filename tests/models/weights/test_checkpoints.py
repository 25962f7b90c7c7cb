"""Weight files of every form give one dict; broken, foreign and hostile ones are refused by name."""

import os
import pickle

import pytest
import torch
from safetensors.torch import save_file

from models.errors import WeightsError, WeightsNotFoundError
from models.weights.checkpoints import read_checkpoint, read_state

STATE = {"cls_token": torch.randn(1, 1, 4), "blocks.0.norm1.weight": torch.randn(4)}
OTHER = {k: v + 1 for k, v in STATE.items()}


def prefixed(prefix, state):
    return {f"{prefix}{k}": v for k, v in state.items()}


def same(got, want):
    assert list(got) == list(want)
    assert all(torch.equal(got[k], want[k]) for k in want)


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        {"state_dict": STATE, "epoch": 3},
        {"model": STATE},
        {"state_dict": prefixed("net.", STATE)},
        prefixed("module.", STATE),
        {"state_dict": prefixed("net.module.", STATE)},
        {"state_dict": {**prefixed("net.", STATE), "teacher.w": torch.zeros(2)}},
    ],
)
@pytest.mark.parametrize("averaged", [True, False])
def test_one_set_of_weights_in_any_form(tmp_path, content, averaged):
    torch.save(content, tmp_path / "w.ckpt")
    same(read_state(tmp_path / "w.ckpt", averaged), STATE)


def test_averaged_or_trained_weights_as_asked(tmp_path):
    torch.save({"state_dict": {**prefixed("net.", STATE), **prefixed("net_swa.", OTHER)}}, tmp_path / "w.ckpt")
    same(read_state(tmp_path / "w.ckpt"), OTHER)
    same(read_state(tmp_path / "w.ckpt", averaged=False), STATE)
    assert len(read_checkpoint(tmp_path / "w.ckpt")) == 4


def test_safetensors(tmp_path):
    save_file(STATE, tmp_path / "w.safetensors")
    same({k: read_state(tmp_path / "w.safetensors")[k] for k in STATE}, STATE)


# ---- what must be refused
def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(WeightsNotFoundError, match=r"absent\.ckpt"):
        read_state(tmp_path / "absent.ckpt")


@pytest.mark.parametrize("name", ["w.ckpt", "w.safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.95])
def test_a_truncated_file_is_named(tmp_path, name, share):
    path = tmp_path / name
    big = {f"w{i}": torch.randn(50) for i in range(40)}
    save_file(big, path) if name.endswith("safetensors") else torch.save(big, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(WeightsError, match=name):
        read_state(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (STATE["cls_token"], "Tensor"),
        ({}, "no state dict"),
        ({"a": 1, "b": STATE["cls_token"]}, "other entries .*a"),
        ([1, 2], "list"),
    ],
)
def test_what_holds_no_state_dict_is_refused(tmp_path, content, words):
    torch.save(content, tmp_path / "w.ckpt")
    with pytest.raises(WeightsError, match=words):
        read_state(tmp_path / "w.ckpt")


def test_a_text_file_is_refused(tmp_path):
    (tmp_path / "w.ckpt").write_text("not a checkpoint")
    with pytest.raises(WeightsError, match=r"w\.ckpt"):
        read_state(tmp_path / "w.ckpt")


class Hostile:
    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_would_run_code_is_refused_unrun(tmp_path, zipped):
    marker, path = tmp_path / "ran", tmp_path / "w.ckpt"
    if zipped:
        torch.save({"state_dict": Hostile(marker)}, path)
    else:
        path.write_bytes(pickle.dumps(Hostile(marker)))
    with pytest.raises(WeightsError, match="could run code"):
        read_state(path)
    assert not marker.exists()
