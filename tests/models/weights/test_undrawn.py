"""Networks built without drawing: nothing is drawn, everything is filled, buffers are computed, and what a file lacks is refused."""

import threading

import pytest
import torch
from torch import nn

from models.errors import WeightsError
from models.maest import MAEST, convert
from models.weights.undrawn import build_filled, fill, undrawn

SMALL = {"input_t": 125, "n_classes": 5, "embed_dim": 16, "depth": 2, "num_heads": 2}


class Net(nn.Module):
    """Parameters, a buffer that files hold, one that none holds, and a counter that they may lack."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.norm = nn.BatchNorm1d(2)
        self.fixed = nn.Parameter(torch.ones(2), requires_grad=False)
        self.register_buffer("table", torch.arange(4.0))
        self.register_buffer("window", torch.hann_window(8), persistent=False)


def test_nothing_is_drawn_and_everything_is_filled():
    torch.manual_seed(1)
    state = Net().state_dict()
    before = torch.get_rng_state()
    got = build_filled(Net, state, "FILE")
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(got.state_dict()[name], value) for name, value in state.items())
    assert torch.equal(got.window, torch.hann_window(8))
    assert [p.requires_grad for p in got.parameters()] == [p.requires_grad for p in Net().parameters()]


def test_the_numbers_are_copies_in_the_networks_own_type():
    state = {name: value.double() if value.is_floating_point() else value for name, value in Net().state_dict().items()}
    got = build_filled(Net, state, "FILE")
    assert got.linear.weight.dtype == torch.float32
    state = Net().state_dict()
    got = build_filled(Net, state, "FILE")
    state["linear.weight"].zero_()
    assert got.linear.weight.abs().sum() > 0


def test_counters_may_be_missing_and_nothing_else():
    state = {name: value for name, value in Net().state_dict().items() if name != "norm.num_batches_tracked"}
    assert build_filled(Net, state, "FILE").norm.num_batches_tracked == 0
    for name in state:
        with pytest.raises(WeightsError, match=rf"weights of FILE do not fit this Net: missing: {name}\."):
            build_filled(Net, {k: v for k, v in state.items() if k != name}, "FILE")


def test_what_stays_without_numbers_is_an_error():
    with undrawn():
        net = Net()
    with pytest.raises(RuntimeError, match="nothing brought those of linear.bias"):
        fill(net, {k: v for k, v in Net().state_dict().items() if k != "linear.bias"})


def test_only_this_thread_and_only_in_the_block():
    made = []
    with undrawn():
        thread = threading.Thread(target=lambda: made.append(nn.Linear(2, 2)))
        thread.start()
        thread.join()
        with pytest.raises(ZeroDivisionError), undrawn():
            1 / 0  # noqa: B018
    made.append(nn.Linear(2, 2))
    assert not any(p.is_meta for net in made for p in net.parameters())


def test_a_maest_of_a_whole_file_is_drawn_nowhere_and_a_fresh_head_as_ever():
    torch.manual_seed(0)
    state = MAEST(**SMALL).state_dict()
    before = torch.get_rng_state()
    got = convert.build(lambda: MAEST(**SMALL), state, "maest", "FILE")
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, state[name]) for name, value in got.state_dict().items())
    torch.manual_seed(3)
    made = convert.build(lambda: MAEST(**{**SMALL, "n_classes": 7}), state, "maest", "FILE")
    torch.manual_seed(3)
    wanted = MAEST(**{**SMALL, "n_classes": 7})
    assert torch.equal(made.head[1].weight, wanted.head[1].weight)
    assert torch.equal(made.cls_token, state["cls_token"])
