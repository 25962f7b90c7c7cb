"""get_model and load: local folders, Lightning checkpoints, safetensors, the hub; what does not fit is refused by name."""

from __future__ import annotations

import logging
import shutil
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import torch
from safetensors.torch import save_file

import models
from models.errors import ConfigError, WeightsError, WeightsNotFoundError
from models.omar_rq import OmarRQWithTargets, get_model, load
from models.omar_rq.archs import ARCHS, LICENCE, TASKS
from models.weights import downloads
from models.weights.cards import get_card
from tests.models.omar_rq.golden import HERE, HUB, carried, close, hub_state, make_folder

LOST = "net.layers.1.attention.qkv.weight"


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("MAEST_WEIGHTS", raising=False)


def right(net) -> None:
    golden = carried("mel_infer")
    close(net.extract_embeddings(golden["wave"]), golden["emb_default"], 2e-3)
    assert not any(module.training for module in net.modules())


# ---- forms
def test_a_local_folder_by_every_door():
    for net in (get_model(str(HUB)), get_model(config_file=HUB / "config.gin"), models.load_model(HUB), load(HUB / "model.ckpt")):
        right(net)
        assert (net.sr, net.hop_length, net.patch_size, net.eps) == (16000, 256, (96, 4), 15.625)


def test_a_checkpoint_of_a_lightning_training(tmp_path):
    more = {k: v for k, v in carried("mel_pretrain").state.items() if k.startswith(("linear", "quant"))}
    state = {**hub_state(), **more, "representation.window": torch.ones(3), "input_rep.window": torch.ones(3)}
    right(get_model(make_folder(tmp_path / "lightning", {"state_dict": state, "epoch": 3, "global_step": 10})))


def test_safetensors(tmp_path):
    folder = make_folder(tmp_path / "safe", {})
    save_file(hub_state(), folder / "model.safetensors")
    right(get_model(folder))


def test_random_weights_need_no_file(tmp_path):
    folder = make_folder(tmp_path / "bare", {})
    assert get_model(folder, load_weights=False).extract_embeddings(torch.zeros(1, 16000)).shape == (1, 1, 15, 32)
    with pytest.raises(WeightsNotFoundError, match=r"place model\.ckpt in .*bare"):
        get_model(folder)


def test_an_inference_model_has_no_targets_no_head_and_needs_no_encodec():
    folder = HERE / "hub_audio_25hz_fsq"
    net = get_model(folder, load_weights=False)
    assert len(net.state_dict()) == 101
    assert not isinstance(net, OmarRQWithTargets)
    with pytest.raises(
        WeightsNotFoundError, match=r"config\.json and model\.safetensors .*facebook/encodec_24khz.*folder encodec_24khz"
    ):
        get_model(folder, load_weights=False, quantization_targets=True)


def test_quantisers_of_one_file_do_not_come_into_the_next():
    """A file with FSQ before one without; and the global generator is as it was."""
    draws = []
    for _ in range(2):
        torch.manual_seed(3)
        get_model(HERE / "hub_audio_25hz_fsq", load_weights=False)
        torch.manual_seed(4)
        net = get_model(HUB, quantization_targets=True)
        draws.append(net.state_dict())
    assert not any("project_in" in name for name in draws[0])
    assert all(torch.equal(v, draws[1][k]) for k, v in draws[0].items())


# ---- what does not fit
def test_missing_unknown_and_misshapen_weights_are_named(tmp_path):
    state = hub_state()
    for name, changed, words in (
        ("less", {k: v for k, v in state.items() if k != LOST}, f"missing: {LOST}"),
        ("more", {**state, LOST.replace("layers.1", "layers.7"): state[LOST]}, "unknown: net.layers.7"),
        ("shape", {**state, LOST: state[LOST][:4]}, r"shape: net\.layers\.1.* \[4, 32\] \(wanted \[96, 32\]\)"),
        ("foreign", {**state, "text.weight": torch.ones(2)}, "another network.*ignore_prefixes"),
    ):
        with pytest.raises(WeightsError, match=words):
            get_model(make_folder(tmp_path / name, changed))
    right(get_model(tmp_path / "foreign", ignore_prefixes=["text."]))


