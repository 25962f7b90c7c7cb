"""Networks out and back in: safetensors, AST through transformers, ONNX through onnxruntime; what cannot be expressed is refused."""

from __future__ import annotations

import json
import logging
import unicodedata

import pytest
import torch

from models import export_model, get_maest
from models.errors import ConfigError, WeightsError, WeightsNotFoundError
from models.maest import MAEST, ast, ast_config, convert
from models.weights.checkpoints import read_settings, read_state
from models.weights.foreign import network_settings

SIZE = dict(embed_dim=32, depth=3, num_heads=4)


def network(**settings) -> MAEST:
    """A small network whose every entry is random: nothing can pass by being a default."""
    torch.manual_seed(5)
    net = MAEST(**{"input_t": 312, "n_classes": 7, "labels": [f"Genre---ﬁne {i}" for i in range(7)], **SIZE, **settings})
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.3 * torch.randn(p.shape))
    return net.eval()


@pytest.fixture(scope="module")
def net() -> MAEST:
    return network()


def same(got, want):
    assert sorted(got) == sorted(want)
    assert all(torch.equal(got[k], want[k]) for k in want)


# ---- safetensors
@pytest.mark.parametrize("name", ["out.safetensors", "folder"])
def test_safetensors_is_exact_and_carries_its_settings(net, tmp_path, name):
    assert export_model(net, tmp_path / name) == tmp_path / name
    same(read_state(tmp_path / name), net.state_dict())
    assert read_settings(tmp_path / name) == net.saved_settings
    assert network_settings(tmp_path / name, net.family) == net.settings
    back = get_maest("discogs-maest-5s-pw-129e", checkpoint=tmp_path / name, **SIZE)
    same(back.state_dict(), net.state_dict())
    assert back.labels == net.labels


