"""Random streams: pure functions of their arguments, all different."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from models.randomness import Randomness, stream


def test_equal_arguments_give_equal_numbers_in_another_process():
    code = "from models.randomness import stream; print(stream(7, 'roll', 3, 12).integers(10**9, size=4).tolist())"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == str(stream(7, "roll", 3, 12).integers(10**9, size=4).tolist())


def test_the_numbers_stay_what_they_were():
    """Changing them would change every seeded run."""
    assert stream(1234, "roll", 0, 5).integers(1000, size=5).tolist() == [402, 314, 908, 349, 25]
    assert int(torch.randint(10**6, (), generator=Randomness(1234, 0, 17).torch("network"))) == 597998


def test_streams_differ_by_every_argument():
    r = Randomness(1, epoch=2, step=3)
    streams = [
        *r.items([0, 1], "roll"),
        *r.items([0], "masking"),
        *Randomness(2, 2, 3).items([0], "roll"),
        *Randomness(1, 3, 3).items([0], "roll"),
        r.group(0, "roll"),
        r.batch("roll"),
        Randomness(1, 2, 4).batch("roll"),
        stream(1),
        stream(1, 0),
        stream(1, 0, 0),
    ]
    first = [int(g.integers(2**62)) for g in streams]
    assert len(set(first)) == len(first)


def test_an_items_stream_does_not_depend_on_the_step_and_a_batchs_not_on_the_epoch():
    a, b = Randomness(1, epoch=2, step=3), Randomness(1, epoch=2, step=99)
    assert a.items([4], "roll")[0].random() == b.items([4], "roll")[0].random()
    assert a.batch("x").random() == Randomness(1, epoch=5, step=3).batch("x").random()


def test_streams_are_independent():
    draws = np.array([g.random() for g in Randomness(0).items(range(2000), "roll")])
    assert abs(draws.mean() - 0.5) < 0.03
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 0.08


def test_negative_numbers_are_refused():
    with pytest.raises(ValueError, match="negative"):
        stream(-1)
