from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from datasets.groundtruth.groups import Groups
from helpers.metrics.differences import as_one, compare
from helpers.metrics.intervals import (
    FEWEST_POSITIVES,
    TOO_FEW_GROUPS,
    TOO_FEW_POSITIVES,
    Between,
    Uncertainty,
    Units,
    between,
    evidence_of,
    holm,
    interval_of,
    of_halves,
    overlap_of,
    repetition_factor,
    together,
    track_variance,
)
from helpers.metrics.metric import Draws, Predictions, comparable
from helpers.metrics.scores import SystemScores
from helpers.metrics.tasks import get_task
from models.errors import ConfigError


def tagger(n: int = 100, seeds: int = 2, seed: int = 0, groups: Groups | None = None, share: float = 0.3) -> SystemScores:
    world, own = np.random.default_rng(11), np.random.default_rng(seed)
    y = world.random((n, 3)) < share
    p = 1 / (1 + np.exp(-(1.2 * y + own.standard_normal((seeds, n, 3)))))
    return SystemScores("a", "toy", list("xyz"), [str(i) for i in range(n)], y, p, list(range(seeds)), groups=groups, warn=False)


def grader(right: int, n: int) -> SystemScores:
    y = np.eye(2, dtype=bool)[np.zeros(n, int)]
    p = np.where((np.arange(n) < right)[:, None], y, ~y).astype(float)
    return SystemScores("g", "toy", ["no", "yes"], [str(i) for i in range(n)], y, p[None], [0], task="single-label")


@settings(max_examples=40, deadline=None, database=None)
@given(st.integers(5, 60), st.floats(0, 1), st.integers(0, 99))
def test_an_interval_holds_its_score_and_stays_within_bounds(n, share, seed):
    one = grader(round(share * n), n)
    low, high = one.interval("accuracy", n_resamples=50, seed=seed)
    assert 0 <= low <= one.mean("accuracy") <= high <= 1
    assert high > low


def test_accuracy_has_about_wilsons_interval():
    p, n, q = 0.7, 100, float(student.ppf(0.975, 99))
    middle, half = (p + q**2 / (2 * n)) / (1 + q**2 / n), q / (1 + q**2 / n) * math.sqrt(p * (1 - p) / n + q**2 / (4 * n**2))
    got = grader(70, 100).interval("accuracy", n_resamples=4000)
    assert got == pytest.approx((middle - half, middle + half), abs=0.005)


def test_halves_hold_half_of_the_tracks_and_whole_groups():
    draws = Draws.of(11, 31, 0)
    assert draws.weights.shape == (31, 11)
    assert set(draws.weights.sum(axis=1)) == {5}
    assert draws.share == pytest.approx(5 / 11)
    assert (draws.weights[0:30:2] + draws.weights[1:30:2]).max() == 1  # the halves of a pair have no track in common
    assert (Draws.of(12, 30, 0).weights.reshape(15, 2, 12).sum(axis=1) == 1).all()
    unit = np.repeat(np.arange(5), [1, 2, 3, 4, 5])
    grouped = Draws.of(15, 30, 0, unit).weights
    assert all(len(set(row[unit == u])) == 1 for row in grouped for u in range(5))
    with pytest.raises(ValueError, match="2 or more tracks or groups"):
        Draws.of(1, 10, 0)
    with pytest.raises(ValueError, match="2 or more tracks or groups"):
        Draws.of(3, 10, 0, np.zeros(3, int))


def test_groups_of_one_track_change_nothing():
    alone, named = tagger(), tagger(groups=Groups([f"artist {i}" for i in range(100)], "artist"))
    for metric in ("macro_roc", "macro_ap", "micro_roc"):
        assert named.interval(metric) == alone.interval(metric)
    assert compare(named, tagger(seed=1)).interval == compare(alone, tagger(seed=1)).interval
    unnamed = tagger(groups=Groups([""] * 100))
    assert unnamed.interval() == alone.interval()
    assert (named.group_name, unnamed.group_name) == ("artist", "")


