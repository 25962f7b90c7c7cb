"""Families are found, not listed; names, aliases and files lead to the right one, and what leads to none is refused with what was seen."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import models
from models import registry
from models.clmr import SampleCNN
from models.errors import ConfigError, WeightsError, WeightsNotFoundError
from models.maest import MAEST
from models.weights import cards

ROOT = Path(__file__).resolve().parents[2]
TOY = """
from maest.encoder import AudioEncoder
from torch import nn

class Toy(AudioEncoder):
    family, sample_rate, embed_dim, depth, max_seconds, embedding_rate = "toy", 8000, 3, 1, 1.0, 1.0
    settings = {}

    def __init__(self):
        super().__init__()
        self.scale = nn.Linear(1, 3)

    def encode(self, audio, layers=None):
        return self.scale(audio.mean(1)[None, :, None, None])
"""
ARCHS = """
from ..card import ModelCard
from ..weights.cards import register
register(ModelCard("toy-1", "toy", "toy.pt", "https://example.org/toy.pt", "toy", 0, 8000, "waveform", 1.0, "MIT", aliases=("toy",)))
"""
PACKAGE = """
from .network import Toy
def build(name, pretrained=True, **kwargs): return Toy()
def load(path, **kwargs): return Toy()
def recognise(state, settings): return "scale.weight" in state
"""
USE = """
import sys, torch, models, maest
import maest.toy.network, models.toy.network as own
from models import get_toy, list_models, load_model
from models.registry import FAMILIES, family_of, family_package
assert "toy" in FAMILIES and set(FAMILIES) > {"maest", "clmr"}, FAMILIES
assert list_models("toy*") == ["toy-1"] and models.get_card("toy").name == "toy-1"
assert maest.toy.network is own and family_package("toy").Toy is own.Toy is type(load_model("toy"))
net = own.Toy()
torch.save(net.state_dict(), sys.argv[1])
assert family_of(sys.argv[1]) == "toy" and type(load_model(sys.argv[1])) is own.Toy
assert net.saved_settings == {"family": "toy"} and get_toy("toy").embed(torch.ones(8000), 8000).vectors.shape == (1, 1, 3)
print("found")
"""


@pytest.mark.slow
def test_a_family_in_a_folder_elsewhere_is_one_of_the_families(tmp_path):
    package = tmp_path / "mine" / "models" / "toy"
    package.mkdir(parents=True)
    for name, text in (("network", TOY), ("archs", ARCHS), ("__init__", PACKAGE)):
        (package / f"{name}.py").write_text(text)
    env = {**os.environ, "MAEST_FAMILIES": os.pathsep.join([str(tmp_path / "mine"), ""])}
    done = subprocess.run([sys.executable, "-c", USE, str(tmp_path / "w.pt")], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "found"


def test_families_are_the_folders_with_archs():
    assert set(registry.FAMILIES) == {path.parent.name for path in (ROOT / "models").glob("*/archs.py")}
    with pytest.raises(ConfigError, match=r"no family 'mast'. Did you mean 'maest'"):
        registry.family_package("mast")
    for family in registry.FAMILIES:
        assert getattr(models, f"get_{family}") is registry.family_package(family).build


def test_aliases_mean_their_card_and_are_not_listed():
    assert models.get_card("maest_30s") == models.get_card("discogs-maest-30s-pw-129e")
    assert "maest_30s" not in models.list_models()
    assert registry.default_model() == "discogs-maest-30s-pw-129e"
    with pytest.raises(ConfigError, match="Did you mean 'maest_30s'"):
        models.get_card("maest_30")
    with pytest.raises(WeightsNotFoundError, match="Did you mean 'maest_30s'"):
        models.load_model("maest_30")
    net = models.get_model("maest_5s", pretrained=False, embed_dim=32, depth=1, num_heads=2)
    placed = models.get_model("maest_5s", device="meta", pretrained=False, embed_dim=32, depth=1, num_heads=2)
    assert (net.device.type, placed.device.type) == ("cpu", "meta")
    assert net.input_t == 312


@pytest.mark.parametrize(
    "changes", [{}, {"name": "new"}, {"name": "new", "aliases": ("x", "x")}, {"name": "maest_30s", "aliases": ()}]
)
def test_a_name_belongs_to_one_card(changes):
    before = models.list_models()
    with pytest.raises(ValueError, match="already"):
        cards.register(replace(models.get_card("maest_30s"), default=False, **changes))
    with pytest.raises(ValueError, match="default"):
        cards.register(replace(models.get_card("maest_30s"), name="new", aliases=()))
    assert models.list_models() == before


def write(path: Path, net: torch.nn.Module, **settings) -> Path:
    """A training checkpoint of this suite."""
    torch.save({"state_dict": {f"net.{k}": v for k, v in net.state_dict().items()}, "network": settings}, path)
    return path


NETWORKS = {
    "maest": lambda: MAEST(input_t=100, n_classes=3, embed_dim=128, depth=1, num_heads=2),
    "clmr": lambda: SampleCNN([4, 6, 8], [3], out_dim=None),
}


@pytest.mark.parametrize("family", NETWORKS)
def test_files_say_their_family_or_are_recognised(tmp_path, family):
    net = NETWORKS[family]().eval()
    assert net.saved_settings == {"family": family, **net.settings}
    for settings in (net.saved_settings, net.settings, {}):
        path = write(tmp_path / "w.ckpt", net, **settings)
        assert registry.family_of(path) == family
        got = models.load_model(path)
        assert type(got) is type(net)
        assert all(torch.equal(v, got.state_dict()[k]) for k, v in net.state_dict().items())


def test_files_of_no_family_of_several_or_of_one_that_is_not_here(tmp_path, monkeypatch):
    net = NETWORKS["clmr"]()
    with pytest.raises(WeightsError, match=r"family 'mast', which is not here. Did you mean 'maest'.*MAEST_FAMILIES"):
        models.load_model(write(tmp_path / "w.ckpt", net, family="mast"))
    torch.save({f"layer.{k}": torch.zeros(k) for k in range(6)}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match=r"no family recognises it \(.*maest.*layer\.0 \[0\], layer\.1 \[1\].* and 2 more"):
        models.load_model(tmp_path / "other.pt")
    monkeypatch.setattr("models.maest.recognise", lambda state, settings: True)
    with pytest.raises(WeightsError, match=r"several families recognise it \(clmr, maest\)\. Its first entries: sequential"):
        models.load_model(write(tmp_path / "w.ckpt", net))
