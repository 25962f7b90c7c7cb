from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.metrics.aggregation import aggregate, check_aggregation
from models.errors import ConfigError


def test_golden_track_scores(fixtures):
    golden = np.load(fixtures / "clmr" / "probe_metrics.npz")
    order = np.argsort(golden["chunk_track"], kind="stable")
    logits, track = golden["chunk_logits"][order].astype(np.float64), golden["chunk_track"][order]
    for how, want in (
        ("mean_prob", "track_prob_mean"),
        ("mean_logit", "track_logit_mean"),
        ("prob_of_mean_logit", "track_prob_of_logit_mean"),
    ):
        got = aggregate(np.stack([logits, logits]), track, 10, how, "bce")
        np.testing.assert_allclose(got[0], golden[want], atol=1e-9)
        np.testing.assert_array_equal(got[0], got[1])


def test_votes_and_maxima():
    logits = np.array([[2.0, 1.0, -1.0], [0.0, 3.0, -1.0], [-1.0, 2.0, 1.0], [5.0, 0.1, -3.0]])
    track = np.array([0, 0, 0, 1])
    np.testing.assert_allclose(aggregate(logits, track, 2, "vote", "ce", one_class=True), [[1 / 3, 2 / 3, 0], [1, 0, 0]])
    np.testing.assert_allclose(aggregate(logits, track, 2, "vote", "bce"), [[1 / 3, 1, 1 / 3], [1, 1, 0]])
    np.testing.assert_allclose(aggregate(logits, track, 2, "max_logit", "bce"), [[2, 3, 1], [5, 0.1, -3]])
    mean = aggregate(logits, track, 2, "mean_prob", "ce")
    np.testing.assert_allclose(mean.sum(axis=1), 1)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.sampled_from(["mean_prob", "mean_logit", "prob_of_mean_logit"]))
def test_every_track_is_the_mean_of_its_own_windows(lengths, how):
    rng = np.random.default_rng(len(lengths))
    track = np.repeat(np.arange(len(lengths)), lengths)
    logits = rng.standard_normal((len(track), 3))
    got = aggregate(logits, track, len(lengths), how, "mse")
    for i in range(len(lengths)):
        np.testing.assert_allclose(got[i], logits[track == i].mean(axis=0), atol=1e-12)


def test_without_windows_outputs_become_predictions():
    logits = np.zeros((4, 2))
    np.testing.assert_array_equal(aggregate(logits, None, 4, "vote", "bce"), np.full((4, 2), 0.5))


def test_refusals():
    with pytest.raises(ConfigError, match="mean_prob"):
        check_aggregation("mean_probs", "bce")
    with pytest.raises(ConfigError, match="nothing for numbers"):
        check_aggregation("vote", "mse")
