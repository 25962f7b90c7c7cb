"""A probe that ex_tl.py trained on SampleCNN's vectors becomes the network's head: same logits, named classes, one ONNX file."""

from __future__ import annotations

import json
import logging

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import save_file

from models import export_model
from models.clmr import SampleCNN, load_checkpoint
from models.errors import ConfigError, WeightsError
from models.heads import ProbeHead
from models.weights.head_origin import LAYER, SHA, weights_sha256

LABELS = ["guitar", "drums, loud", "no vocals"]


@pytest.fixture
def encoder(tmp_path):
    torch.manual_seed(2)
    net = SampleCNN(channels=[4, 4, 8, 16], strides=[3, 3], out_dim=None)
    with torch.no_grad():
        net.train()(torch.randn(8, net.window_length))
    export_model(net.eval(), tmp_path / "encoder.safetensors")
    return net, tmp_path / "encoder.safetensors"


def save_probe(path, head: ProbeHead, standardised: bool = False, **about: str):
    """As ProbeResult.save writes it; the standardisation [D], or none."""
    state = {k: v.contiguous() for k, v in head.state_dict().items()}
    if standardised:
        state |= {"input_shift": torch.rand(16), "input_scale": torch.rand(16) + 0.5}
    save_file(state, path, metadata={"labels": "\n".join(LABELS), "activation": head.activation, **about})
    return state


@pytest.mark.parametrize("standardised", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_probe_becomes_the_head(encoder, tmp_path, layers, standardised):
    net, path = encoder
    probe = ProbeHead(16, 3, hidden=16, num_layers=layers).eval()
    state = save_probe(tmp_path / "head.safetensors", probe, standardised)
    whole = load_checkpoint(path, tmp_path / "head.safetensors")
    assert (whole.label_names, whole.head) == (LABELS, "linear" if layers == 1 else "mlp")
    wave = torch.randn(5, 27)
    with torch.no_grad():
        h = net.features(wave)
        h = (h - state["input_shift"]) / state["input_scale"] if standardised else h
        torch.testing.assert_close(whole(wave), probe(h), atol=1e-5, rtol=1e-5)


def test_what_a_probe_saves_is_what_is_read(encoder, tmp_path):
    """The file of helpers.probe itself."""
    from helpers.probe.run import ProbeSettings, Split, run_probe

    rng = np.random.default_rng(0)

    def split(name: str) -> Split:
        return Split(name, [f"{name}{i}" for i in range(40)], rng.random((40, 16), np.float32), rng.random((40, 3)) > 0.5)

    settings = ProbeSettings(max_epochs=1, hidden=16, standardise=True)
    run_probe("x", (split("train"), split("validation"), split("test")), LABELS, seeds=(0,), settings=settings).save(tmp_path)
    assert load_checkpoint(encoder[1], tmp_path / "head.safetensors").label_names == LABELS


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (ProbeHead(16, 3, hidden=16, activation="gelu"), "gelu"),
        (ProbeHead(16, 3, hidden=8), "8 hidden units"),
        (ProbeHead(16, 3, hidden=16, num_layers=3), "3 linear layers"),
        (ProbeHead(16, 3, num_layers=1, mixed_layers=2), "several layers"),
        (ProbeHead(8, 3, num_layers=1), "reads 8 numbers"),
    ],
)
def test_probes_that_do_not_fit_are_refused(encoder, tmp_path, head, words):
    save_probe(tmp_path / "head.safetensors", head)
    with pytest.raises(WeightsError, match=words):
        load_checkpoint(encoder[1], tmp_path / "head.safetensors")


