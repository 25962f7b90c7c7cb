"""Other ways to the same linear maps and attention: values, gradients, and which calls take them."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from models import arithmetic
from models.arithmetic import Arithmetic, blocked_attention, computing, linear

needs_onednn = pytest.mark.skipif(not arithmetic.has_onednn(), reason="this torch has no oneDNN")


def close(a, b, tolerance):
    return float((a.double() - b.double()).abs().max()) <= tolerance * max(1e-3, float(b.double().abs().max()))


@needs_onednn
@pytest.mark.parametrize("shape", [(7, 16), (2, 5, 16), (3, 1, 4, 16)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_equals_torchs_with_gradients(shape, bias):
    torch.manual_seed(0)
    x, layer = torch.randn(shape), nn.Linear(16, 24, bias=bias)
    found = []
    for way in (F.linear, linear):
        x_, w, b = x.clone().requires_grad_(), layer.weight.detach().clone().requires_grad_(), None
        if bias:
            b = layer.bias.detach().clone().requires_grad_()
        y = way(x_, w, b)
        y.square().sum().backward()
        found.append([y.detach(), x_.grad, w.grad, *([b.grad] if bias else [])])
    assert all(a.shape == b.shape and close(b, a, 1e-5) for a, b in zip(*found))


@needs_onednn
def test_linear_of_frozen_weights_gives_only_the_wanted_gradients():
    x, w = torch.randn(4, 8, requires_grad=True), torch.randn(6, 8)
    linear(x, w).sum().backward()
    assert close(x.grad, w.sum(0).expand(4, 8), 1e-5)
    assert not linear(x.detach(), w).requires_grad


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("block", [1, 1 << 21])
def test_blocked_attention_equals_the_exact_one(dtype, tolerance, block, monkeypatch):
    monkeypatch.setattr(arithmetic, "_BLOCK", block)  # a head at a time, and all together
    torch.manual_seed(0)
    packed = torch.randn(2, 9, 3, 4, 8).to(dtype)
    wanted, found = (packed.to(kind).requires_grad_() for kind in (torch.float64, dtype))
    outs = []
    for x, way in ((wanted, F.scaled_dot_product_attention), (found, blocked_attention)):
        out = way(*x.permute(2, 0, 3, 1, 4).unbind(0))
        (out * torch.arange(8.0).to(out)).sum().backward()
        outs.append(out)
    assert outs[1].dtype == dtype
    assert close(outs[1].detach(), outs[0].detach(), tolerance)
    assert close(found.grad, wanted.grad, tolerance)
    with torch.no_grad():
        assert torch.equal(blocked_attention(*found.permute(2, 0, 3, 1, 4).unbind(0)), outs[1])


def test_the_default_is_torchs_own():
    x, layer = torch.randn(3, 8), nn.Linear(8, 8)
    with computing(Arithmetic()):
        inside = layer(x)
    assert torch.equal(inside, layer(x))


@pytest.fixture
def calls(monkeypatch):
    """How often each way was taken."""
    seen = {"linear": 0, "blocked_attention": 0}
    for name in seen:
        own = getattr(arithmetic, name)

        def counted(*args, name=name, own=own):
            seen[name] += 1
            return own(*args)

        monkeypatch.setattr(arithmetic, name, counted)
    return seen


@needs_onednn
def test_linear_maps_take_the_chosen_way_in_float32_alone(calls):
    layer = nn.Linear(8, 8)
    with computing(Arithmetic(onednn=True)):
        layer(torch.randn(3, 8))
        assert calls["linear"] == 1
        layer.double()(torch.randn(3, 8).double())
        with torch.autocast("cpu", torch.bfloat16):
            assert layer.float()(torch.randn(3, 8)).dtype == torch.bfloat16
        assert layer(torch.randn(0, 8)).shape == (0, 8)
        assert calls["linear"] == 1
    layer(torch.randn(3, 8))
    assert calls["linear"] == 1


def test_attention_takes_the_chosen_way_by_its_tokens(calls):
    def attend(n, **more):
        q, k, v = torch.randn(3, 1, 2, n, 4, requires_grad=more.pop("training", False)).unbind(0)
        return F.scaled_dot_product_attention(q, k, v, **more)

    with computing(Arithmetic(blocked_inference=6, blocked_training=4)):
        for n, more, taken in (
            (6, {}, True),
            (7, {}, False),
            (4, {"training": True}, True),
            (6, {"training": True}, False),
            (6, {"is_causal": True}, False),
            (6, {"dropout_p": 0.5}, False),
            (6, {"attn_mask": torch.ones(6, 6, dtype=torch.bool)}, False),
            (6, {"scale": 0.3}, False),
        ):
            before = calls["blocked_attention"]
            attend(n, **more)
            assert (calls["blocked_attention"] > before) is taken, (n, more)
        with torch.autocast("cpu", torch.bfloat16):
            assert attend(4).dtype == torch.bfloat16
