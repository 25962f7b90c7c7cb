"""The global generators give the same numbers again once their states are restored, from a checkpoint of several processes too."""

import random

import numpy as np
import pytest
import torch

from helpers.training.rng_state import get_rng_state, set_rng_state

CPU = torch.device("cpu")


def draw():
    torch_numbers = torch.rand(3).tolist() + torch.randn(5).tolist()
    return torch_numbers, np.random.rand(3).tolist(), np.random.normal(size=3).tolist(), random.random(), random.gauss(0, 1)


@pytest.mark.parametrize("process", [0, 1])
def test_what_is_drawn_is_drawn_again(tmp_path, process):
    torch.manual_seed(1), np.random.seed(2), random.seed(3)
    draw()  # both normal generators now hold a second number back
    state = get_rng_state(CPU)
    want = draw()
    other = {name: torch.zeros_like(value) for name, value in state.items()}
    parts = [state, other] if process == 0 else [other, state]
    torch.save({name: torch.stack([part[name] for part in parts]) for name in state}, tmp_path / "saved")
    saved = torch.load(tmp_path / "saved", weights_only=True)
    draw()
    set_rng_state({name: values[process] for name, values in saved.items()}, CPU)
    assert draw() == want
