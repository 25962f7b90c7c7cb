"""The transformer block: what its first tokens alone become, and that the network's heads wait for no others."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from models.arithmetic import Arithmetic, computing
from models.maest import MAEST
from models.maest.block import Block

N, C = 37, 32


@pytest.fixture
def block() -> Block:
    torch.manual_seed(0)
    return Block(C, 4, 4.0, torch.nn.LayerNorm)


@pytest.mark.parametrize("first", [1, 2, N])
@pytest.mark.parametrize("way", [Arithmetic(), Arithmetic(onednn=True, blocked_inference=N, blocked_training=N)])
def test_the_first_tokens_are_those_of_the_whole(block, first, way):
    """And so are the gradients of what they are made of."""
    x = torch.randn(3, N, C, requires_grad=True)
    wanted = [x, *block.parameters()]
    with computing(way):
        whole, part = block(x)[:, :first], block(x, first)
        assert part.shape == (3, first, C)
        torch.testing.assert_close(part, whole, rtol=1e-5, atol=1e-6)
        weights = torch.randn(3, first, C)
        for one, other in zip(*(torch.autograd.grad((y * weights).sum(), wanted) for y in (part, whole))):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


class Doubling(torch.nn.Linear):
    """As an adapter is: its weight is not all that it computes."""

    def forward(self, x):
        return 2 * super().forward(x)


def test_what_stands_in_for_queries_keys_and_values_is_called(block):
    x = torch.randn(2, N, C)
    seen = []
    hook = block.attn.qkv.register_forward_hook(lambda layer, given, out: seen.append(out.shape))
    block(x, 2)
    assert seen == [(2, N, 3 * C)]
    hook.remove()
    other = Doubling(C, 3 * C)
    other.load_state_dict(block.attn.qkv.state_dict())
    block.attn.qkv = other
    torch.testing.assert_close(block(x, 2), block(x)[:, :2], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [{}, {"distilled_type": "separated"}, {"distilled": False}, {"depth": 1}])
@pytest.mark.parametrize("recomputes", [False, True])
def test_heads_read_what_the_whole_last_block_says(shape, recomputes):
    torch.manual_seed(0)
    net = MAEST(**{**dict(input_t=125, n_classes=5, embed_dim=C, depth=2, num_heads=4), **shape})
    net.gradient_checkpointing = recomputes
    mel = torch.randn(2, 96, 125)
    for training in (False, True):
        net.train(training)
        tokens, _ = net.tokens(mel, torch.Generator().manual_seed(0))
        whole = net.classify(net._run(tokens, [net.depth - 1])[0])
        found = net(mel, melspectrogram_input=True, generator=torch.Generator().manual_seed(0))
        assert len(found) == len(whole)
        for one, other in zip(found, whole):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_the_last_block_computes_no_others():
    """Twelve blocks cost what a little more than eleven do: the last one's keys and values are all of it that grows with the tokens."""
    net = MAEST(input_t=625, n_classes=5, embed_dim=C, depth=12, num_heads=4).eval()
    mel = torch.randn(1, 96, 625)
    counts = []
    for ask in (lambda: net(mel, melspectrogram_input=True), lambda: net(mel, 11, melspectrogram_input=True)):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            ask()
        counts.append(counter.get_total_flops())
    assert counts[0] / counts[1] < 11.25 / 12


def test_features_beside_blocks_are_those_alone():
    torch.manual_seed(0)
    net = MAEST(input_t=125, n_classes=5, embed_dim=C, depth=3, num_heads=4).eval()
    mel = torch.randn(2, 96, 125)
    (alone,) = net.summaries(mel, [-1])
    for layers in ([-1, 1], [1, -1], [-1, 2], [0, -1, 2]):
        found = dict(zip(layers, net.summaries(mel, layers)))
        torch.testing.assert_close(found.pop(-1), alone, rtol=1e-5, atol=1e-6)
        for layer, tokens in found.items():
            assert torch.equal(tokens, net.embed_blocks(mel, [layer])[0])
