"""LARS by hand, its exclusion of biases and norms, and the optimiser settings of the self-supervised commands."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from configs.schema import Trainer
from configs.ssl import Optimizer
from helpers.families.optimization import optimization
from helpers.training.lars import Lars, lars_groups
from models.errors import ConfigError


def test_two_updates_by_hand():
    w = nn.Parameter(torch.tensor([[3.0, 4.0]]))
    optimizer = Lars([w], lr=0.5, weight_decay=0.1, momentum=0.9, trust_coefficient=0.01)
    value, velocity = torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2)
    for gradient in ([[1.0, -2.0]], [[0.5, 0.0]]):
        w.grad = torch.tensor(gradient)
        optimizer.step()
        update = w.grad + 0.1 * value
        velocity = 0.9 * velocity + 0.5 * 0.01 * value.norm() / update.norm() * update
        value = value - velocity
        torch.testing.assert_close(w.data, value)


def test_biases_and_norms_are_excluded():
    net = nn.Sequential(nn.Conv1d(1, 2, 3), nn.BatchNorm1d(2))
    groups = lars_groups([{"params": net.parameters(), "lr": 0.2}])
    assert [[tuple(p.shape) for p in g["params"]] for g in groups] == [[(2, 1, 3)], [(2,), (2,), (2,)]]
    assert (groups[1]["adapt"], groups[1]["weight_decay"], groups[1]["lr"]) == (False, 0.0, 0.2)
    optimizer = Lars(groups, lr=0.1, weight_decay=0.5)
    before = net[1].weight.detach().clone()
    for p in net.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    torch.testing.assert_close(net[1].weight.data, before - 0.2)  # plain descent: no decay, no adaptation


def test_weights_of_zero_still_move():
    w = nn.Parameter(torch.zeros(2, 2))
    w.grad = torch.ones(2, 2)
    Lars([w], lr=0.1, weight_decay=0.0).step()
    assert torch.equal(w.data, torch.full((2, 2), -0.1))


def test_rates_and_schedules_of_the_config():
    o, t = Optimizer(), Trainer(max_epochs=100, devices=4, num_nodes=2)
    assert (optimization(o, t, 48).lr, optimization(o, t, 48).name) == (3e-4, "adam")
    found = optimization(Optimizer(name="lars", lr=None, schedule_mode="cosine"), t, 64)
    assert found.lr == pytest.approx(0.3 * 64 * 8 / 256)
    assert [found.schedule(e) for e in (0, 50, 100, 200)] == pytest.approx([1, 0.5, 0, 0])
    assert found.schedule(25) == pytest.approx((1 + math.cos(math.pi / 4)) / 2)
    assert optimization(Optimizer(schedule_mode="plateau"), t, 48).plateau == (0.2, 5)
    with pytest.raises(ConfigError, match="devices as a number"):
        optimization(Optimizer(lr=None), Trainer(devices="auto"), 48)
