"""What a speed test counts: operations, tokens, lengths, and its csv."""

import csv

import pytest
import torch

from helpers.commands.speed import tasks, write_speeds
from helpers.runtime.network_speed import Task, measure
from models.clmr import SampleCNN
from models.maest import MAEST


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return MAEST(input_t=125, n_classes=5, embed_dim=16, depth=2, num_heads=2).eval()


def by_hand(n, c, depth, classes, patch=256):
    """10^9 operations of a MAEST of n tokens: patches, four products of a block, attention's two, head; of the last block keys and values of all
    tokens, and the rest of CLS and DIST."""
    block = 2 * n * (3 * c * c + c * c + 8 * c * c) + 4 * n * n * c
    last = 2 * n * 2 * c * c + 2 * 2 * (c * c + c * c + 8 * c * c) + 4 * 2 * n * c
    return (2 * (n - 2) * patch * c + (depth - 1) * block + last + 2 * c * classes) / 1e9


def test_operations_and_tokens_are_those_of_the_blocks(net):
    rows, columns = net.grid(125)
    row = measure(net, Task("inference", 125, 2, "32-true"))
    assert row.tokens == rows * columns + 2
    assert row.gflop == pytest.approx(2 * by_hand(row.tokens, 16, 2, 5), rel=1e-6)
    assert row.window_seconds == 2.0
    assert row.windows_per_second == pytest.approx(2 / row.seconds)
    assert row.audio_seconds_per_second == pytest.approx(4 / row.seconds)
    assert row.share_of_peak > 0
    assert not net.training


def test_a_training_step_is_three_passes_and_leaves_nothing(net):
    one, step = (measure(net, Task(what, 125, 1, "32-true")) for what in ("inference", "training"))
    assert step.gflop == pytest.approx(3 * one.gflop)
    assert all(p.grad is None for p in net.parameters())


def test_lengths_are_those_that_the_network_takes(net):
    assert [(t.what, t.length, t.batch) for t in tasks(net, 3, 4, "32")] == [
        *[("inference", n, 1) for n in (41, 41, 83, 83, 125, 125)],
        ("inference", 125, 3),
        ("training", 125, 4),
    ]
    fixed = SampleCNN([4, 4, 6, 6, 8], (3, 2, 3), out_dim=2)
    assert {t.length for t in tasks(fixed, 1, 1, "32")} == {fixed.window_length}


@pytest.mark.parametrize(("network", "work"), [("net", "layer-16"), ("clmr", "convolution")])
def test_precisions_are_chosen_for_what_the_network_is(net, monkeypatch, network, work):
    asked = []

    def resolve(precision, device, work, training=False):
        asked.append((precision, device, work, training))
        return "32-true"

    monkeypatch.setattr("helpers.commands.speed.resolve_precision", resolve)
    list(tasks(net if network == "net" else SampleCNN([4, 4, 6, 6, 8], (3, 2, 3), out_dim=2), 3, 4, "auto"))
    assert asked == [("auto", "cpu", work, False), ("auto", "cpu", work, True)]


def test_the_csv_holds_a_row_each(net, tmp_path):
    row = measure(net, Task("inference", 125, 1, "bf16-mixed"))
    write_speeds(tmp_path / "speed.csv", [row, row])
    with open(tmp_path / "speed.csv", newline="") as file:
        read = list(csv.DictReader(file))
    assert len(read) == 2
    assert float(read[0]["seconds"]) == row.seconds
    assert read[0]["precision"] == "bf16-mixed"
