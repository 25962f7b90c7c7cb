"""Training starts: PaSST, DeiT and MAEST of another size, against the reference's conversions (tests/fixtures/maest/ckpt_*)."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.errors import WeightsError, WeightsNotFoundError
from models.maest import MAEST, get_maest, remap_deit, remap_passt
from models.maest.convert import HEADS
from models.weights import cards

SIZE = dict(input_f=96, input_t=312, n_classes=400, embed_dim=32, depth=3, num_heads=4)


def foreign(fixtures, kind: str) -> dict:
    data = np.load(fixtures / "maest" / f"ckpt_{kind}.npz")
    state = {k[3:]: torch.from_numpy(data[k]) for k in data.files if k.startswith("in/")}
    g = torch.Generator().manual_seed(3)
    for k, v in MAEST(**SIZE).state_dict().items():
        if k not in HEADS and not k.startswith(("patch_embed", "new_pos", "freq_new", "time_new")):
            state[k] = torch.randn(v.shape, generator=g)
    shapes = {"head_dist.weight": (527, 32), "head_dist.bias": (527,)}
    if kind == "passt":
        shapes |= {"head.0.weight": (32,), "head.0.bias": (32,), "head.1.weight": (527, 32), "head.1.bias": (527,)}
    else:
        shapes |= {"head.weight": (1000, 32), "head.bias": (1000,)}
    return state | {k: torch.randn(s, generator=g) for k, s in shapes.items()}


@pytest.mark.parametrize(("kind", "remap"), [("passt", remap_passt), ("deit", remap_deit)])
def test_tables_and_patch_kernel_equal_the_references(fixtures, kind, remap):
    data, given = np.load(fixtures / "maest" / f"ckpt_{kind}.npz"), foreign(fixtures, kind)
    got = remap(given, MAEST(**SIZE))
    for k in data.files:
        if k.startswith("out/"):
            np.testing.assert_allclose(got[k[4:]].numpy(), data[k], atol=1e-5, rtol=0)
    assert torch.equal(got["blocks.1.attn.qkv.weight"], given["blocks.1.attn.qkv.weight"])


@pytest.mark.parametrize(("kind", "arch"), [("passt", "passt_s_swa_p16_128_ap476"), ("deit", "passt_deit_bd_p16_384")])
def test_a_start_loads_all_but_its_heads_and_says_so(fixtures, tmp_path, caplog, kind, arch):
    given = foreign(fixtures, kind)
    torch.save({"model": given} if kind == "deit" else given, tmp_path / "start.pt")
    with caplog.at_level(logging.WARNING):
        model = get_maest(arch, checkpoint=tmp_path / "start.pt", **SIZE)
    state = model.state_dict()
    assert torch.equal(state["norm.weight"], given["norm.weight"])
    fresh = next(r.getMessage() for r in caplog.records if "start fresh" in r.getMessage())
    assert "head.1.weight" in fresh
    assert "head_dist.bias" in fresh
    assert ("head.0.weight" in fresh) is (kind == "deit")
    if kind == "passt":
        assert torch.equal(state["head.0.weight"], given["head.0.weight"])


def test_maest_of_another_length_and_label_count():
    short, long = MAEST(**{**SIZE, "n_classes": 10}), MAEST(**{**SIZE, "input_t": 625})
    got = remap_passt(short.state_dict(), long)
    assert got["time_new_pos_embed"].shape == (1, 32, 1, 62)
    assert torch.equal(got["freq_new_pos_embed"], short.freq_new_pos_embed)
    assert "head.1.weight" not in got
    assert "head.0.weight" in got


def test_a_round_trip_through_a_file_is_exact(tmp_path):
    model = MAEST(**SIZE)
    buffers = {"melspectrogram.spec.window": torch.ones(512), "melspectrogram.mel_scale.fb": torch.ones(257, 96)}
    torch.save({"state_dict": model.state_dict() | buffers, "epoch": 3}, tmp_path / "own.ckpt")
    again = get_maest("discogs-maest-5s-pw-129e", checkpoint=tmp_path / "own.ckpt", **SIZE)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values()))


def test_discarded_heads_are_fresh(tmp_path):
    model = MAEST(**SIZE)
    torch.save(model.state_dict(), tmp_path / "own.ckpt")
    again = get_maest("discogs-maest-5s-pw-129e", checkpoint=tmp_path / "own.ckpt", checkpoint_discard_head=True, **SIZE)
    assert torch.equal(again.norm.weight, model.norm.weight)
    assert not torch.equal(again.head[1].weight, model.head[1].weight)


def renamed(state):
    state["blocks.1.norm1.wheight"] = state.pop("blocks.1.norm1.weight")


def widened(state):
    state["norm.weight"] = torch.ones(33)


def other_family(state):
    state.clear()
    state["sequential.0.0.weight"] = torch.ones(3)


@pytest.mark.parametrize(
    ("change", "words"),
    [(renamed, "norm1.wheight"), (widened, r"\[33\] \(wanted \[32\]\)"), (other_family, "freq_new_pos_embed is missing")],
)
def test_weights_that_do_not_fit_are_refused_by_name(tmp_path, change, words):
    state = dict(MAEST(**SIZE).state_dict())
    change(state)
    torch.save(state, tmp_path / "odd.ckpt")
    with pytest.raises(WeightsError, match=words):
        get_maest("discogs-maest-5s-pw-129e", checkpoint=tmp_path / "odd.ckpt", **SIZE)


def test_absent_weights_name_the_file_and_the_place(tmp_path, monkeypatch):
    monkeypatch.setenv("MAEST_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    with pytest.raises(WeightsNotFoundError, match=rf"discogs-maest-5s-pw-129e-swa.ckpt in {tmp_path}"):
        get_maest("discogs-maest-5s-pw-129e", **SIZE)


def test_weights_are_found_in_the_named_folder(tmp_path, monkeypatch):
    model = MAEST(**SIZE)
    torch.save(model.state_dict(), tmp_path / "discogs-maest-5s-pw-129e-swa.ckpt")
    monkeypatch.setenv("MAEST_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError, match=r"its sha256 is [0-9a-f]{64}, wanted cc626ee9"):
        get_maest("discogs-maest-5s-pw-129e", **SIZE)
    card = replace(cards.get_card("discogs-maest-5s-pw-129e"), sha256=None, size=None)
    monkeypatch.setitem(cards._CARDS, card.name, card)
    again = get_maest("discogs-maest-5s-pw-129e", **SIZE)
    assert torch.equal(again.norm.weight, model.norm.weight)
    assert again.card.licence.startswith("CC BY-NC-SA 4.0")


def test_an_undistilled_deit_begins_an_undistilled_network(fixtures):
    state = foreign(fixtures, "deit")
    plain = {k: v for k, v in state.items() if "dist" not in k} | {"pos_embed": state["pos_embed"][:, 1:]}
    net = MAEST(**SIZE, distilled=False)
    new = remap_deit(plain, net)
    assert new["new_pos_embed"].shape == (1, 1, 32)
    both = remap_deit(state, MAEST(**SIZE))
    for name in ("freq_new_pos_embed", "time_new_pos_embed", "patch_embed.proj.weight"):
        torch.testing.assert_close(new[name], both[name])
    with pytest.raises(WeightsError, match="distilled=True takes the other kind"):
        remap_deit(state, net)
    with pytest.raises(WeightsError, match="distilled=False takes the other kind"):
        remap_deit(plain, MAEST(**SIZE))
    assert not get_maest("deit_base_patch16_384", pretrained=False, embed_dim=32, depth=1, num_heads=2).distilled
