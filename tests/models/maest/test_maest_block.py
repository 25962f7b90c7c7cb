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


@pytest.mark.parametrize("kind", ["mean", "separated"])
@pytest.mark.parametrize("recomputes", [False, True])
def test_heads_read_what_the_whole_last_block_says(kind, recomputes):
    torch.manual_seed(0)
    net = MAEST(input_t=125, n_classes=5, embed_dim=C, depth=2, num_heads=4, distilled_type=kind)
    net.gradient_checkpointing = recomputes
    mel = torch.randn(2, 96, 125)
    for training in (False, True):
        net.train(training)
        tokens, _ = net.tokens(mel, torch.Generator().manual_seed(0))
        whole = net.classify(net._run(tokens, [1])[0])
        found = net(mel, melspectrogram_input=True, generator=torch.Generator().manual_seed(0))
        assert len(found) == len(whole)
        for one, other in zip(found, whole):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_the_last_block_computes_no_others():
    """Twelve blocks cost what eleven and a quarter do: the last one's keys and values are all that grows with the tokens."""
    net = MAEST(input_t=625, n_classes=5, embed_dim=C, depth=12, num_heads=4).eval()
    mel = torch.randn(1, 96, 625)
    counts = []
    for ask in (lambda: net(mel, melspectrogram_input=True), lambda: net(mel, 11, melspectrogram_input=True)):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            ask()
        counts.append(counter.get_total_flops())
    assert counts[0] / counts[1] < 11.3 / 12
