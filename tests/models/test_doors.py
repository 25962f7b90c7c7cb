"""Other ways in: a network from a file of unknown size, torch.hub, timm's registry."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models import export_model
from models.errors import WeightsError, WeightsNotFoundError
from models.maest import MAEST, load_maest

ROOT = Path(__file__).resolve().parents[2]
SIZE = dict(embed_dim=128, depth=2, num_heads=2)


def network(**settings) -> MAEST:
    torch.manual_seed(2)
    return MAEST(**{"input_t": 312, "n_classes": 6, **SIZE, **settings}).eval()


def same(got, want):
    assert not got.training
    assert all(torch.equal(v, got.state_dict()[k]) for k, v in want.state_dict().items())


@pytest.mark.parametrize(
    "change", [{}, {"input_t": 1875, "n_classes": 519}, {"input_t": 200, "distilled": False}, {"input_f": 128, "input_t": 625}]
)
def test_a_plain_state_dict_tells_its_size(tmp_path, change):
    net = network(**change)
    torch.save(net.state_dict(), tmp_path / "w.ckpt")
    got = load_maest(tmp_path / "w.ckpt")
    same(got, net)
    assert (got.input_f, got.input_t) == (net.input_f, net.input_t)
    assert got.label_names == net.label_names


@pytest.mark.parametrize(("name", "format"), [("w.safetensors", "safetensors"), ("folder", "safetensors"), ("ast", "ast")])
def test_exports_tell_everything(tmp_path, name, format):
    net = network(num_heads=8, labels=list("abcdef"), input_t=300, **({} if format == "ast" else {"stride": (8, 12)}))
    export_model(net, tmp_path / name, format)
    got = load_maest(tmp_path / name)
    assert got.settings == net.settings
    x = torch.randn(1, 96, 300)
    with torch.no_grad():
        torch.testing.assert_close(got(x)[0], net(x)[0], atol=1e-4, rtol=0)


def test_names_short_and_long(monkeypatch, tmp_path):
    monkeypatch.setenv("MAEST_WEIGHTS", str(tmp_path))
    export_model(network(), tmp_path / "discogs-maest-5s-pw-129e")
    for name in ("maest_5s", "discogs-maest-5s-pw-129e"):
        same(load_maest(name, n_classes=6, **SIZE), network())


def test_refusals(tmp_path):
    with pytest.raises(WeightsNotFoundError, match="Did you mean 'maest_30s'"):
        load_maest("maest_30")
    torch.save({"encoder.fc.weight": torch.zeros(50, 512)}, tmp_path / "other.ckpt")
    with pytest.raises(WeightsError, match=r"no MAEST: missing cls_token"):
        load_maest(tmp_path / "other.ckpt")


def test_torch_hub_from_the_checkout(tmp_path):
    torch.save(network().state_dict(), tmp_path / "w.ckpt")
    same(torch.hub.load(str(ROOT), "maest", str(tmp_path / "w.ckpt"), source="local"), network())
    net = torch.hub.load(str(ROOT), "maest_10s", source="local", pretrained=False, **SIZE)
    assert (net.input_t, net.n_classes) == (625, 400)
    with pytest.raises(RuntimeError, match="maest_11s"):
        torch.hub.load(str(ROOT), "maest_11s", source="local")


def test_timm_builds_it():
    import timm

    import models.maest.timm_names  # noqa: F401

    assert "maest_30s" in timm.list_models("maest*")
    net = timm.create_model("maest_5s", pretrained=False, num_classes=9, **SIZE)
    assert isinstance(net, MAEST)
    assert (net.input_t, net.n_classes) == (312, 9)
