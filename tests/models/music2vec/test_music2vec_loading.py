"""music2vec's files: what transformers writes loads without the network, every other is refused by what is wrong with it."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import Data2VecAudioConfig

import models
from models.errors import ConfigError, WeightsError, WeightsNotFoundError
from models.export import export_model
from models.music2vec import Music2Vec, load
from tests.models.music2vec.golden import CONFIG, HIDDEN, STATE, WAVE, close, loaded, published


@pytest.fixture(autouse=True)
def without_gradients_or_network(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))
    monkeypatch.delenv("MAEST_WEIGHTS", raising=False)
    with torch.no_grad():
        yield


@pytest.mark.parametrize("form", ["safetensors", "bin"])
def test_transformers_folders_and_the_file_in_one(tmp_path, form):
    folder = published(tmp_path / "music2vec-v1", form)
    (file,) = (path for path in folder.iterdir() if path.suffix != ".json")
    for net in (Music2Vec(str(folder)), Music2Vec.from_pretrained(folder), load(folder), models.load_model(folder), load(file)):
        assert not net.training
        close(net.hidden_states(WAVE), HIDDEN)
    long = Music2Vec(folder, max_seconds=30.0, sdpa=False)
    assert (long.max_seconds, long.settings["sdpa"], long.window_length) == (30.0, False, 480000)
    with pytest.raises(ConfigError, match="says its own hidden_size"):
        Music2Vec(folder, hidden_size=16)


def test_by_name_from_a_folder_of_weights(tmp_path, monkeypatch):
    published(tmp_path / "music2vec-v1", "bin")
    monkeypatch.setenv("MAEST_WEIGHTS", str(tmp_path))
    for name in ("music2vec-v1", "m-a-p/music2vec-v1"):
        close(Music2Vec(name).hidden_states(WAVE), HIDDEN)
    net = models.get_model("music2vec-v1")
    assert (net.card.name, net.card.sample_rate, net.card.depth) == ("music2vec-v1", 16000, 12)
    assert "CC-BY-NC" in net.card.licence
    assert "not for commercial use" in net.card.licence


def test_absent_weights_are_named_and_never_random():
    for make in (Music2Vec, lambda: Music2Vec("m-a-p/music2vec-v1"), lambda: models.get_model("music2vec-v1")):
        with pytest.raises(
            WeightsNotFoundError, match=r"pytorch_model.bin and config.json of https://huggingface.co/m-a-p/music2vec-v1"
        ):
            make()
    with pytest.raises(WeightsNotFoundError, match=r"no model of that name. Did you mean 'music2vec-v1'"):
        Music2Vec("music2vec-v2")


def test_a_transformers_config_gives_a_random_network_of_its_shape():
    config = Data2VecAudioConfig(**{k: v for k, v in CONFIG.items() if k not in ("model_type", "transformers_version")})
    net = Music2Vec(config)
    assert net.hidden_states(WAVE).shape == HIDDEN.shape
    assert (net.settings["activation_dropout"], net.settings["layer_norm_eps"]) == (CONFIG["activation_dropout"], 1e-5)
    with pytest.raises(ConfigError, match="a name, a path, a transformers config or None"):
        Music2Vec({"hidden_size": 32})
    with pytest.raises(WeightsError, match="model type 'wav2vec2'"):
        Music2Vec(type("Other", (), {"to_dict": lambda self: {"model_type": "wav2vec2"}})())


LOST = "encoder.layers.3.attention.k_proj.weight"


@pytest.mark.parametrize(
    ("changes", "config", "text"),
    [
        ({LOST: None}, {}, rf"missing: {LOST}"),
        ({"lm_head.weight": torch.zeros(3)}, {}, "unknown: lm_head.weight"),
        ({LOST: torch.zeros(3, 3)}, {}, r"shape: .*k_proj.weight \[3, 3\] \(wanted \[32, 32\]\)"),
        ({LOST: torch.full((32, 32), float("nan"))}, {}, "not finite"),
        ({}, {"add_adapter": True}, "add_adapter"),
        ({}, {"hidden_size": 30}, "num_attention_heads"),
        ({}, {"hidden_size": "x"}, "hidden_size is 'x'"),
        ({}, {"num_hidden_layers": 4}, "unknown: encoder.layers.4"),
        ({}, {"conv_dim": []}, "conv_dim is"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, changes, config, text):
    state = {k: v for k, v in {**STATE, **changes}.items() if v is not None}
    with pytest.raises(WeightsError, match=text):
        Music2Vec(published(tmp_path / "wrong", state=state, **config))


def test_no_code_of_a_folder_is_run(tmp_path):
    folder = published(tmp_path / "evil", auto_map={"AutoModel": "modeling.Evil"})
    (folder / "modeling.py").write_text("raise SystemExit('run')\n")
    close(Music2Vec(folder).hidden_states(WAVE), HIDDEN)
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(WeightsError):
        Music2Vec(folder)


def test_a_file_without_its_shape_and_another_familys(tmp_path):
    folder = published(tmp_path / "bare", "bin")
    (folder / "config.json").unlink()
    for source in (folder, folder / "pytorch_model.bin"):
        with pytest.raises(WeightsError, match=r"place the config.json that belongs to it beside it"):
            Music2Vec(source)
    other = models.registry.family_package("clmr").build(pretrained=False, channels=[4, 4, 4], strides=[3])
    export_model(other, tmp_path / "clmr")
    with pytest.raises(WeightsError, match="of the family clmr, music2vec is wanted"):
        Music2Vec(tmp_path / "clmr")


def test_exports_and_training_checkpoints_give_the_network_without_the_teacher(tmp_path):
    net = loaded()
    export_model(net, tmp_path / "export")
    assert json.loads((tmp_path / "export" / "config.json").read_text())["network"]["family"] == "music2vec"
    close(Music2Vec(tmp_path / "export").hidden_states(WAVE), HIDDEN)
    state = {f"net.{k}": v for k, v in STATE.items()}
    state |= {f"teacher.{k.removeprefix('encoder.')}": v * 2 for k, v in STATE.items() if k.startswith("encoder.")}
    torch.save({"state_dict": state, "network": net.saved_settings}, tmp_path / "own.ckpt")
    close(load(tmp_path / "own.ckpt").hidden_states(WAVE), HIDDEN)
