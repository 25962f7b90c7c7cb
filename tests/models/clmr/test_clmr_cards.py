"""CLMR's published weights by name: cards, archives, heads that belong to an encoder; and `load_model` on files of any family."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import torch

from models import get_model, list_models, load_model
from models.clmr import SampleCNN, build
from models.clmr.network import CHANNELS
from models.errors import ConfigError, WeightsError, WeightsNotFoundError
from models.export import export_model
from models.weights.cards import get_card, load_labels
from models.weights.checkpoints import read_state


@pytest.fixture
def weights(tmp_path, monkeypatch) -> Path:
    """A folder that MAEST_WEIGHTS names, and no network."""
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setenv("MAEST_WEIGHTS", str(folder))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return folder


def published(seed: int = 0) -> dict:
    torch.manual_seed(seed)
    state = SampleCNN(out_dim=None).state_dict()
    return {**{f"encoder.{k}": v for k, v in state.items()}, "projector.0.weight": torch.zeros(512, 512)}


def archive(path: Path, **members: object) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            inner = path.with_name("inner")
            torch.save(content, inner)
            file.write(inner, name.replace("__", "/").replace("_ckpt", ".ckpt").replace("_pt", ".pt"))
            inner.unlink()
    return path


def test_a_tagger_by_its_name_has_its_classes_without_weights_too(weights):
    net = load_model("clmr-magnatagatune-10000-tags", pretrained=False)
    assert net.label_names == list(load_labels("magnatagatune_50"))
    assert load_model("clmr-magnatagatune-10000", pretrained=False).out_dim is None


def test_cards_say_what_is_known():
    assert list_models("clmr*") == [
        "clmr-magnatagatune",
        "clmr-magnatagatune-10000",
        "clmr-magnatagatune-10000-tags",
        "clmr-magnatagatune-1550",
        "clmr-magnatagatune-1550-tags",
    ]
    card = get_card("clmr-magnatagatune-10000-tags")
    assert card.url == "https://github.com/Spijkervet/CLMR/releases/download/2.0/finetuner_checkpoint_200.zip"
    assert (card.n_classes, card.sample_rate, card.encoder) == (50, 22050, "clmr-magnatagatune-10000")
    labels = load_labels("magnatagatune_50")
    assert labels[:4] == ("guitar", "classical", "slow", "techno")
    assert len(set(labels)) == 50


def test_an_encoder_in_an_archive_is_built_by_name(weights):
    lightning = {"pytorch-lightning_version": "1", "state_dict": {f"model.{k}": v for k, v in published().items()}}
    archive(weights / "clmr_magnatagatune_mlp.zip", **{"clmr_magnatagatune_mlp__clmr_epoch=10000_ckpt": lightning})
    model = get_model("clmr-magnatagatune")
    assert model.channels == CHANNELS
    assert model.card.name == "clmr-magnatagatune"
    wanted = published()["encoder.sequential.4.0.weight"]
    assert torch.equal(model.sequential[4][0].weight, wanted)


def test_a_head_by_name_brings_its_encoder_and_its_labels(weights):
    with pytest.raises(WeightsNotFoundError, match=r"clmr_checkpoint_1550.pt"):
        get_model("clmr-magnatagatune-1550-tags")
    torch.save(published(), weights / "clmr_checkpoint_1550.pt")
    torch.save({"0.weight": torch.ones(50, 512), "0.bias": torch.zeros(50)}, weights / "finetuner_checkpoint_20.pt")
    model = load_model("clmr-magnatagatune-1550-tags")
    assert model.labels[0] == "guitar"
    assert model(torch.zeros(1, 1, 59049)).shape == (1, 50)


def test_archives_that_cannot_be_taken_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="2 weight files"):
        read_state(archive(tmp_path / "two.zip", a_ckpt=published(), b_pt=published()))
    with pytest.raises(WeightsError, match="0 weight files"):
        read_state(archive(tmp_path / "none.zip", readme=published()))
    good = archive(tmp_path / "good.zip", x_ckpt=published())
    data = bytearray(good.read_bytes())
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "bad.zip").write_bytes(data)
    with pytest.raises(WeightsError, match="cannot be read"):
        read_state(tmp_path / "bad.zip")
    with zipfile.ZipFile(tmp_path / "up.zip", "w") as file:  # a name that would lead out of a folder leads nowhere
        file.write(archive(tmp_path / "in.zip", x_ckpt=published()), "../../evil.ckpt")
    with pytest.raises(WeightsError):
        read_state(tmp_path / "up.zip")
    assert not (tmp_path.parent / "evil.ckpt").exists()


def test_archives_that_would_unpack_to_too_much_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("models.weights.checkpoints.MAX_ARCHIVED", 1000)
    with pytest.raises(WeightsError, match="would unpack to"):
        read_state(archive(tmp_path / "big.zip", x_ckpt=published()))


def test_load_model_knows_a_files_family(tmp_path):
    net = SampleCNN([4, 4, 6, 6, 8], (3, 2, 3), out_dim=2, head="mlp", labels=["a", "b"]).eval()
    x = torch.randn(2, 54)
    torch.save(
        {"state_dict": {f"net.{k}": v for k, v in net.state_dict().items()}, "network": net.settings}, tmp_path / "own.ckpt"
    )
    export_model(net, tmp_path / "exported")
    for source in (tmp_path / "own.ckpt", tmp_path / "exported", tmp_path / "exported" / "model.safetensors"):
        got = load_model(source)
        assert isinstance(got, SampleCNN)
        assert got.settings == net.settings
        assert torch.equal(got(x), net(x))
    torch.save({f"encoder.{k}": v for k, v in net.state_dict().items() if not k.startswith("fc")}, tmp_path / "plain.pt")
    assert torch.equal(load_model(tmp_path / "plain.pt")(x), net.features(x))
    torch.save({"x": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match="no family recognises it"):
        load_model(tmp_path / "other.pt")


def test_builds_that_make_no_sense_are_refused(weights):
    with pytest.raises(ConfigError, match="not of clmr"):
        build("discogs-maest-10s-pw-129e")
    with pytest.raises(ConfigError, match="without a trained encoder"):
        build(pretrained=False, head_checkpoint="x")
    assert build(pretrained=False, channels=[2] * 3, strides=[3], out_dim=4).out_dim == 4
