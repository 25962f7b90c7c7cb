"""What calls of music2vec and MERT give, for users of transformers: attributes, names in brackets, places, as their outputs have them."""

from __future__ import annotations

import pytest
import torch

from models import registry
from tests.models.small_networks import SMALL


@pytest.mark.parametrize("family", ["mert", "music2vec"])
def test_outputs_are_read_as_those_of_transformers(family):
    name, settings = SMALL[family]
    net = registry.family_package(family).build(name, pretrained=False, **settings).eval()
    x = torch.randn(2, 3000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        last, every, named = net(x), net(input_values=x, output_hidden_states=True), net(input_values=x, return_dict=True)
    assert len(every.hidden_states) == net.depth + 1
    for got in (
        every.last_hidden_state,
        every["last_hidden_state"],
        every[0],
        every.hidden_states[-1],
        every[1][-1],
        named.last_hidden_state,
    ):
        torch.testing.assert_close(got, last, atol=0, rtol=0)
    assert every["hidden_states"] is every.hidden_states
    assert named.hidden_states is None
    states, *rest = every
    assert states is every.last_hidden_state
    assert len(rest) == 1
