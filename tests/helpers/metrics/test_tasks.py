from __future__ import annotations

import numpy as np
import pytest
import torch
from mir_eval.key import weighted_score
from sklearn.metrics import accuracy_score, balanced_accuracy_score, mean_squared_error, r2_score

from helpers.metrics.aggregation import activate
from helpers.metrics.differences import compare
from helpers.metrics.keys import key_class, key_weights
from helpers.metrics.losses import loss_of
from helpers.metrics.metric import Draws, Predictions
from helpers.metrics.scores import SystemScores
from helpers.metrics.tasks import TASKS, get_task, score
from helpers.probe.run import Targets, check_truths
from models.errors import ConfigError, GroundtruthError

KEYS = ["C major", "G:maj", "A minor", "C min", "F# major", "Eb minor"]
rng = np.random.default_rng(0)


def resampled(task, targets, predictions, labels, resamples, seed):
    data, draws = Predictions(targets, predictions, labels), Draws.of(len(targets), resamples, seed)
    return {metric.name: metric.resampled(data, draws) for metric in get_task(task).metrics}


def check_targets(task, targets, keys, labels):
    get_task(task).check(targets, keys, labels)


def defined(scores):
    return int(np.isfinite(scores).sum())


def one_hot(classes: np.ndarray, n: int) -> np.ndarray:
    return np.eye(n, dtype=bool)[classes]


@pytest.fixture
def classes():
    true = rng.integers(0, 6, 200)
    guessed = np.where(rng.random(200) < 0.5, true, rng.integers(0, 6, 200))
    return one_hot(true, 6), one_hot(guessed, 6) + 0.01 * rng.random((200, 6)), true, guessed


def test_class_scores_are_scikit_learns(classes):
    targets, predictions, true, guessed = classes
    found = score("single-label", targets, predictions)
    assert found["accuracy"] == pytest.approx(accuracy_score(true, guessed), abs=1e-12)
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(true, guessed), abs=1e-12)


def test_a_class_that_does_not_occur_is_left_out_and_counted(classes):
    targets, predictions, true, _ = classes
    rows = true != 2
    found = score("single-label", targets[rows], predictions[rows])
    assert defined(found["class_recall"]) == 5
    assert np.isnan(found["class_recall"][2])
    assert found["balanced_accuracy"] == pytest.approx(np.nanmean(found["class_recall"]))


def test_the_key_score_is_mir_evals(classes):
    targets, predictions, true, guessed = classes
    names = ["C major", "G major", "A minor", "C minor", "F# major", "Eb minor"]
    want = np.mean([weighted_score(names[a], names[b]) for a, b in zip(true, guessed)])
    assert score("key", targets, predictions, KEYS)["weighted_score"] == pytest.approx(want, abs=1e-12)
    weights = key_weights(tuple(KEYS))
    assert weights[0].tolist() == [1.0, 0.5, 0.3, 0.2, 0.0, 0.0]


def test_two_names_of_a_key_are_one_key():
    """Pitch class and mode count, in accuracy, recall and key score alike."""
    labels = ["C# major", "Db major", "C major", "Cb:min", "b minor"]
    assert [key_class(label) for label in labels] == [(1, "major"), (1, "major"), (0, "major"), (11, "minor"), (11, "minor")]
    targets = one_hot(np.array([0, 1, 3, 2]), 5)
    predictions = one_hot(np.array([1, 0, 4, 0]), 5).astype(float)
    found = score("key", targets, predictions, labels)
    assert found["accuracy"] == 0.75
    assert found["weighted_score"] == 0.75
    np.testing.assert_array_equal(found["class_recall"], [1, 1, 0, 1, np.nan])
    assert resampled("key", targets, predictions, labels, 3, seed=0)["accuracy"].shape == (3,)
    assert key_weights(("C# major", "Db major"))[0].tolist() == [1.0, 1.0]


def test_regression_scores_are_scikit_learns():
    y, p = rng.standard_normal((80, 3)), rng.standard_normal((80, 3))
    p += y
    found = score("regression", y, p)
    assert found["r2"] == pytest.approx(r2_score(y, p), abs=1e-12)
    np.testing.assert_allclose(found["class_r2"], r2_score(y, p, multioutput="raw_values"))
    assert found["mse"] == pytest.approx(mean_squared_error(y, p))
    constant = score("regression", np.c_[y[:, :1], np.ones(80)], p[:, :2])
    assert defined(constant["class_r2"]) == 1
    assert constant["r2"] == pytest.approx(r2_score(y[:, 0], p[:, 0]))


@pytest.mark.parametrize("task", ["single-label", "key", "regression"])
def test_resampled_scores_are_those_of_the_resampled_tracks(task, classes):
    targets, predictions = classes[:2] if task != "regression" else (rng.standard_normal((200, 2)), rng.standard_normal((200, 2)))
    found = resampled(task, targets, predictions, KEYS, 5, seed=3)
    for i, drawn in enumerate(Draws.of(200, 5, 3).weights):
        rows = np.flatnonzero(drawn)
        want = score(task, targets[rows], predictions[rows], KEYS)
        for metric in TASKS[task].headline:
            assert found[metric.name][i] == pytest.approx(want[metric.name], abs=1e-9)