def test_a_file_that_holds_more_than_tensors_is_not_run(tmp_path):
    folder = make_folder(tmp_path / "code", {})
    torch.save({"state_dict": hub_state(), "hyper": print}, folder / "model.ckpt")
    with pytest.raises(WeightsError, match="could run code"):
        get_model(folder)
    (folder / "model.ckpt").write_bytes((HUB / "model.ckpt").read_bytes()[:1000])
    with pytest.raises(WeightsError, match="truncated or damaged"):
        get_model(folder)


def test_both_neither_and_what_is_not_there(tmp_path):
    for arguments in ({}, {"model_id": str(HUB), "config_file": HUB / "config.gin"}):
        with pytest.raises(ConfigError, match="model_id .* or a config_file"):
            get_model(**arguments)
    with pytest.raises(WeightsNotFoundError, match=r"There is no .*config\.gin"):
        get_model(tmp_path)
    for name in ("nowhere", "../up/there", "a/b/c"):
        with pytest.raises(WeightsNotFoundError, match="no folder"):
            get_model(name)
    with pytest.raises(WeightsNotFoundError, match=r"config\.gin and model\.ckpt of https://huggingface\.co/some/one"):
        get_model("some/one")


def test_a_lone_weight_file_asks_for_its_config(tmp_path):
    shutil.copyfile(HUB / "model.ckpt", tmp_path / "lone.ckpt")
    with pytest.raises(WeightsError, match=r"place its config\.gin beside it"):
        models.load_model(tmp_path / "lone.ckpt")


# ---- cards
def test_all_published_models_have_cards():
    assert models.list_models("omar*") == sorted(ARCHS)
    assert len(ARCHS) == 6
    for name in ARCHS:
        card = get_card(f"mtg-upf/{name}")
        assert (card.name, card.licence, card.hub) == (name, LICENCE, f"mtg-upf/{name}")
        assert card.depth == ARCHS[name]["depth"]
    fsq = get_card("omar-rq-multifeature-25hz-fsq")
    assert fsq.scores == dict(zip(TASKS, (0.463, 1.71, 0.940, 0.749, 0.855, 0.628)))
    assert [get_card(name).embedding_rate for name in list(ARCHS)[:5]] == [15.625, 15.625, 18.75, 25.0, 25.0]


def test_a_card_without_weights_says_what_to_place_and_where(tmp_path, monkeypatch):
    with pytest.raises(WeightsNotFoundError, match=r"config\.gin and model\.ckpt .*in a folder omar-rq-base of"):
        get_model("mtg-upf/omar-rq-base")
    monkeypatch.setenv("MAEST_WEIGHTS", str(tmp_path))
    shutil.copytree(HUB, tmp_path / "omar-rq-base")
    for net in (get_model("mtg-upf/omar-rq-base"), models.get_model("omar-rq-base"), models.load_model("mtg-upf/omar-rq-base")):
        right(net)
        assert net.card.name == "omar-rq-base"


def test_from_a_mirror_and_from_the_hub(tmp_path, monkeypatch, caplog):
    served = tmp_path / "served"
    shutil.copytree(HUB, served / "omar-rq-base")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(served)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        monkeypatch.setenv("MAEST_MIRROR", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.delenv("HF_HUB_OFFLINE")
        with caplog.at_level(logging.WARNING):
            right(get_model("mtg-upf/omar-rq-base"))
        assert "CC BY-NC-SA 4.0" in caplog.text
        assert (tmp_path / "torch" / "hub" / "checkpoints" / "omar-rq-base" / "config.gin").is_file()
    finally:
        server.shutdown()
        server.server_close()
    asked = []
    monkeypatch.setattr(downloads, "from_hub", lambda *args: asked.append(args) or HUB)
    right(get_model("some/one", revision="abc", cache_dir=tmp_path, token="t"))
    assert asked == [("some/one", False, ("config.gin", "model.ckpt"), {"revision": "abc", "cache_dir": tmp_path, "token": "t"})]
