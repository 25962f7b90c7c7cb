"""Gradients written by hand, beside autograd's."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from helpers.metrics.losses import loss_of
from helpers.probe.head_step import Draws, HeadStep, product
from helpers.probe.head_training import initial_head
from helpers.runtime import devices


@pytest.mark.parametrize("loss", ["bce", "ce", "mse", "bce_boundary"])
@pytest.mark.parametrize(
    "head",
    [
        {"num_layers": 1},
        {"num_layers": 2},
        {"num_layers": 3, "activation": "gelu", "dropout": 0.2},
        {"num_layers": 2, "activation": "tanh", "input_dropout": 0.3},
        {"num_layers": 2, "mixed_layers": 4, "input_dropout": 0.2},
        {"num_layers": 1, "mixed_layers": 3},
    ],
)
def test_gradients_are_autograds(loss, head):
    torch.manual_seed(0)
    net = initial_head(1, 10, 5, hidden=8, **head)
    k = head.get("mixed_layers", 0)
    if k:
        net.layer_logits.data.normal_()
    x = torch.randn(6, k, 10) if k else torch.randn(6, 10)
    y = torch.nn.functional.one_hot(torch.arange(6) % 5, 5).float()
    step = HeadStep(net, loss, 0.0, True)
    got_loss, got = step.gradients(x.clone(), y.clone(), Draws(3, 0))
    draws = Draws(3, 0)
    z = net.mix(x)
    if net.input_dropout:
        z = z * draws.keep(z.shape, net.input_dropout)
    activation = {"relu": torch.relu, "tanh": torch.tanh, "gelu": torch.nn.functional.gelu}[net.activation]
    for i, linear in enumerate(net.linears):
        z = linear(z)
        if i < len(net.linears) - 1:
            z = activation(z)
            z = z * draws.keep(z.shape, net.dropout) if net.dropout else z
    want_loss = loss_of(loss, z, y)
    parameters = [p for linear in net.linears for p in (linear.weight, linear.bias)] + ([net.layer_logits] if k else [])
    want = torch.autograd.grad(want_loss, parameters)
    assert got_loss == pytest.approx(float(want_loss.detach()), rel=1e-6)
    assert len(got) == len(want)
    for a, b in zip(got, want):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)
    assert torch.equal(y, torch.nn.functional.one_hot(torch.arange(6) % 5, 5).float())  # the caller's tensors stay as they are


def test_dropout_keeps_its_share_and_the_mean():
    keep = Draws(0, 0).keep((400, 500), 0.2).numpy()
    assert set(np.unique(keep).tolist()) == {0.0, np.float32(1.25)}
    assert (keep == 0).mean() == pytest.approx(0.2, abs=0.005)
    assert keep.mean() == pytest.approx(1.0, abs=0.005)
    assert not np.array_equal(keep, Draws(0, 1).keep((400, 500), 0.2).numpy())
    np.testing.assert_array_equal(keep, Draws(0, 0).keep((400, 500), 0.2).numpy())


@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize("fast_bf16", [True, False])
def test_products_are_those_of_any_processor(monkeypatch, onednn, fast_bf16):
    import helpers.probe.head_step as module

    if onednn and not torch.backends.mkldnn.is_available():
        pytest.skip("torch was built without oneDNN")
    monkeypatch.setattr(module, "_through_onednn", lambda: onednn)
    monkeypatch.setattr(module, "_fast_bf16", lambda: fast_bf16)
    a, b, bias = torch.randn(5, 7), torch.randn(3, 7), torch.randn(3)
    torch.testing.assert_close(product(a, b, bias), a @ b.t() + bias)
    torch.testing.assert_close(product(a.t().contiguous().t(), b), a @ b.t())
    low = product(a.bfloat16(), b.bfloat16(), bias)
    assert low.dtype == torch.float32
    exact = a.bfloat16().double() @ b.bfloat16().double().t()  # only the result is rounded, to 8 bits
    torch.testing.assert_close((low - bias).double(), exact, atol=1e-5, rtol=2**-8)


@pytest.mark.parametrize("faster", [True, False])
def test_products_take_the_way_that_was_measured(monkeypatch, tmp_path, faster):
    """Whatever the processor's name and flags: its figures decide."""
    import helpers.probe.head_step as module

    figures = {
        f"layer-768/{way}/training": s for way, s in (("float32", 1.0), ("onednn", 0.5 if faster else 1.0), ("bfloat16", 0.1))
    }
    (tmp_path / "figures.json").write_text(json.dumps({"seconds": figures}))
    monkeypatch.setenv("MAEST_MACHINE", str(tmp_path / "figures.json"))
    monkeypatch.setattr(devices, "has_onednn", lambda: True)
    calls = []
    monkeypatch.setattr(module, "linear", lambda *args: calls.append("onednn") or torch.nn.functional.linear(*args))
    for function in (module._through_onednn, module._fast_bf16):
        function.cache_clear()
    try:
        product(torch.ones(2, 3), torch.ones(4, 3))
        assert calls == ["onednn"] * faster
        assert module._fast_bf16()
        monkeypatch.setattr(devices, "has_onednn", lambda: False)
        assert not devices.faster_through_onednn(training=True)
    finally:
        for function in (module._through_onednn, module._fast_bf16):
            function.cache_clear()


def test_the_golden_mlp_and_its_loss(fixtures):
    """probe_maest.npz: logits and mean BCE of a 24-16-5 MLP in eval mode."""
    golden = np.load(fixtures / "clmr" / "probe_maest.npz")
    net = initial_head(0, 24, 5, hidden=16, dropout=0.0).eval()
    with torch.no_grad():
        for linear, k in zip(net.linears, "12"):
            linear.weight.copy_(torch.from_numpy(golden[f"mlp_w{k}"]))
            linear.bias.copy_(torch.from_numpy(golden[f"mlp_b{k}"]))
        x, y = torch.from_numpy(golden["mlp_x"]).float(), torch.from_numpy(golden["mlp_y"]).float()
        torch.testing.assert_close(net(x), torch.from_numpy(golden["mlp_logits"]).float(), atol=1e-5, rtol=1e-4)
        loss, _ = HeadStep(net, "bce", 0.0, True).gradients(x, y, Draws(0, 0))  # what training computes, without dropout
    assert loss == pytest.approx(float(golden["mlp_bce"]), abs=1e-5)
