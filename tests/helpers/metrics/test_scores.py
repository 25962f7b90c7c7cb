from __future__ import annotations

import csv

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from helpers.metrics.differences import compare
from helpers.metrics.metric import Draws, Predictions
from helpers.metrics.scores import SystemScores
from helpers.metrics.tasks import get_task
from models.errors import ConfigError


def system(
    name: str = "a", folds: bool = False, strength: float = 1.0, seeds: int = 3, n: int = 90, seed: int = 0
) -> SystemScores:
    rng = np.random.default_rng(7)
    y = rng.random((n, 4)) < (0.5, 0.3, 0.2, 0.05)
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((seeds, n, 4))
    p = (1 / (1 + np.exp(-(strength * (2 * y - 1) + noise)))).astype(np.float32)
    ids = np.stack([np.random.default_rng(i).permutation(np.arange(n) % 5) for i in range(seeds)]) if folds else None
    keys = [f"{i}.flac" for i in range(n)]
    return SystemScores(name, "toy test", list("wxyz"), keys, y, p, list(range(seeds)), folds=ids)


def resampled(
    y: np.ndarray, p: np.ndarray, metric: str, resamples: int = 1, seed: int = 0, folds: np.ndarray | None = None
) -> np.ndarray:
    return get_task("multi-label").metric(metric).resampled(Predictions(y, p), Draws.of(len(y), resamples, seed), folds)


def test_without_folds_they_are_the_means_over_labels():
    s = system()
    for metric, score in (("macro_roc", roc_auc_score), ("macro_ap", average_precision_score)):
        want = [score(s.targets, p, average="macro") for p in s.predictions]
        np.testing.assert_allclose(s.scores(metric), want, atol=1e-12)
        assert s.mean(metric) == pytest.approx(np.mean(want))
        assert s.sd(metric) == pytest.approx(np.std(want, ddof=1))


def test_folds_are_scored_apart_and_labels_without_positives_in_a_fold_left_out_there():
    s = system(folds=True)
    for i in range(3):
        per_label = []
        for c in range(4):
            rows = [s.folds[i] == f for f in range(5)]
            defined = [r for r in rows if 0 < s.targets[r, c].sum() < r.sum()]
            per_label.append(np.mean([roc_auc_score(s.targets[r, c], s.predictions[i, r, c]) for r in defined]))
        np.testing.assert_allclose(s.scores("class_roc")[i], per_label, atol=1e-12)
        assert s.scores("macro_roc")[i] == pytest.approx(np.mean(per_label))
    assert any(
        (s.targets[s.folds[i] == f, 3].sum() == 0) for i in range(3) for f in range(5)
    )  # the rare label is absent somewhere
    assert s.n_classes("macro_roc") == 4


def test_a_shift_between_folds_does_not_change_the_score():
    s = system(folds=True)
    shifted = SystemScores(
        s.name, s.split, s.labels, s.keys, s.targets, s.predictions + 10 * s.folds[:, :, None], s.seeds, folds=s.folds
    )
    np.testing.assert_allclose(shifted.scores("macro_roc"), s.scores("macro_roc"))
    assert shifted.interval() == pytest.approx(s.interval())


def test_the_parts_hold_drawn_tracks():
    s, n = system(seeds=1, n=40), 40
    drawn = np.flatnonzero(Draws.of(n, 1, 5).weights[0])
    got = {name: resampled(s.targets, s.predictions[0], name, seed=5) for name in ("macro_roc", "macro_ap")}
    y, p = s.targets[drawn], s.predictions[0][drawn]
    kept = [c for c in range(4) if 0 < y[:, c].sum() < n]
    assert got["macro_roc"][0] == pytest.approx(np.mean([roc_auc_score(y[:, c], p[:, c]) for c in kept]))
    assert got["macro_ap"][0] == pytest.approx(
        np.mean([average_precision_score(y[:, c], p[:, c]) for c in range(4) if y[:, c].any()])
    )
    folds = np.arange(n) % 2
    got = resampled(s.targets, s.predictions[0], "macro_roc", seed=5, folds=folds)[0]
    per_label = []
    for c in range(4):
        parts = [(y[folds[drawn] == f, c], p[folds[drawn] == f, c]) for f in (0, 1)]
        values = [roc_auc_score(a, b) for a, b in parts if 0 < a.sum() < len(a)]
        per_label += [np.mean(values)] if values else []
    assert got == pytest.approx(np.mean(per_label))


