"""Networks as ONNX files through onnxruntime; what a graph cannot be is refused."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import torch
from torch import nn

from models import export_model
from models.clmr import SampleCNN
from models.encoder import AudioEncoder
from models.errors import ConfigError, WeightsError
from models.export import export_formats
from models.frontend.mel_settings import MAEST as MAEST_MEL
from models.maest import MAEST
from models.omar_rq import OmarRQ
from models.weights.checkpoints import read_settings
from tests.models.test_export import network

GRAPHS = pytest.mark.parametrize(
    "change",
    [
        {"input_t": 64},
        {"input_t": 64, "distilled_type": "separated", "s_patchout_t_interleaved": 2, "s_patchout_f_indices": (0, 3)},
        {"input_t": 100, "distilled": False, "norm_mean": 1.5, "norm_std": 0.9},
    ],
)


@GRAPHS
def test_the_graph_is_the_network(change):
    from models.maest.graph import Graph

    net = network(**change)
    graph = Graph(net, [0, 2]).eval()
    wave = torch.randn(3, graph.mel.n_samples) * torch.tensor([[0.5], [1e-3], [0.0]])
    with torch.no_grad():
        mel = net.melspectrogram(wave)[..., : net.input_t]
        torch.testing.assert_close(graph.mel(wave), mel, atol=1e-4, rtol=0)
        _, probabilities, *tokens = graph(wave)
        torch.testing.assert_close(probabilities, net.probabilities(mel), atol=1e-5, rtol=0)
        torch.testing.assert_close(torch.stack(tokens), net.embed_blocks(mel, [0, 2]), atol=1e-3, rtol=1e-4)


@pytest.mark.slow
@GRAPHS
def test_onnx_runs_anywhere_with_any_batch(tmp_path, change):
    import onnxruntime

    net = network(**change).train()  # its mode is given back
    export_model(net, tmp_path / "net.onnx", "onnx")
    assert net.training
    net.eval()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.json", "net.onnx"]
    about = json.loads((tmp_path / "net.json").read_text())
    content = (tmp_path / "net.onnx").read_bytes()
    assert about["file"] == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (given,) = about["schema"]["inputs"]
    by_purpose = {o["output_purpose"]: o["name"] for o in about["schema"]["outputs"]}
    assert (given["name"], given["shape"]) == ("waveform", ["batch", 256 * net.input_t])
    assert about["classes"] == net.labels
    assert about["inference"]["sample_rate"] == 16000
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    for batch in (1, 4):
        wave = (np.random.default_rng(batch).standard_normal((batch, 256 * net.input_t)) * 0.1).astype(np.float32)
        names = [by_purpose["predictions"], "embeddings_block_0", "embeddings_block_2"]
        got = session.run(names, {"waveform": wave})
        with torch.no_grad():
            mel = net.melspectrogram(torch.from_numpy(wave))[..., : net.input_t]
            np.testing.assert_allclose(got[0], net.probabilities(mel).numpy(), atol=1e-5)
            np.testing.assert_allclose(np.stack(got[1:]), net.embed_blocks(mel, [0, 2]).numpy(), atol=1e-4)
            if net.distilled_type == "mean":
                np.testing.assert_allclose(session.run(["logits"], {"waveform": wave})[0], net(mel)[0].numpy(), atol=1e-4)


@pytest.mark.slow
def test_an_onnx_file_that_computes_something_else_is_not_left(tmp_path, monkeypatch):
    monkeypatch.setattr(MAEST, "probabilities", lambda self, mel: torch.zeros(len(mel), 7))
    with pytest.raises(WeightsError, match="activations is off"):
        export_model(network(input_t=64, depth=1), tmp_path / "net.onnx", "onnx", blocks=[0])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_file_without_embeddings(tmp_path):
    export_model(network(input_t=64, depth=1), tmp_path / "net.onnx", "onnx", blocks=[])
    outputs = json.loads((tmp_path / "net.json").read_text())["schema"]["outputs"]
    assert [o["name"] for o in outputs] == ["logits", "activations"]


def samplecnn(**settings) -> SampleCNN:
    """A narrow SampleCNN whose running statistics are its own."""
    torch.manual_seed(3)
    net = SampleCNN(**{"channels": [8, 8, 16, 32], "strides": [3, 3], "out_dim": 5, **settings})
    with torch.no_grad():
        net.train()(torch.randn(4, net.window_length))
    return net.eval()


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"labels": ["guitar", "drums", "slow", "techno", "no vocals"]}, {"head": "mlp"}])
def test_samplecnn_and_its_head_are_one_onnx_file(tmp_path, settings):
    import onnxruntime

    net = samplecnn(**settings)
    export_model(net, tmp_path / "net.onnx", "onnx")
    about = json.loads((tmp_path / "net.json").read_text())
    assert about["classes"] == (net.labels or ["0", "1", "2", "3", "4"])
    assert about["schema"]["inputs"] == [{"name": "waveform", "type": "float", "shape": ["batch", 27]}]
    assert about["inference"]["sample_rate"] == 22050
    assert {o["output_purpose"]: o["shape"] for o in about["schema"]["outputs"]} == {
        "logits": ["batch", 5],
        "predictions": ["batch", 5],
        "embeddings": ["batch", 32],
    }
    wave = torch.randn(3, 27)
    logits, activations, h = onnxruntime.InferenceSession(str(tmp_path / "net.onnx")).run(None, {"waveform": wave.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(logits, net(wave).numpy(), atol=1e-5)
        np.testing.assert_allclose(activations, net(wave).sigmoid().numpy(), atol=1e-5)
        np.testing.assert_allclose(h, net.features(wave).numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "format", "blocks", "words"),
    [
        ({"out_dim": None}, "onnx", None, "no head"),
        ({}, "ast", None, "family clmr are not exported as ast: choose safetensors or onnx"),
        ({}, "onnx", [1], "several embeddings"),
    ],
)
def test_what_samplecnn_cannot_be_is_refused(tmp_path, settings, format, blocks, words):
    with pytest.raises(ConfigError, match=words):
        export_model(samplecnn(**settings), tmp_path / "net.onnx", format, blocks)
    assert not list(tmp_path.iterdir())


class Loudness(AudioEncoder):
    """A family of its own that no folder holds: mean and peak of 8 kHz samples."""

    family, sample_rate, embed_dim, depth, max_seconds, embedding_rate = "loudness", 8000, 2, 1, 0.01, 100.0
    label_names = ["loud", "louder"]  # noqa: RUF012
    settings = {}  # noqa: RUF012

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor([1.0, 2.0]))

    def encode(self, audio, layers=None):
        x = audio.unflatten(1, (-1, 80))
        return (torch.stack([x.mean(2), x.amax(2)], dim=-1) * self.gain)[None]

    def window_logits(self, windows):
        return self.encode(windows)[0, :, 0]


class OfMels(Loudness):
    mel_settings = MAEST_MEL


@pytest.mark.slow
def test_a_network_that_reads_samples_has_a_graph_without_saying_so(tmp_path):
    import onnxruntime

    net = Loudness()
    assert export_formats(net) == ("safetensors", "onnx")
    export_model(net, tmp_path / "net.onnx", "onnx")
    about = json.loads((tmp_path / "net.json").read_text())
    assert (about["family"], about["classes"]) == ("loudness", ["loud", "louder"])
    x = torch.randn(5, 80)
    logits, activations, h = onnxruntime.InferenceSession(str(tmp_path / "net.onnx")).run(None, {"waveform": x.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(logits, net.window_logits(x).numpy(), atol=1e-6)
        np.testing.assert_allclose(activations, net.window_probabilities(x).numpy(), atol=1e-6)
        np.testing.assert_allclose(h, net.summaries(x, [0])[0].numpy(), atol=1e-6)


def test_a_family_without_a_graph_says_what_it_can_do(tmp_path):
    assert export_formats(OfMels()) == ("safetensors",)
    with pytest.raises(ConfigError, match="family loudness are not exported as onnx: choose safetensors"):
        export_model(OfMels(), tmp_path / "net.onnx", "onnx")
    assert read_settings(export_model(OfMels(), tmp_path / "net")) == {"family": "loudness"}
    with pytest.raises(ConfigError, match="no AudioEncoder"):
        export_model(nn.Linear(1, 1), tmp_path / "x")


@pytest.mark.slow
@pytest.mark.parametrize(
    "input", [{"name": "MelSpectrogram"}, {"name": "Waveform", "norm_std": None}], ids=["log-mels", "samples"]
)
def test_an_omar_rq_with_a_head_is_one_onnx_file(tmp_path, input):
    import onnxruntime

    torch.manual_seed(3)
    net = OmarRQ(embed_dim=16, depth=2, num_heads=2, max_seconds=1.0, input=input, out_dim=3, labels=["a", "b", "c"]).eval()
    export_model(net, tmp_path / "net.onnx", "onnx")
    about = json.loads((tmp_path / "net.json").read_text())
    assert (about["family"], about["classes"], about["inference"]["sample_rate"]) == ("omar_rq", ["a", "b", "c"], net.sr)
    wave = 0.1 * torch.randn(3, net.window_length)
    logits, activations, vectors = onnxruntime.InferenceSession(str(tmp_path / "net.onnx")).run(None, {"waveform": wave.numpy()})
    np.testing.assert_allclose(logits, net.window_logits(wave).detach().numpy(), atol=1e-4)
    np.testing.assert_allclose(activations, net.window_logits(wave).sigmoid().detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(vectors, net.extract_embeddings(wave).mean(2)[0].numpy(), atol=1e-4)
