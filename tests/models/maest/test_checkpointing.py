"""Blocks that are computed again for the gradients give the same gradients."""

import pytest
import torch

from helpers.families.checkpointing import checkpoint_gradients
from models.arithmetic import Arithmetic, computing
from models.clmr import SampleCNN
from models.errors import ConfigError
from models.maest import MAEST


@pytest.mark.parametrize("ways", [Arithmetic(), Arithmetic(blocked_training=1000)])
def test_gradients_are_the_same(ways):
    torch.manual_seed(0)
    net = MAEST(input_t=60, n_classes=5, embed_dim=16, depth=2, num_heads=2, s_patchout_t=2).train()
    mel, found = torch.randn(2, 96, 60), []
    for again in (False, True):
        if again:
            checkpoint_gradients(net, "trainer.gradient_checkpointing")
        net.zero_grad()
        with computing(ways):
            loss = net(mel, generator=torch.Generator().manual_seed(1))[0].square().sum()
        loss.backward()
        found.append([p.grad.clone() for p in net.parameters() if p.grad is not None])
    assert all(torch.equal(a, b) for a, b in zip(*found))
    with torch.no_grad():
        assert net.eval()(mel)[0].shape == (2, 5)


def test_a_network_without_such_a_way_refuses():
    with pytest.raises(ConfigError, match=r"finetune.gradient_checkpointing.*clmr"):
        checkpoint_gradients(SampleCNN(), "finetune.gradient_checkpointing")