def test_the_interval_covers_about_what_it_says():
    """The interval of 30 small samples holds the score of the whole population in most cases."""
    rng = np.random.default_rng(0)
    hits, truth = 0, 0.76025  # of P(a > b) for normal scores one apart: Phi(1 / sqrt 2)
    for i in range(30):
        y = rng.random((80, 1)) < 0.5
        p = (rng.standard_normal((80, 1)) + y).astype(np.float32)[None]
        low, high = SystemScores("a", "t", ["x"], [str(k) for k in range(80)], y, p, [0]).interval(n_resamples=300, seed=i)
        hits += low <= truth <= high
    assert hits >= 24


@pytest.mark.parametrize("folds", [False, True])
def test_saved_and_loaded_with_folds(tmp_path, folds):
    s = system(folds=folds)
    s.save(tmp_path)
    loaded = SystemScores.load(tmp_path)
    for metric in ("macro_roc", "macro_ap", "micro_roc"):
        np.testing.assert_array_equal(loaded.scores(metric), s.scores(metric))
    assert (loaded.folds is None) == (not folds)


def test_comparisons_need_the_same_tracks_and_folds():
    a, b = system("a", strength=1.5), system("b", strength=0.5, seed=1, seeds=2)
    found = compare(a, b)
    assert found.mean == pytest.approx(a.mean() - b.mean())
    assert found.interval[0] < found.mean < found.interval[1]
    assert found.interval[0] > 0
    paired = found.interval[1] - found.interval[0]
    same = compare(a, system("c", strength=1.4))  # the same noise: nearly the same mistakes
    assert same.interval[1] - same.interval[0] < 0.5 * paired
    with pytest.raises(ConfigError, match="tracks, labels and folds"):
        compare(a, system(folds=True))
    with pytest.raises(ConfigError, match="tracks, labels and folds"):
        compare(a, system(n=91))


def test_shapes_that_do_not_fit_are_refused():
    s = system()
    with pytest.raises(ConfigError, match="predictions are"):
        SystemScores("a", "t", list("wxyz"), s.keys, s.targets, s.predictions[:, :5], s.seeds)
    with pytest.raises(ConfigError, match="Folds of 'a'"):
        SystemScores("a", "t", list("wxyz"), s.keys, s.targets, s.predictions, s.seeds, folds=np.zeros((3, 5), int))


def test_an_interval_holds_its_score_even_in_small_folds():
    s = system(folds=True, n=150)
    for metric in ("macro_roc", "macro_ap"):
        low, high = s.interval(metric)
        assert low < s.mean(metric) < high


@pytest.mark.parametrize("folds", [False, True])
def test_micro_scores_have_an_interval_of_their_own(folds):
    s = system(folds=folds)
    for metric in ("micro_roc", "micro_ap"):
        low, high = s.interval(metric)
        assert low < s.mean(metric) < high
        assert s.resampled(metric).shape == (1000,)
    drawn = np.flatnonzero(Draws.of(90, 1, 0).weights[0])
    if not folds:
        want = [roc_auc_score(s.targets[drawn].ravel(), p[drawn].ravel()) for p in s.predictions]
        assert s.resampled("micro_roc", 1)[0] == pytest.approx(np.mean(want), abs=1e-12)
        want = [average_precision_score(s.targets[drawn].ravel(), p[drawn].ravel()) for p in s.predictions]
        assert resampled(s.targets, s.predictions[0], "micro_ap")[0] == pytest.approx(want[0], abs=1e-12)


def test_labels_have_a_table_of_their_own(tmp_path):
    s = system()
    s.targets[:, 3] = False
    s.save(tmp_path)
    rows = list(csv.DictReader((tmp_path / "labels.csv").open()))
    assert [row["label"] for row in rows] == list("wxyz")
    assert [int(row["tracks"]) for row in rows] == s.targets.sum(axis=0).tolist()
    scores = s.scores("class_roc")
    assert [float(row["roc"]) for row in rows[:3]] == pytest.approx(scores.mean(axis=0)[:3], abs=1e-6)
    assert [float(row["roc_sd"]) for row in rows[:3]] == pytest.approx(scores.std(axis=0, ddof=1)[:3], abs=1e-6)
    assert (rows[3]["roc"], rows[3]["ap"]) == ("", "")