def test_the_folder_says_what_it_is(net, tmp_path):
    export_model(net, tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["config.json", "model.safetensors"]
    about = json.loads((tmp_path / "out" / "config.json").read_text())
    assert about["model_type"] == "maest"
    assert about["front_end"] == "maest-essentia"
    assert about["sample_rate"] == 16000


def test_a_second_export_replaces_the_first_and_leaves_other_files(net, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    export_model(network(depth=2), tmp_path)
    export_model(net, tmp_path)
    same(read_state(tmp_path), net.state_dict())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "model.safetensors", "notes.txt"]


def test_nothing_half_written_stays(net, tmp_path, monkeypatch):
    import models.export

    def full_disk(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(models.export, "_write_json", full_disk)
    with pytest.raises(ConfigError, match="No space left on device; what stood there before is as it was"):
        export_model(net, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


# ---- AST
@pytest.mark.parametrize("change", [{}, {"input_t": 625, "input_f": 100}, {"distilled_type": "separated"}, {"stride": (8, 12)}])
def test_ast_comes_back(tmp_path, change):
    net = network(**change)
    export_model(net, tmp_path / "ast", "ast")
    settings = read_settings(tmp_path / "ast")
    assert settings == net.saved_settings
    back = MAEST(**net.settings).eval()
    convert.load(back, read_state(tmp_path / "ast"), "maest", "ast")
    x = torch.randn(2, net.input_f, net.input_t)
    with torch.no_grad():
        torch.testing.assert_close(back(x)[0], net(x)[0], atol=1e-4, rtol=0)
        torch.testing.assert_close(back.embed_blocks(x, [0, 2]), net.embed_blocks(x, [0, 2]), atol=1e-4, rtol=0)
    exact = [k for k in net.state_dict() if not k.startswith(("freq_new", "time_new", "head_dist"))]
    assert all(torch.equal(back.state_dict()[k], net.state_dict()[k]) for k in exact)


@pytest.mark.parametrize("frames", [312, 625, 1250, 1875])
def test_transformers_computes_the_same_logits(tmp_path, frames):
    net = network(input_t=frames)
    from transformers import ASTForAudioClassification

    export_model(net, tmp_path / "ast", "ast")
    other, report = ASTForAudioClassification.from_pretrained(tmp_path / "ast", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    length = {312: 316, 625: 626, 1250: 1256, 1875: 1876}[frames]
    assert other.config.max_length == length
    x = torch.randn(2, 96, length) * 0.6
    with torch.no_grad():
        logits = other.eval()(x.transpose(1, 2)).logits
        torch.testing.assert_close(logits, net(x)[0], atol=1e-4, rtol=0)  # all columns: the time table covers them
    assert other.config.id2label[3] == unicodedata.normalize("NFKC", net.labels[3]) != net.labels[3]


def test_what_transformers_saves_is_read(net, tmp_path):
    from transformers import ASTForAudioClassification

    export_model(net, tmp_path / "ast", "ast")
    other = ASTForAudioClassification.from_pretrained(tmp_path / "ast")
    other.save_pretrained(tmp_path / "again")
    memory = {k: v.detach() for k, v in other.state_dict().items()}  # the names of transformers 5
    assert any(".q_proj." in k for k in memory)
    for state in (read_state(tmp_path / "again"), memory):
        back = MAEST(**net.settings).eval()
        convert.load(back, state, "ast", "again")
        x = torch.randn(1, 96, 312)
        with torch.no_grad():
            torch.testing.assert_close(back(x)[0], net(x)[0], atol=1e-4, rtol=0)


def test_the_published_lists_come_back_in_their_own_spelling(tmp_path):
    net = network(n_classes=400, labels=None)
    config = ast.ast_config(net)
    del config["maest"]  # as published folders are
    settings = ast_config.settings_of(config)
    assert settings["labels"] == net.label_names
    assert (settings["input_t"], settings["n_classes"], settings["stride"]) == (312, 400, [10, 10])
    assert MAEST(**settings).settings.items() >= {**SIZE, "input_t": 312}.items()


def test_preprocessor_says_what_the_weights_saw(net, tmp_path):
    export_model(net, tmp_path / "ast", "ast")
    fields = json.loads((tmp_path / "ast" / "preprocessor_config.json").read_text())
    wanted = dict(sampling_rate=16000, num_mel_bins=96, max_length=316, mean=2.06755686098554, std=1.268292820667291, n_fft=512)
    assert {k: fields[k] for k in wanted} == wanted
    assert fields["hop_length"] == 256


def test_a_table_that_is_no_sum_is_refused(net):
    state = ast.ast_state(net)
    table = state["audio_spectrogram_transformer.embeddings.position_embeddings"]
    table[0, 40, 3] += 0.01
    with pytest.raises(WeightsError, match="no sum of a frequency and a time table"):
        convert.load(network(), state, "ast", "other")


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_folders_are_read(net, kind):
    state = {k: v.to(kind) for k, v in ast.ast_state(net).items()}
    back = network()
    convert.load(back, state, "ast", "half")
    x = torch.randn(1, 96, 312)
    with torch.no_grad():
        torch.testing.assert_close(back(x)[0], net(x)[0], atol=0.2, rtol=0.05)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("classifier.dense.bias"), r"missing \(1\): head\.1\.bias"),
        (
            lambda s: s.pop("audio_spectrogram_transformer.encoder.layer.1.attention.attention.key.weight"),
            r"missing \(1\): blocks\.1\.attn\.qkv\.weight",
        ),
        (lambda s: s.update({"decoder.extra": torch.zeros(2)}), r"unknown \(1\): decoder\.extra"),
        (
            lambda s: s.update({"audio_spectrogram_transformer.layernorm.weight": torch.zeros(9)}),
            r"other shape \(1\): norm\.weight",
        ),
        (
            lambda s: s.update({"audio_spectrogram_transformer.embeddings.position_embeddings": torch.zeros(1, 30, 32)}),
            r"wanted \[1, 2 \+ 9 \* t, 32\]",
        ),
    ],
)
def test_ast_that_does_not_fit_is_named(net, change, words):
    state = ast.ast_state(net)
    change(state)
    with pytest.raises(WeightsError, match=words):
        convert.load(network(), state, "ast", "x")


def test_separated_heads_in_ast_are_said(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        export_model(network(distilled_type="separated"), tmp_path / "ast", "ast")
    assert "head_dist is left out" in caplog.text


# ---- refusals
@pytest.mark.parametrize(
    ("change", "format", "error", "words"),
    [
        ({"distilled": False}, "ast", WeightsError, "DIST"),
        ({"s_patchout_t_interleaved": 2}, "ast", WeightsError, "patchout"),
        ({}, "astt", ConfigError, "Did you mean 'ast'"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(tmp_path, change, format, error, words):
    with pytest.raises(error, match=words):
        export_model(network(**change), tmp_path / "out", format)
    assert not list(tmp_path.glob("out/*"))


def test_places_that_cannot_be_written(net, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file already"):
        export_model(net, tmp_path / "file")
    with pytest.raises(ConfigError, match="cannot be written"):
        export_model(net, tmp_path / "file" / "deeper")
    with pytest.raises(ConfigError, match="blocks belongs to format onnx"):
        export_model(net, tmp_path / "x", blocks=[1])


def test_folders_without_one_weight_file(tmp_path):
    with pytest.raises(WeightsNotFoundError, match="no weight file"):
        read_state(tmp_path)
    for name in "ab":
        (tmp_path / f"{name}.safetensors").write_bytes(b"")
    with pytest.raises(WeightsNotFoundError, match="several"):
        read_settings(tmp_path)


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_a_broken_config_is_named(net, tmp_path, text):
    export_model(net, tmp_path)
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(WeightsError, match=r"config\.json"):
        read_settings(tmp_path)


@pytest.mark.slow
def test_full_size_round_trips(tmp_path):
    torch.manual_seed(1)
    net = get_maest("discogs-maest-10s-pw-129e", pretrained=False).eval()
    for name, format in (("w.safetensors", "safetensors"), ("ast", "ast"), ("net.onnx", "onnx")):
        export_model(net, tmp_path / name, format)  # onnx: compared with the network in there
    same(get_maest("discogs-maest-10s-pw-129e", checkpoint=tmp_path / "w.safetensors").state_dict(), net.state_dict())
    back = get_maest("discogs-maest-10s-pw-129e", checkpoint=tmp_path / "ast").eval()
    x = torch.randn(1, 96, 625)
    with torch.no_grad():
        torch.testing.assert_close(back(x)[0], net(x)[0], atol=1e-4, rtol=0)