def test_tracks_that_are_all_alike_within_groups_count_once():
    few, five = grader(14, 20), grader(70, 100)
    groups = Groups([str(i // 5) for i in range(100)], "song")
    by_song = replace(five, groups=groups)
    np.testing.assert_allclose(by_song.interval("accuracy"), few.interval("accuracy"), atol=0.01)
    assert five.interval("accuracy")[0] > by_song.interval("accuracy")[0] + 0.05


def test_too_little_is_said_and_has_no_interval():
    rare = tagger(share=0.04)
    assert rare.evidence("macro_ap").why == TOO_FEW_POSITIVES
    assert all(map(math.isnan, rare.interval("macro_ap")))
    found = compare(rare, tagger(seed=1, share=0.04), "macro_ap")
    assert (found.why, found.p_value()) == (TOO_FEW_POSITIVES, 1.0)
    assert rare.summary()["macro_ap"]["no_interval"] == TOO_FEW_POSITIVES
    assert tagger(groups=Groups([str(i % 4) for i in range(100)])).evidence().why == TOO_FEW_GROUPS
    y = np.zeros((40, 1), bool)
    y[:FEWEST_POSITIVES] = True
    enough = Units(40).having(y)[0]
    assert enough == FEWEST_POSITIVES
    assert Units(40, [str(i // 4) for i in range(40)]).having(y)[0] == FEWEST_POSITIVES // 4


def test_ap_is_corrected_for_being_higher_of_few_tracks():
    one = tagger(seeds=1)
    low, high = one.interval("macro_ap")
    assert low < one.mean("macro_ap") < high
    assert one.mean("macro_ap") - low > high - one.mean("macro_ap")


def test_ap_without_the_positives_themselves_by_hand():
    y, p = np.array([[1], [0], [1], [1], [0]], bool), np.array([[0.9], [0.8], [0.7], [0.6], [0.5]])
    ap = get_task("multi-label").metric("macro_ap")
    assert ap.score(Predictions(y, p))[0] == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    # above the second positive stand one of the two others (for one of three 3 / 2) and a negative, above the third both and the negative
    assert ap.about.score(Predictions(y, p))[0] == pytest.approx((1 + 1.5 / 2.5 + 3 / 4) / 3)
    alone = np.array([[0], [1], [0], [0], [0]], bool)
    assert ap.about.score(Predictions(alone, p))[0] == ap.score(Predictions(alone, p))[0] == 0.5
    assert np.isnan(ap.about.score(Predictions(np.zeros((5, 1), bool), p))[0])
    folds = np.array([0, 1, 0, 1, 0])
    assert np.isfinite(ap.about.resampled(Predictions(y, p), Draws.of(5, 6, 0), folds)).any()


def test_ap_without_the_positives_themselves_is_of_few_tracks_about_what_it_is_of_many():
    rng, ap = np.random.default_rng(5), get_task("multi-label").metric("macro_ap")
    y = np.arange(60)[:, None] < 9
    drawn = [Predictions(y, 1.2 * y + rng.standard_normal((60, 1))) for _ in range(400)]
    many = Predictions(
        np.arange(60_000)[:, None] < 9000, 1.2 * (np.arange(60_000)[:, None] < 9000) + rng.standard_normal((60_000, 1))
    )
    above, about = (np.mean([metric.score(one) for one in drawn]) - ap.score(many)[0] for metric in (ap, ap.about))
    assert abs(about) < 0.4 * above


def test_the_variance_of_repetitions_by_hand():
    drawn = np.random.default_rng(0).standard_normal((3, 500)) * [[1.0], [2.0], [3.0]]
    each = [of_halves(one, 0.5) for one in drawn]
    assert track_variance(drawn, 0.5) == of_halves(drawn.mean(axis=0), 0.5)
    assert track_variance(drawn, 0.5, 1.3) == pytest.approx(1.3 * np.mean(each))
    assert (repetition_factor(3), repetition_factor(3, order=1), repetition_factor(1)) == pytest.approx((1.3, 1.0, 1.5))


def test_the_variance_over_halves_by_hand():
    values = np.array([1.0, 0.0, 2.0, 0.0, 5.0])  # two pairs, and one half without its other
    assert of_halves(values, 0.5, 0.0) == pytest.approx((1 + 4) / 2 / 4)
    assert of_halves(values, 0.25, 1.0) == pytest.approx(0.5 * (5 / 8 + 1 / 8))
    assert of_halves(values, 0.5, -1.0) == pytest.approx(5 / 8 - 1 / 8)
    assert of_halves(np.array([3.0, 3.1, 7.0, 7.1]), 0.5, -1.0) == pytest.approx(0.1**2 / 8)  # never below half of the first
    assert math.isnan(of_halves(values[:3], 0.5))
    assert math.isnan(of_halves(np.array([1.0, 1.0, 1.0, 1.0, math.nan, 1.0]), 0.5))
    assert of_halves(np.ones(6), 0.5) == 0


def test_the_variance_of_a_mean_is_the_sample_s():
    x = np.random.default_rng(0).standard_normal(41)
    draws = Draws.of(41, 4000, 0)
    means = draws.weights @ x / draws.weights.sum(axis=1)
    assert of_halves(means, draws.share) == pytest.approx(x.var(ddof=1) / 41, rel=0.1)


def test_the_variance_of_roc_auc_is_not_too_high_of_few_positives():
    """Halves have about 4 positives: as they are they vary by a fifth more than the score of all does."""
    rng, scores, found, plain = np.random.default_rng(1), [], [], []
    roc = get_task("multi-label").metric("macro_roc")
    draws = Draws.of(40, 100, 0)
    for _ in range(500):
        y = rng.random((40, 1)) < 0.2
        if not 3 < y.sum() < 37:
            continue
        data = Predictions(y, y + rng.standard_normal((40, 1)))
        scores.append(roc.score(data)[0])
        drawn = roc.resampled(data, draws)
        found.append(of_halves(drawn, draws.share))
        plain.append(of_halves(drawn, draws.share, 1.0))
    assert np.nanmean(found) == pytest.approx(np.var(scores), rel=0.15)
    assert np.nanmean(plain) > 1.2 * np.nanmean(found)


def test_parts_of_a_variance_add_up_as_satterthwaite_has_it():
    known = Uncertainty(((4.0, 10.0), (1.0, 2.0)))
    assert known.se == pytest.approx(math.sqrt(5))
    assert known.df == pytest.approx(25 / (16 / 10 + 1 / 2))
    assert known.p_value(3.0) == pytest.approx(2 * student.sf(3 / math.sqrt(5), known.df))
    assert Uncertainty(((0.0, 10.0),)).p_value(0.0) == 1
    assert Uncertainty(((0.0, 10.0),)).p_value(0.1) == 0


def test_several_networks_widen_an_interval_by_what_they_differ_in():
    values, still = np.array([0.5, 0.5, 0.6, 0.6, 0.7, 0.7]), np.zeros((6, 20))
    found = between(values, still, 0.5, {"network": [0, 0, 1, 1, 2, 2]}, overlap=0.5)[0]
    assert (found.variance, found.df, found.counted) == pytest.approx((0.01 / 3, 2.0, 0.0))
    assert between(values, still, 0.5, {"network": [0] * 6}) == []
    one, other = tagger(seed=0), tagger(seed=5)
    better = replace(other, predictions=np.where(other.targets, 0.9, other.predictions))
    both = as_one([one, better], "network")
    assert both.factors == {"network": [0, 0, 1, 1]}
    low, high = both.interval()
    assert high - low > max(np.diff(one.interval())[0], np.diff(better.interval())[0])


def test_draws_of_the_same_tracks_tell_less_of_others():
    values, still = np.array([0.5, 0.6, 0.7]), np.zeros((3, 20))
    apart, shared = (between(values, still, 0.5, {"draw": [0, 1, 2]}, overlap)[0].variance for overlap in (0.0, 0.2))
    assert (apart, shared) == pytest.approx((0.01 / 3, 0.01 * (1 / 3 + 1 / 4)))
    assert overlap_of([np.array([0, 1, 2, 3]), np.array([3, 4, 5, 6]), np.array([0, 1, 8, 9])]) == pytest.approx(
        (1 / 4 + 2 / 4 + 0) / 3
    )
    assert (overlap_of([np.arange(5)]), overlap_of([np.arange(5)] * 2)) == (0.0, 1.0)
    one = replace(tagger(seeds=3), factors={"draw": [0, 1, 2]})
    widths = [np.diff(replace(one, overlap=overlap).interval())[0] for overlap in (0.0, 0.5, 0.9)]
    assert widths == sorted(widths)
    assert widths[2] > 1.2 * widths[0]
    with pytest.raises(ConfigError, match="overlap by 1"):
        replace(one, overlap=1.0)


def test_what_draws_differ_by_on_these_tracks_counts_once():
    known = together((0.05, 30.0), [Between(0.02, 2.0, 0.01), Between(0.03, 1.0, 0.0)])
    assert known.parts == ((pytest.approx(0.04), 30.0), (0.02, 2.0), (0.03, 1.0))
    assert together((0.05, 30.0), [Between(0.2, 2.0, 0.06)]).parts == ((0.0, 30.0), (0.2, 2.0))
    assert together((0.05, 30.0), [Between(0.0, 2.0, 0.06)]).se == pytest.approx(math.sqrt(0.05))  # draws that happen to be alike
    assert math.isnan(together((math.nan, 30.0), [Between(0.2, 2.0, 0.06)]).se)


def test_a_few_large_groups_decide():
    assert Units(12).effective == 12
    assert Units(12, list("aaabbbcccddd")).effective == pytest.approx(4)
    uneven = Units(12, list("aaaaaabcdefg"))
    assert (uneven.n, uneven.effective) == (7, pytest.approx(42**2 / (36**2 + 6)))
    accuracy = get_task("single-label").metric("accuracy")
    assert evidence_of(accuracy, np.ones((12, 1), bool), uneven).df == 1.0
    assert evidence_of(accuracy, np.ones((12, 1), bool), Units(12, list("aabbccddeeff"))).df == pytest.approx(5)


@pytest.mark.parametrize("metric", ["macro_roc", "macro_ap", "micro_ap"])
def test_a_lower_level_lies_within_and_the_order_of_tracks_plays_no_part(metric):
    one = tagger(n=120, seeds=1)
    bounds = [one.interval(metric, share=share, n_resamples=2000) for share in (0.5, 0.8, 0.95, 0.99)]
    assert all(wide[0] < narrow[0] and narrow[1] <= wide[1] for narrow, wide in itertools.pairwise(bounds))
    assert all(low <= one.mean(metric) <= high for low, high in bounds)
    order = np.random.default_rng(4).permutation(120)
    moved = replace(one, keys=[one.keys[i] for i in order], targets=one.targets[order], predictions=one.predictions[:, order])
    np.testing.assert_allclose(moved.interval(metric, n_resamples=2000), bounds[2], atol=0.012)


def test_folds_are_brought_to_one_scale_and_keep_their_order():
    p, folds = np.random.default_rng(0).random((60, 2)), np.arange(60) % 5
    moved = 1 / (1 + np.exp(-(3 * np.log(p / (1 - p)) + folds[:, None])))
    np.testing.assert_allclose(comparable(p, folds), comparable(moved, folds), atol=1e-6)
    for fold in range(5):
        own = comparable(p, folds)[folds == fold]
        np.testing.assert_allclose([own.mean(axis=0), own.std(axis=0)], [[0, 0], [1, 1]], atol=1e-9)
        assert (own[:, 0].argsort() == p[folds == fold, 0].argsort()).all()
    shares = np.random.default_rng(5).random((5, 2)).astype(np.float32)
    fifths = np.arange(35) % 5
    assert not comparable(shares[fifths], fifths).any()  # constants of each fold: their AP is the labels' frequency
    assert not comparable(np.repeat(shares[fifths][:, :1], 2, axis=1), fifths, None).any()
    assert np.isfinite(comparable(np.full((10, 2), 1.0), np.arange(10) % 2)).all()


def test_ap_of_folds_is_of_all_tracks_at_once():
    """Small folds, one by one, would score far above: .2 more of 8 tracks."""
    rng = np.random.default_rng(3)
    y, folds = rng.random((400, 1)) < 0.1, np.arange(400) % 50
    p = 1 / (1 + np.exp(-(y + rng.standard_normal((400, 1)))))
    whole = SystemScores("a", "t", ["x"], [str(i) for i in range(400)], y, p[None], [0], warn=False)
    folded = SystemScores("a", "t", ["x"], whole.keys, y, p[None], [0], folds=folds[None], warn=False)
    ap = get_task("multi-label").metric("macro_ap")
    each = [ap.score(Predictions(y[folds == fold], p[folds == fold])) for fold in range(50) if y[folds == fold].any()]
    apart = np.mean(each)
    assert abs(folded.mean("macro_ap") - whole.mean("macro_ap")) < 0.15 < apart - whole.mean("macro_ap")


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == [True, False, False, True]  # .005 <= .05 / 4, .01 <= .05 / 3, .03 > .05 / 2
    assert holm([0.02, 0.02]) == [True, True]
    assert holm([0.06]) == [False]
    assert holm([]) == []


def test_errors_without_a_bound_have_intervals_of_their_logarithm():
    mse, r2 = (get_task("regression").metric(name) for name in ("mse", "r2"))
    known = Uncertainty(((0.04, 30.0),))
    low, high = interval_of(mse, 0.5, 0.5, known, 31)
    assert low * high == pytest.approx(0.25)
    low, high = interval_of(r2, 0.5, 0.5, known, 31)
    assert (1 - low) * (1 - high) == pytest.approx(0.25)
    with pytest.raises(ValueError, match="between 0 and 1"):
        interval_of(mse, 0.5, 0.5, known, 31, 95)
