"""A probe that ex_tl.py trained on SampleCNN's vectors becomes the network's head: same logits, named classes, one ONNX file."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from models import export_model
from models.clmr import SampleCNN, load_checkpoint
from models.errors import WeightsError
from models.heads import ProbeHead

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
    from helpers.probe import ProbeSettings, Split, run_probe

    rng = np.random.default_rng(0)

    def split(name: str) -> Split:
        return Split(name, [f"{name}{i}" for i in range(40)], rng.random((40, 16), np.float32), rng.random((40, 3)) > 0.5)

    settings = ProbeSettings(max_epochs=1, hidden=16, standardise=True)
    run_probe("x", split("train"), split("validation"), split("test"), LABELS, seeds=(0,), settings=settings).save(tmp_path)
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
