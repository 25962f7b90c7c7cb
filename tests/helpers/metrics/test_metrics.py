"""Tagging metrics against golden numbers and scikit-learn, and what they refuse."""

import logging

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score, roc_auc_score

from helpers.metrics.aggregation import aggregate_tracks, sigmoid, track_means
from helpers.metrics.metric import Draws
from helpers.metrics.scores import SystemScores
from helpers.metrics.tagging import tagging_scores


@pytest.fixture
def golden(fixtures):
    return np.load(fixtures / "clmr" / "probe_metrics.npz")


def test_scores_equal_the_golden_ones(golden):
    got = tagging_scores(golden["y"], golden["s"])
    for name, key in dict(macro_roc="macro_roc", macro_ap="macro_ap", micro_roc="micro_roc", micro_ap="micro_ap").items():
        assert got[name] == pytest.approx(float(golden[key]), abs=1e-12)
    np.testing.assert_allclose(got["class_roc"], golden["roc"], atol=1e-12)
    np.testing.assert_allclose(got["class_ap"], golden["ap"], atol=1e-12)
    assert (got["n_roc"], got["n_ap"]) == (12, 12)


def test_degenerate_classes_are_left_out_counted_and_said(golden, caplog):
    with caplog.at_level(logging.WARNING):
        got = tagging_scores(golden["y_deg"], golden["s"])
    assert got["macro_roc"] == pytest.approx(float(golden["macro_roc_deg_nanmean"]), abs=1e-12)
    assert got["macro_ap"] == pytest.approx(float(golden["macro_ap_deg_nanmean"]), abs=1e-12)
    np.testing.assert_allclose(got["class_roc"], golden["roc_deg"], atol=1e-12)
    np.testing.assert_allclose(got["class_ap"], golden["ap_deg"], atol=1e-12)
    assert (got["n_roc"], got["n_ap"]) == (10, 11)
    assert "1 have no positive and 1 no negative" in caplog.text
    caplog.clear()
    tagging_scores(golden["y_deg"], golden["s"], warn=False)
    assert not caplog.records


def test_no_class_left_is_nan():
    got = tagging_scores(np.zeros((4, 2), bool), np.random.default_rng(0).random((4, 2)))
    assert np.isnan(got["macro_roc"])
    assert np.isnan(got["macro_ap"])
    assert (got["n_roc"], got["n_ap"]) == (0, 0)


FEW = [0.0, -0.0, 0.125, 0.5, 0.5000001, 1e30, -1e-30, -3.0, -2.9999998]  # many ties, and near ones


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from([np.float16, np.float32, np.float64]),
    arrays(np.float32, (30, 3), elements=st.sampled_from(FEW).map(lambda x: float(np.float32(x)))),
    arrays(np.bool_, (30, 3)),
)
def test_every_class_equals_scikit_learn(kind, scores, targets):
    scores = np.clip(scores, -6e4, 6e4).astype(kind)
    got = tagging_scores(targets, scores, warn=False)
    for c in range(3):
        if 0 < targets[:, c].sum() < 30:
            assert got["class_roc"][c] == pytest.approx(roc_auc_score(targets[:, c], scores[:, c]), abs=1e-12)
        else:
            assert np.isnan(got["class_roc"][c])
        if targets[:, c].any():
            assert got["class_ap"][c] == pytest.approx(average_precision_score(targets[:, c], scores[:, c]), abs=1e-12)
        else:
            assert np.isnan(got["class_ap"][c])


def test_kinds_of_numbers_do_not_matter():
    g = np.random.default_rng(1)
    y, s = g.random((50, 4)) < 0.4, g.integers(0, 9, (50, 4))
    want = tagging_scores(y, s.astype(float))["macro_roc"]
    assert tagging_scores(y.astype(np.int64), s.astype(np.uint8))["macro_roc"] == want
    assert tagging_scores(torch.from_numpy(y).float(), torch.from_numpy(s).half())["macro_roc"] == want


def test_the_order_of_items_does_not_matter(golden):
    order = np.random.default_rng(0).permutation(len(golden["y"]))
    a, b = tagging_scores(golden["y"], golden["s"]), tagging_scores(golden["y"][order], golden["s"][order])
    assert a["macro_roc"] == pytest.approx(b["macro_roc"], abs=1e-15)
    assert a["macro_ap"] == pytest.approx(b["macro_ap"], abs=1e-15)


@pytest.mark.parametrize(
    ("targets", "scores", "words"),
    [
        (np.zeros((4, 2)), np.zeros((4, 3)), r"\[4, 2\] and \[4, 3\]"),
        (np.zeros(4), np.zeros(4), r"\[N items, L labels\]"),
        (np.zeros((0, 2)), np.zeros((0, 2)), r"\[0, 2\]"),
        (np.full((4, 2), 0.5), np.zeros((4, 2)), "0 or 1"),
        (np.zeros((4, 2)), np.array([[0, 0], [0, np.nan], [0, 0], [np.inf, 0]]), "2 scores .* item 1, label 1"),
    ],
)
def test_what_cannot_be_scored_is_refused(targets, scores, words):
    with pytest.raises(ValueError, match=words):
        tagging_scores(targets, scores)


