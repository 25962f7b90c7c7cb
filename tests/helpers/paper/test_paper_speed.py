"""The speed of patchout at inference: amounts beside each other, and what is refused."""

from __future__ import annotations

import pytest
import torch

from helpers.paper.patchout_speed import patchout_speed
from helpers.paper.tables.maest import PATCHOUT, patchout_updates
from models import export_model
from models.maest import MAEST


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    net = MAEST(input_t=312, n_classes=3, embed_dim=32, depth=2, num_heads=4, stride=(16, 16))
    return str(export_model(net, tmp_path_factory.mktemp("speed") / "net"))


def settings(*amounts):
    return {amount: {k.removeprefix("maest."): v for k, v in patchout_updates(amount).items()} for amount in amounts}


def test_every_amount_is_timed_beside_the_first(model):
    found = patchout_speed(model, settings(*PATCHOUT), 5.0, 2, 1)
    assert list(found) == list(PATCHOUT)
    assert found["none"] == 1.0
    assert all(ratio > 0 for ratio in found.values())


def test_amounts_leave_out_what_they_say(model):
    from models import load_model

    tokens = {}
    for amount, kwargs in settings("none", "t2", "t2 f3").items():
        net = load_model(model, **kwargs)
        tokens[amount] = net.tokens(torch.zeros(1, 96, 312), None)[0].shape[1] - 2  # without CLS and DIST
    assert tokens == {"none": 6 * 19, "t2": 6 * 10, "t2 f3": 2 * 10}


@pytest.mark.parametrize(("amounts", "rounds"), [((), 1), (("none",), 0)])
def test_no_round_or_amount_is_refused(model, amounts, rounds):
    with pytest.raises(ValueError, match="one round and one amount"):
        patchout_speed(model, settings(*amounts), 5.0, 1, rounds)