@pytest.mark.parametrize("name", ["bce", "ce", "mse"])
def test_losses_and_predictions_are_torchs(name):
    z, y = torch.randn(7, 4), torch.nn.functional.one_hot(torch.arange(7) % 4, 4).float()
    f = torch.nn.functional
    want = {"bce": f.binary_cross_entropy_with_logits(z, y), "ce": f.cross_entropy(z, y.argmax(1)), "mse": f.mse_loss(z, y)}[name]
    torch.testing.assert_close(loss_of(name, z, y), want)
    probabilities = {"bce": z.sigmoid(), "ce": z.softmax(1), "mse": z}[name]
    np.testing.assert_allclose(activate(name, z.numpy()), probabilities.numpy(), atol=1e-6)


def test_targets_that_a_task_cannot_use():
    y = one_hot(np.array([0, 1, 2]), 6)
    check_targets("single-label", y, ["a", "b", "c"], KEYS)
    y[1, 4] = True
    with pytest.raises(GroundtruthError, match=r"1 of 3 tracks have several: b \(2\)"):
        check_targets("single-label", y, ["a", "b", "c"], KEYS)
    with pytest.raises(GroundtruthError, match="2 of 3 tracks have none: 'a', 'c'. Give them one"):
        check_targets("single-label", one_hot(np.array([0, 1, 0]), 6) & [False, *[True] * 5], ["a", "b", "c"], KEYS)
    with pytest.raises(GroundtruthError, match="'rock' is no key"):
        check_targets("key", one_hot(np.array([0]), 2), ["a"], ["C major", "rock"])
    with pytest.raises(GroundtruthError, match="NaN"):
        check_targets("regression", np.array([[np.nan]]), ["a"], ["x"])


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(ConfigError, match="single-label"):
        get_task("single_label")
    with pytest.raises(ConfigError, match="val_roc, val_ap, val_loss"):
        get_task("multi-label").monitor("val_acc")
    with pytest.raises(ConfigError, match="trained with bce"):
        get_task("multi-label").loss_name("ce")
    curves = {
        "multi-label": "val_ap",
        "single-label": "val_acc",
        "key": "val_key",
        "regression": "val_r2",
        "ordinal": "val_grade_mse",
    }
    curves |= {"beats": "val_beat_f", "chords": "val_chord_acc", "structure": "val_frame_acc"}
    assert {t: get_task(t).monitor("auto_ap") for t in TASKS} == curves


@pytest.mark.parametrize("task", ["single-label", "key", "regression"])
def test_saved_compared_and_read_back(task, classes, tmp_path):
    targets, predictions = classes[:2] if task != "regression" else (rng.standard_normal((200, 6)), rng.standard_normal((200, 6)))
    keys = [str(i) for i in range(200)]
    make = lambda p: SystemScores("a", "x test", KEYS, keys, targets, np.stack([p, p]).astype(np.float32), [0, 1], task=task)  # noqa: E731
    one, other = make(predictions), make(np.roll(predictions, 1, axis=0))
    one.save(tmp_path)
    loaded = SystemScores.load(tmp_path)
    assert loaded.task == task
    assert loaded.mean() == one.mean()
    low, high = one.interval()
    assert low < one.mean() < high
    found = compare(one, other)
    assert found.metric == TASKS[task].main.name
    assert found.mean == pytest.approx(one.mean() - other.mean())
    tags = SystemScores("t", "x test", KEYS, keys, targets > 0, predictions[None].astype(np.float32), [0])
    with pytest.raises(ConfigError, match=f"'a' is {task}, 't' multi-label"):
        compare(one, tags)


def test_a_value_that_does_not_vary_has_no_r2_whatever_rounding_makes_of_it():
    constant, guess = np.full((3, 1), 0.1), np.zeros((3, 1))
    found = score("regression", constant, guess)
    assert np.isnan(found["r2"])
    assert defined(found["class_r2"]) == 0
    both = np.concatenate([np.full((50, 1), 0.3), rng.standard_normal((50, 1))], axis=1)
    found = score("regression", both, both + 0.1)
    assert defined(found["class_r2"]) == 1
    assert found["r2"] == pytest.approx(r2_score(both[:, 1], both[:, 1] + 0.1))
    drawn = resampled("regression", both, both + 0.1, "xy", 20, 0)["r2"]
    assert np.isfinite(drawn).all()
    assert (np.abs(drawn) <= 1).all()
    assert np.isnan(resampled("regression", constant, guess, "x", 5, 0)["r2"]).all()


def test_a_regression_whose_validation_does_not_vary_is_refused_before_training():
    parts = [Targets(name, [f"{name}{i}" for i in range(4)], np.full((4, 1), 0.1)) for name in ("train", "validation", "test")]
    with pytest.raises(
        GroundtruthError,
        match=r"No value has what val_r2 needs among the 4 validation tracks.*optimizer\.monitor=val_loss",
    ):
        check_truths(parts, ["x"], "val_r2", "regression")
    check_truths(parts, ["x"], "val_loss", "regression")


def test_logits_far_out_keep_their_order():
    logits = np.array([[30.0], [25.0], [20.0], [-1.0]], dtype=np.float32)
    assert (np.diff(activate("bce", logits).ravel()) < 0).all()
    assert (np.diff(activate("ce", np.concatenate([logits, np.zeros_like(logits)], axis=1))[:, 0]) < 0).all()