# ---- tracks
@pytest.mark.parametrize(
    ("how", "key"),
    [("mean_prob", "track_prob_mean"), ("mean_logit", "track_logit_mean"), ("prob_of_mean_logit", "track_prob_of_logit_mean")],
)
def test_tracks_equal_the_golden_ones(golden, how, key):
    order = np.random.default_rng(3).permutation(len(golden["chunk_track"]))  # windows may come in any order
    got = aggregate_tracks(golden["chunk_logits"][order], golden["chunk_track"][order], how)
    np.testing.assert_allclose(got, golden[key], atol=1e-12)


def test_windows_count_by_their_valid_frames():
    ids, mean = track_means(np.array([[1.0], [0.0], [5.0]]), np.array(["b", "b", "a"]), np.array([30, 10, 7]))
    assert ids.tolist() == ["a", "b"]
    np.testing.assert_allclose(mean, [[5.0], [0.75]])
    logits = np.array([[2.0], [-2.0]])
    got = aggregate_tracks(logits, [0, 0], "prob_of_mean_logit", valid=[3, 1])
    np.testing.assert_allclose(got, sigmoid(np.array([[1.0]])))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: aggregate_tracks(np.zeros((2, 3)), [0, 0], "median"), "mean_prob"),
        (lambda: aggregate_tracks(np.zeros((2, 3)), [0]), r"\[1\]"),
        (lambda: aggregate_tracks(np.full((2, 3), np.nan), [0, 0]), "2 of 2 windows"),
        (lambda: track_means(np.zeros((2, 3)), [0, 1], [1, 0]), "track .*1.* weight 0"),
        (lambda: track_means(np.zeros((2, 3)), [0, 1], [1, -1]), "0 or more"),
        (lambda: track_means(np.zeros((0, 3)), np.zeros(0, int)), "W >= 1"),
    ],
)
def test_tracks_that_cannot_be_made_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_sigmoid_does_not_overflow():
    with np.errstate(over="raise"):
        np.testing.assert_allclose(sigmoid(np.array([-1e4, 0.0, 1e4])), [0.0, 0.5, 1.0])


# ---- bootstrap
def bootstrap_interval(y, s, resamples=1000, seed=0):
    """Intervals of the macro scores of one set of predictions."""
    y, s = np.asarray(y, dtype=bool), np.asarray(s)
    labels, keys = [str(i) for i in range(y.shape[1])], [str(i) for i in range(len(y))]
    scores = SystemScores("x", "toy", labels, keys, y, s[None], [0], warn=False)
    return {name: scores.interval(name, n_resamples=resamples, seed=seed) for name in ("macro_roc", "macro_ap")}


def test_the_bootstrap_equals_scoring_each_resample(golden):
    y, s, n = golden["y_deg"].astype(bool), golden["s"], len(golden["y"])
    got = bootstrap_interval(y, s, resamples=40, seed=5)
    rng = np.random.default_rng(5)
    rows = np.concatenate([rng.integers(n, size=(32, n)), rng.integers(n, size=(8, n))])
    each = [tagging_scores(y[r], s[r], warn=False) for r in rows]
    for name in ("macro_roc", "macro_ap"):
        values = np.array([e[name] for e in each])
        bias = values.mean() - tagging_scores(y, s, warn=False)[name]
        np.testing.assert_allclose(got[name], np.percentile(values, [2.5, 97.5]) - bias, atol=1e-12)


def test_the_bootstrap_is_seeded_and_holds_the_score(golden):
    kwargs = dict(resamples=100, seed=1)
    a, b = (bootstrap_interval(golden["y"], golden["s"], **kwargs) for _ in range(2))
    assert a == b
    assert a["macro_roc"][0] < float(golden["macro_roc"]) < a["macro_roc"][1]
    assert a["macro_ap"][1] - a["macro_ap"][0] > 0.01
    with pytest.raises(ValueError, match="2 or more tracks"):
        Draws.of(1, 100, 0)
    assert all(np.isnan(bootstrap_interval(golden["y"][:9], golden["s"][:9])["macro_roc"]))


def test_two_tracks_have_no_interval():
    """Every resample with a score holds both tracks and scores the same; perfect scores of many tracks are another matter."""
    two = bootstrap_interval(np.array([[1], [0]]), np.array([[0.9], [0.2]]))
    assert all(np.isnan(two["macro_roc"]))
    y = np.arange(40)[:, None] % 2
    many = bootstrap_interval(y, y + 0.0)
    assert many["macro_roc"] == pytest.approx((1.0, 1.0))
