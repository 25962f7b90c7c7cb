"""SampleCNN against the reference's numbers, its layers and windows, and CLMR's weight files."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from models.clmr import SampleCNN, load_checkpoint
from models.errors import AudioError, ConfigError, WeightsError

FIXTURES = Path(__file__).parents[2] / "fixtures" / "clmr"
TINY = dict(channels=(4, 4, 6, 6, 8), strides=(3, 2, 3), out_dim=3)  # a window is 3 * 18 = 54 samples


@cache
def golden(name: str) -> dict[str, np.ndarray]:
    return dict(np.load(FIXTURES / f"{name}.npz"))


def small(**settings) -> SampleCNN:
    g = golden("samplecnn_small")
    net = SampleCNN(g["channels"].tolist(), out_dim=10, **settings)
    net.load_state_dict({k[3:]: torch.from_numpy(v) for k, v in g.items() if k.startswith("sd.")})
    return net.eval()


def wave() -> torch.Tensor:
    return torch.from_numpy(golden("samplecnn_small")["x"].astype("float32"))


def tiny(**settings) -> SampleCNN:
    torch.manual_seed(0)
    return SampleCNN(**{**TINY, **settings}).eval()


# ---- numbers
@torch.no_grad()
def test_small_network_gives_the_references_numbers():
    g, net = golden("samplecnn_small"), small()
    torch.testing.assert_close(net(wave()), torch.from_numpy(g["out_eval_logits"]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(net.features(wave()[:, 0]), torch.from_numpy(g["out_eval_features"]), rtol=1e-4, atol=1e-5)
    stage5 = net.encode(wave()[:, 0], [5])[0].transpose(1, 2)
    torch.testing.assert_close(stage5, torch.from_numpy(g["out_eval_after_stage5"]), rtol=1e-4, atol=1e-5)
    assert [net.layer_shape(k)[0] for k in range(11)] == g["stage_lengths"].tolist()


def test_small_network_trains_as_the_reference():
    g, net = golden("samplecnn_small"), small().train()
    out = net(torch.cat([torch.roll(wave(), -7001 * k, dims=2) for k in range(4)]))
    (out**2).mean().backward()
    conv, norm = net.sequential[0][0], net.sequential[0][1]
    torch.testing.assert_close(out.detach(), torch.from_numpy(g["out_train_logits"]), rtol=1e-3, atol=1e-4)
    for got, key in ((conv.weight.grad, "grad_conv0"), (net.fc.weight.grad, "grad_fc")):
        torch.testing.assert_close(got, torch.from_numpy(g[key]), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(norm.running_mean, torch.from_numpy(g["train_running_mean_bn0"]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, torch.from_numpy(g["train_running_var_bn0"]), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_full_width_gives_the_references_numbers():
    g, state = golden("samplecnn_full_outputs"), {}
    rng = np.random.default_rng(int(g["rng_seed"]))
    shapes = json.loads((FIXTURES / "samplecnn_state_dict_shapes.json").read_text())["state_dict"]
    for key, shape in shapes:
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(0)
            continue
        low, high, scale = -0.1, 0.1, 1.0
        if key.endswith("running_var"):
            low, high = 0.5, 1.5
        elif len(shape) > 1:
            low, high, scale = -1.0, 1.0, (6.0 / np.prod(shape[1:])) ** 0.5
        elif key.endswith("weight"):
            low, high = 0.8, 1.2
        state[key] = torch.from_numpy((rng.uniform(low, high, tuple(shape)) * scale).astype("float32"))
    net = SampleCNN()
    net.load_state_dict(state)
    assert sum(p.numel() for p in net.parameters()) == 2_394_162
    assert sum(p.numel() for p in SampleCNN(out_dim=None).parameters()) == 2_368_512
    x = torch.from_numpy(g["x"].astype("float32"))
    torch.testing.assert_close(net.eval()(x), torch.from_numpy(g["logits"]), rtol=1e-4, atol=1e-5)
    net.fc = torch.nn.Identity()
    torch.testing.assert_close(net(x), torch.from_numpy(g["features"]), rtol=1e-4, atol=1e-5)


# ---- sizes, layers, windows
@pytest.mark.parametrize("strides", [(3,) * 9, (3, 2, 3), (2, 4, 5), (5,)])
def test_a_window_of_any_strides_is_one_vector(strides):
    net = SampleCNN([2] * (len(strides) + 2), strides, out_dim=None).eval()
    assert net.window_length == 3 * int(np.prod(strides))
    assert net.encode(torch.randn(2, net.window_length)).shape == (1, 2, 1, 2)
    assert net.encode(torch.randn(1, 3 * net.window_length)).shape[2] == 3


def test_layers_are_block_outputs_and_the_last_is_h():
    net, x = tiny(), torch.randn(2, 54)
    torch.testing.assert_close(net.encode(x)[0, :, 0], net.features(x))
    torch.testing.assert_close(net.encode(x, [-1]), net.encode(x, [4]))
    assert net.encode(x, [1]).shape == (1, 2, 6, 4)
    assert net.layer_shape(1) == (6, 4)
    assert (net.features(x) >= 0).all()
    with pytest.raises(ValueError, match="unlike shape"):
        net.encode(x, [0, 4])


def test_embed_pads_what_is_shorter_than_a_window_and_takes_any_length():
    net = tiny()
    assert net.embed(np.zeros(20, np.float32), net.sample_rate).vectors.shape == (1, 1, 8)
    found = net.embed(np.random.default_rng(0).normal(0, 0.1, (540, 2)).astype(np.float32), net.sample_rate)
    assert found.vectors.shape == (10, 1, 8)
    np.testing.assert_allclose(found.times[:, 0] * net.sample_rate, 54 * np.arange(10), atol=1e-3)


def test_silence_has_finite_vectors():
    assert torch.isfinite(tiny()(torch.zeros(2, 54))).all()


@pytest.mark.parametrize("shape", [(2, 53), (2, 2, 54), (54,)])
def test_audio_that_does_not_fit_is_refused(shape):
    with pytest.raises(AudioError):
        tiny()(torch.zeros(shape))


def test_dropout_belongs_to_supervised_training():
    x = torch.rand(4, 54)
    net = tiny(supervised=True)
    still = net.features(x)
    net.dropout.train()
    assert (net.features(x) == 0).sum() > (still == 0).sum()
    assert net.state_dict().keys() == tiny().state_dict().keys()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"channels": (4, 4)}, "two more blocks"),
        ({"head": "deep"}, "linear or mlp"),
        ({"labels": ["a"]}, "1 labels"),
        ({"out_dim": 0}, "1 or more"),
    ],
)
def test_impossible_sizes_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        tiny(**settings)


# ---- weight files
def encoder_state(net: SampleCNN) -> dict[str, torch.Tensor]:
    return {k: v for k, v in net.state_dict().items() if not k.startswith("fc.")}


def published(net: SampleCNN, form: str) -> dict:
    width = net.channels[-1]
    projector = {"projector.0.weight": torch.zeros(width, width), "projector.2.weight": torch.zeros(2, width)}
    plain = {f"encoder.{k}": v for k, v in encoder_state(net).items()}
    if form == "plain":
        return {**plain, **projector}
    inner = {**{f"model.{k}": v for k, v in {**plain, **projector}.items()}, **plain}
    return {"pytorch-lightning_version": "1.1.0", "epoch": 3, "state_dict": inner}


@pytest.mark.parametrize("form", ["plain", "lightning"])
def test_published_encoders_load_strictly_whatever_their_size(tmp_path, form):
    net = tiny()
    torch.save(published(net, form), tmp_path / "clmr.pt")
    got = load_checkpoint(tmp_path / "clmr.pt")
    assert got.channels == net.channels
    assert got.strides == net.strides
    assert isinstance(got.fc, torch.nn.Identity)
    x = torch.randn(2, 54)
    assert torch.equal(got(x), net.features(x))
    filled = load_checkpoint(tmp_path / "clmr.pt", out_dim=5)
    assert (filled(x) == 0).all()


@pytest.mark.parametrize("head", ["linear", "mlp"])
@pytest.mark.parametrize("lightning", [False, True])
def test_published_heads_load(tmp_path, head, lightning):
    net = tiny(head=head)
    torch.save(published(net, "plain"), tmp_path / "clmr.pt")
    linears = [m for m in net.fc.modules() if isinstance(m, torch.nn.Linear)]
    state = {f"{2 * i}.{k}": v for i, m in enumerate(linears) for k, v in m.state_dict().items()}
    state = {"state_dict": {f"model.{k}": v for k, v in state.items()}} if lightning else state
    torch.save(state, tmp_path / "head.pt")
    got = load_checkpoint(tmp_path / "clmr.pt", head=tmp_path / "head.pt", labels=["a", "b", "c"])
    x = torch.randn(2, 54)
    assert torch.equal(got(x), net(x))
    assert got.settings == {**net.settings, "labels": ["a", "b", "c"]}


def test_weights_that_do_not_fit_are_named(tmp_path):
    net = tiny()
    state = published(net, "plain")
    torch.save(state, tmp_path / "clmr.pt")
    torch.save({"0.weight": torch.zeros(3, 7), "0.bias": torch.zeros(3)}, tmp_path / "wide.pt")
    with pytest.raises(WeightsError, match=r"reads 7 numbers, the encoder .* gives 8"):
        load_checkpoint(tmp_path / "clmr.pt", head=tmp_path / "wide.pt")
    with pytest.raises(WeightsError, match="no CLMR head"):
        load_checkpoint(tmp_path / "clmr.pt", head=tmp_path / "clmr.pt")
    with pytest.raises(WeightsError, match="no CLMR encoder"):
        load_checkpoint(tmp_path / "wide.pt")
    torch.save({k: v for k, v in state.items() if k != "encoder.sequential.2.1.bias"}, tmp_path / "less.pt")
    with pytest.raises(WeightsError, match=r"missing: sequential\.2\.1\.bias"):
        load_checkpoint(tmp_path / "less.pt")
    torch.save({**state, "encoder.sequential.2.7.bias": torch.zeros(1)}, tmp_path / "more.pt")
    with pytest.raises(WeightsError, match=r"unknown: sequential\.2\.7\.bias"):
        load_checkpoint(tmp_path / "more.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "clmr.pt").read_bytes()[:500])
    with pytest.raises(WeightsError, match="truncated"):
        load_checkpoint(tmp_path / "cut.pt")


class _Runs:
    def __reduce__(self):
        return (print, ("it ran",))


def test_pickled_hyper_parameters_are_refused_not_run(tmp_path, capsys):
    torch.save({"state_dict": published(tiny(), "plain"), "hyper_parameters": _Runs()}, tmp_path / "clmr.ckpt")
    with pytest.raises(WeightsError, match="could run code"):
        load_checkpoint(tmp_path / "clmr.ckpt")
    assert "it ran" not in capsys.readouterr().out
