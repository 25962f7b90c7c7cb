"""Sampling weights against golden numbers; draws as pure functions of (seed, epoch); the share of each process."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.groundtruth.groundtruth import Groundtruth
from datasets.loading.sampler import WeightedDraws, sample_weights, share_batches
from models.errors import ConfigError, GroundtruthError


@pytest.fixture(scope="module")
def golden(fixtures):
    return json.loads((fixtures / "maest" / "sampler_weights.json").read_text())


@pytest.mark.parametrize(("offset", "combine_sum"), [(100, True), (100, False), (0, True), (0, False)])
def test_weights_are_the_recipe_s(golden, offset, combine_sum):
    rows = np.array(golden["Y"])
    truth = Groundtruth.from_rows([str(i) for i in range(len(rows))], list(rows))
    expected = golden[f"offset{offset}_sum{combine_sum}"]
    np.testing.assert_allclose(sample_weights(truth, offset, combine_sum), expected, rtol=1e-6)


def test_a_label_without_tracks_weighs_nothing():
    truth = Groundtruth.from_rows(["a", "b"], [np.array([1, 0, 0]), np.array([1, 1, 0])])
    np.testing.assert_allclose(sample_weights(truth, offset=0), [500, 1500])
    with pytest.raises(ConfigError):
        sample_weights(truth, offset=-1)


weights = st.lists(st.sampled_from([0.0, 1e-12, 0.5, 1.0, 3.0, 1e9]), min_size=1, max_size=40).filter(any)


@settings(max_examples=60, deadline=None)
@given(weights, st.integers(1, 60), st.booleans(), st.integers(0, 5))
def test_an_epoch_is_a_pure_function_and_never_repeats(values, epoch_len, replace, epoch):
    draws = WeightedDraws(np.array(values), epoch_len, replace, seed=3)
    drawn = draws.draw(epoch)
    drawable = np.flatnonzero(values)
    assert len(drawn) == len(draws) == (epoch_len if replace else min(epoch_len, len(drawable)))
    assert set(drawn) <= set(drawable)
    assert replace or len(set(drawn)) == len(drawn)
    np.testing.assert_array_equal(drawn, WeightedDraws(np.array(values), epoch_len, replace, seed=3).draw(epoch))


@pytest.mark.parametrize("replace", [False, True])
def test_epochs_and_seeds_differ(replace):
    draws = WeightedDraws(np.ones(50), 20, replace, seed=1)
    other = WeightedDraws(np.ones(50), 20, replace, seed=2)
    assert draws.draw(0).tolist() != draws.draw(1).tolist()
    assert draws.draw(0).tolist() != other.draw(0).tolist()


def test_chances_follow_the_weights():
    weights = np.array([1.0, 2.0, 4.0, 0.0, 8.0])
    first = np.array([WeightedDraws(weights, 2, seed=0).draw(epoch)[0] for epoch in range(3000)])
    share = np.bincount(first, minlength=5) / 3000
    np.testing.assert_allclose(share, weights / weights.sum(), atol=0.03)
    with_replacement = WeightedDraws(weights, 30_000, replace=True, seed=0).draw(0)
    np.testing.assert_allclose(np.bincount(with_replacement, minlength=5) / 30_000, weights / weights.sum(), atol=0.015)


def test_the_second_draw_is_one_without_putting_back():
    # P(second = i) of successive sampling, worked out by hand for weights 1, 2, 3
    pairs = [WeightedDraws(np.array([1.0, 2.0, 3.0]), 2, seed=9).draw(epoch) for epoch in range(4000)]
    second = np.bincount([pair[1] for pair in pairs], minlength=3) / 4000
    exact = [2 / 6 * 1 / 4 + 3 / 6 * 1 / 3, 1 / 6 * 2 / 5 + 3 / 6 * 2 / 3, 1 / 6 * 3 / 5 + 2 / 6 * 3 / 4]
    np.testing.assert_allclose(second, exact, atol=0.03)


def test_what_is_never_drawn_and_what_is_capped_is_said(caplog):
    with caplog.at_level(logging.INFO, "datasets.loading.sampler"):
        assert len(WeightedDraws(np.array([0, 1, 1, 0.0, 0]), 200_000)) == 2
    assert "3 of 5 training tracks have weight 0" in caplog.text
    assert (
        "epoch_len is 200000, but only 2 tracks can be drawn: an epoch has 2 draws (datamodule.sampler.epoch_len" in caplog.text
    )


@pytest.mark.parametrize("bad", [[-1.0, 1.0], [np.nan, 1.0], [np.inf]])
def test_impossible_settings(bad):
    with pytest.raises(ConfigError):
        WeightedDraws(np.array(bad))
    with pytest.raises(ConfigError):
        WeightedDraws(np.ones(3), 0)
    with pytest.raises(GroundtruthError, match="None of the 3 training tracks"):
        WeightedDraws(np.zeros(3))


@given(st.integers(1, 200), st.integers(1, 9), st.integers(1, 8))
def test_processes_share_everything_once(n, batch_size, world):
    if n < world:
        with pytest.raises(ConfigError):
            share_batches(n, batch_size, 0, world)
        return
    shares = [share_batches(n, batch_size, rank, world) for rank in range(world)]
    assert len({len(share) for share in shares}) == 1
    together = [np.concatenate(step) for step in zip(*shares)]
    np.testing.assert_array_equal(np.concatenate(together), np.arange(n))
    for step in zip(*shares):
        sizes = [len(part) for part in step]
        assert min(sizes) >= 1
        assert max(sizes) - min(sizes) <= 1
        assert max(sizes) <= batch_size + 1


@given(st.integers(2, 200), st.integers(1, 5))
def test_two_by_b_sees_the_batches_of_one_by_2b(n, batch):
    one = share_batches(n, 2 * batch)
    two = [np.concatenate(step) for step in zip(share_batches(n, batch, 0, 2), share_batches(n, batch, 1, 2))]
    if n % (2 * batch) == 1 and n > 2 * batch:  # a rest of one item cannot be shared by two
        one = [*one[:-2], np.concatenate(one[-2:])]
    assert [part.tolist() for part in one] == [part.tolist() for part in two]


def test_a_million_tracks_are_drawn_by_weight():
    weights = np.ones(1_000_000)
    weights[:1000] = 50
    drawn = WeightedDraws(weights, 200_000, seed=0).draw(0)
    assert len(np.unique(drawn)) == 200_000
    assert (drawn < 1000).sum() > 990
