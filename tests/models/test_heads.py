from __future__ import annotations

import pytest
import torch

from models.errors import ConfigError
from models.heads import ProbeHead


def test_two_layers_are_the_written_formula():
    torch.manual_seed(0)
    head = ProbeHead(6, 3, hidden=5, activation="relu", dropout=0.5).eval()
    x = torch.randn(4, 6)
    first, second = head.linears
    want = torch.relu(x @ first.weight.T + first.bias) @ second.weight.T + second.bias
    torch.testing.assert_close(head(x), want)


@pytest.mark.parametrize(("num_layers", "shapes"), [(1, [(3, 6)]), (2, [(5, 6), (3, 5)]), (4, [(5, 6), (5, 5), (5, 5), (3, 5)])])
def test_depth(num_layers, shapes):
    head = ProbeHead(6, 3, hidden=5, num_layers=num_layers)
    assert [tuple(linear.weight.shape) for linear in head.linears] == shapes
    assert head(torch.zeros(2, 6)).shape == (2, 3)


def test_one_layer_is_linear_in_training_too():
    head = ProbeHead(6, 3, num_layers=1).train()
    x, y = torch.randn(2, 4, 6)
    torch.testing.assert_close(head(x + y) + head(torch.zeros_like(x)), head(x) + head(y))


def test_dropout_is_where_it_is_asked_for():
    torch.manual_seed(0)
    x = torch.ones(8, 64)
    hidden = ProbeHead(64, 3, dropout=0.9).train()
    assert not torch.equal(hidden(x)[0], hidden(x)[1])
    inputs = ProbeHead(64, 3, num_layers=1, input_dropout=0.5).train()
    assert not torch.equal(inputs(x)[0], inputs(x)[1])
    assert torch.equal(inputs.eval()(x)[0], inputs.eval()(x)[1])


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"hidden": 0}, "hidden is 0"),
        ({"num_layers": 0}, "num_layers is 0"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"input_dropout": -0.1}, "input_dropout is -0.1"),
        ({"activation": "relo"}, "Did you mean 'relu'"),
    ],
)
def test_impossible_settings_are_refused(settings, match):
    with pytest.raises(ConfigError, match=match):
        ProbeHead(6, 3, **settings)