@pytest.mark.slow
def test_the_command_writes_encoder_and_head_as_one_file(encoder, tmp_path, monkeypatch):
    import ex_ssl

    monkeypatch.chdir(tmp_path)
    handlers = logging.getLogger().handlers
    save_probe(tmp_path / "head.safetensors", ProbeHead(16, 3, num_layers=1))
    updates = {
        "trainer.accelerator": "cpu",
        "clmr.checkpoint": str(encoder[1]),
        "export": {"format": "onnx", "out": str(tmp_path / "net.onnx")},
    }
    try:
        ex_ssl.ex.run("export", config_updates={**updates, "clmr.head_checkpoint": str(tmp_path / "head.safetensors")})
        assert json.loads((tmp_path / "net.json").read_text())["classes"] == LABELS
        with pytest.raises(ValueError, match="no head"):
            ex_ssl.ex.run("export", config_updates=updates)
    finally:
        logging.getLogger().handlers = handlers


@pytest.mark.slow
def test_classes_that_exclude_each_other_add_up_to_1_at_every_door(encoder, tmp_path):
    net, path = encoder
    torch.manual_seed(5)
    head = ProbeHead(16, 3, hidden=16, num_layers=1)
    save_probe(tmp_path / "one.safetensors", head, loss="ce")
    save_probe(tmp_path / "tags.safetensors", head, loss="bce")
    one, tags = (load_checkpoint(path, head=tmp_path / f"{name}.safetensors") for name in ("one", "tags"))
    waves = torch.randn(4, net.window_length)
    logits = one.window_logits(waves)
    torch.testing.assert_close(one.window_probabilities(waves), logits.softmax(1))
    torch.testing.assert_close(tags.window_probabilities(waves), logits.sigmoid())
    heard = one.tag(waves.reshape(-1).numpy(), 22050)
    assert heard.exclusive
    assert heard.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert not tags.tag(waves.reshape(-1).numpy(), 22050).exclusive
    export_model(one, tmp_path / "again.safetensors")
    assert load_checkpoint(tmp_path / "again.safetensors").exclusive  # a file of the network itself says it too
    export_model(one, tmp_path / "one.onnx", "onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "one.onnx"), providers=["CPUExecutionProvider"])
    (found,) = session.run(["activations"], {"waveform": waves.numpy()})
    np.testing.assert_allclose(found, logits.softmax(1).detach().numpy(), atol=1e-5)
    described = json.loads((tmp_path / "one.json").read_text())["schema"]["outputs"]
    assert next(out["op"] for out in described if out["name"] == "activations") == "Softmax"


def test_a_probe_of_values_is_no_tagger(encoder, tmp_path):
    save_probe(tmp_path / "values.safetensors", ProbeHead(16, 3, hidden=16, num_layers=1), loss="mse")
    with pytest.raises(WeightsError, match="no classes"):
        load_checkpoint(encoder[1], head=tmp_path / "values.safetensors")


def test_a_head_of_another_encoder_is_refused_in_python_too(encoder, tmp_path):
    net, path = encoder
    head = ProbeHead(16, 3, hidden=16, num_layers=1)
    save_probe(tmp_path / "own.safetensors", head, **{SHA: weights_sha256(net), LAYER: "3"})
    assert load_checkpoint(path, head=tmp_path / "own.safetensors").label_names == LABELS
    save_probe(tmp_path / "other.safetensors", head, **{SHA: "f" * 64, LAYER: "3"})
    with pytest.raises(ConfigError, match="embeddings of other weights"):
        load_checkpoint(path, head=tmp_path / "other.safetensors")


def test_only_a_hidden_layer_needs_relu_and_it_must_say_so(encoder, tmp_path):
    save_probe(tmp_path / "linear.safetensors", ProbeHead(16, 3, num_layers=1, activation="gelu"))
    assert load_checkpoint(encoder[1], head=tmp_path / "linear.safetensors").n_classes == 3
    hidden = {f"layers.{k}.{kind}": v for k, pair in ((0, (16, 16)), (1, (3, 16))) for kind, v in
              (("weight", torch.zeros(pair)), ("bias", torch.zeros(pair[0])))}  # fmt: skip
    save_file(hidden, tmp_path / "silent.safetensors")
    with pytest.raises(WeightsError, match="activation unknown"):
        load_checkpoint(encoder[1], head=tmp_path / "silent.safetensors")
