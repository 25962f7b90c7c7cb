"""MERT's weight files: published folders of tiny seeded networks, what is mapped and what is refused."""

from __future__ import annotations

import json

import pytest
import torch

import models
from models.errors import ConfigError, WeightsError, WeightsNotFoundError
from models.mert import MERT, load
from models.registry import family_of
from models.weights.downloads import DownloadError
from tests.models.mert.tiny import SHAPE, WAVE, folder, hubert, state_of

PROCESSOR = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": 24000, "do_normalize": False}


@pytest.fixture(scope="module")
def theirs():
    return hubert()


@pytest.fixture(scope="module")
def want(theirs):
    with torch.no_grad():
        return theirs(WAVE).last_hidden_state


@pytest.mark.parametrize(
    ("prefix", "old", "config"),
    [
        ("", True, {}),
        ("mert.", True, {}),
        ("hubert.", False, {"model_type": "hubert"}),
        ("", True, {"model_type": "music_hubert", "attention_relax": 32.0}),
    ],
)
@torch.no_grad()
def test_published_forms(theirs, want, tmp_path, prefix, old, config):
    path = folder(tmp_path / "net", state_of(theirs, prefix, old), PROCESSOR, **config)
    for source in (path, path / "pytorch_model.bin"):
        net = load(source)
        assert not net.training
        assert (net.sample_rate, net.settings["normalize"]) == (24000, False)
        torch.testing.assert_close(net(WAVE), want, atol=1e-6, rtol=1e-6)
    assert family_of(path) == "mert"
    torch.testing.assert_close(models.load_model(path)(WAVE), want, atol=1e-6, rtol=1e-6)


@torch.no_grad()
def test_the_large_network(tmp_path):
    theirs = hubert(do_stable_layer_norm=True)
    path = folder(
        tmp_path / "net", state_of(theirs), PROCESSOR, do_stable_layer_norm=True, attention_relax=32.0, hidden_dropout=0.0
    )
    torch.testing.assert_close(load(path)(WAVE), theirs(WAVE).last_hidden_state, atol=1e-6, rtol=1e-6)


def test_safetensors_v0_and_what_the_processor_says(theirs, tmp_path):
    from safetensors.torch import save_file

    path = folder(tmp_path / "net", state_of(theirs), {"sampling_rate": 16000}, sample_rate=16000)
    (path / "pytorch_model.bin").unlink()
    save_file(state_of(theirs), path / "model.safetensors")
    net = load(path, max_seconds=2.0)
    assert (net.sample_rate, net.embedding_rate, net.max_seconds) == (16000, 50.0, 2.0)
    assert net.settings["normalize"]  # transformers' default, where the file does not say
    (path / "preprocessor_config.json").write_text(json.dumps({"sampling_rate": 24000}))
    with pytest.raises(WeightsError, match=r"says 24000 Hz, config\.json beside it 16000 Hz"):
        load(path)
    (path / "preprocessor_config.json").write_text("[1]")
    with pytest.raises(WeightsError, match="holds a list"):
        load(path)
    (path / "preprocessor_config.json").write_text('{"do_normalize": "yes"}')
    with pytest.raises(WeightsError, match="do_normalize is 'yes'"):
        load(path)


@pytest.mark.parametrize("part", ["feature_extractor_cqt", "deepnorm", "add_adapter", "conv_pos_batch_norm"])
def test_networks_that_compute_something_else_are_refused(theirs, tmp_path, part):
    path = folder(tmp_path / "net", state_of(theirs), PROCESSOR, **{part: True})
    with pytest.raises(WeightsError, match=rf"has {part} \(.*\): such a MERT computes something else"):
        load(path)
    with pytest.raises(WeightsError, match="computes something else"):
        models.load_model(path)


def test_weights_of_the_constant_q_branch_are_refused_whatever_the_config_says(theirs, tmp_path):
    state = {**state_of(theirs), "feature_extractor_cqt.cqt_kernels_real": torch.zeros(3, 1, 5)}
    with pytest.raises(WeightsError, match="has a constant-Q branch"):
        load(folder(tmp_path / "net", state, PROCESSOR))


def test_files_that_do_not_fit(theirs, tmp_path):
    state = state_of(theirs)
    lost = "encoder.layers.1.attention.k_proj.weight"
    with pytest.raises(WeightsError, match=rf"missing: {lost}"):
        load(folder(tmp_path / "less", {k: v for k, v in state.items() if k != lost}, PROCESSOR))
    with pytest.raises(WeightsError, match=r"unknown: encoder\.layers\.9"):
        load(folder(tmp_path / "more", {**state, lost.replace(".1.", ".9."): state[lost]}, PROCESSOR))
    with pytest.raises(WeightsError, match="shape"):
        load(folder(tmp_path / "wide", state, PROCESSOR, intermediate_size=64))
    unmasked = load(folder(tmp_path / "unmasked", {k: v for k, v in state.items() if k != "masked_spec_embed"}, PROCESSOR))
    assert not unmasked.masked_spec_embed.any()
    fairseq = {"post_extract_proj.weight": torch.zeros(32, 8), **state}
    with pytest.raises(WeightsError, match="checkpoint of fairseq"):
        load(folder(tmp_path / "fairseq", fairseq, PROCESSOR))
    bare = tmp_path / "alone.bin"
    torch.save(state, bare)
    with pytest.raises(WeightsError, match=r"place the config\.json that belongs to it beside it"):
        load(bare)
    speech = folder(tmp_path / "speech", state, None, model_type="hubert")
    config = json.loads((speech / "config.json").read_text())
    (speech / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k != "sample_rate"}))
    with pytest.raises(WeightsError, match='add "sample_rate": 24000'):
        load(speech)


def test_no_code_of_a_folder_is_run(theirs, tmp_path):
    path = folder(tmp_path / "net", state_of(theirs), PROCESSOR, auto_map={"AutoModel": "modeling_MERT.MERTModel"})
    (path / "modeling_MERT.py").write_text("raise SystemExit('was run')")
    load(path)


def test_by_name(theirs, tmp_path, monkeypatch):
    monkeypatch.setenv("MAEST_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def absent(*_, **__):
        raise DownloadError("not in the cache")

    monkeypatch.setattr("models.weights.downloads.from_hub", absent)
    with pytest.raises(WeightsNotFoundError, match=r"pytorch_model\.bin and config\.json and preprocessor_config\.json"):
        models.get_model("mert-v1-95m")
    folder(tmp_path / "mert-v1-95m", state_of(theirs), PROCESSOR)
    for name in ("mert-v1-95m", "m-a-p/MERT-v1-95M"):
        net = models.get_model(name)
        assert net.card is models.get_card("mert-v1-95m")
        assert "not for commercial use" in net.card.licence
    with pytest.raises(ConfigError, match="no classes, 3 were asked for"):
        models.get_model("mert-v1-95m", out_dim=3)


def test_sizes_by_name():
    with torch.device("meta"):
        large = models.get_model("mert-v1-330m", pretrained=False)
        small = MERT(**SHAPE)
    assert (large.depth, large.embed_dim, large.settings["do_stable_layer_norm"]) == (24, 1024, True)
    assert small.depth == 3
