from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from datasets.store.track_store import TrackStore
from helpers.evaluation.baselines import STRENGTHS, mel_statistics, run_linear_model
from helpers.evaluation.crossval import cross_validate, linear_fit, probe_fit, repeated_folds, stratified_folds
from helpers.probe.run import ProbeSettings, Split
from models.errors import ConfigError, GroundtruthError, StoreError
from tests.helpers.probe.planted import LABELS, planted


@pytest.fixture
def mels(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {f"a/{i}.flac": rng.random((20 + i, 96)).astype(np.float16) for i in range(5)}
    with TrackStore.create(tmp_path / "mels.h5", (96,), "float16", {"kind": "mel", "front_end": "maest-essentia"}) as writer:
        for name, array in arrays.items():
            writer.append(name, array)
        writer.seal()
    return TrackStore.open(tmp_path / "mels.h5"), arrays


def test_mel_statistics(mels):
    store, arrays = mels
    keys = ["a/3.flac", "a/1.flac"]
    got = mel_statistics(store, keys, deltas=True)
    assert got.shape == (2, 4 * 96)
    assert got.dtype == np.float32
    for row, key in zip(got, keys):
        mel = arrays[key].astype(np.float64)
        change = mel[1:] - mel[:-1]
        want = [mel.mean(0), mel.std(0), change.mean(0), change.std(0)]
        np.testing.assert_allclose(row, np.concatenate(want), rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(mel_statistics(store, keys), got[:, : 2 * 96])


def test_mel_statistics_refuse_what_does_not_fit(mels, tmp_path):
    store, _ = mels
    with pytest.raises(GroundtruthError, match=r"2 of 3 tracks .* no mel spectrogram .*: 'x\.flac', 'y\.flac'"):
        mel_statistics(store, ["x.flac", "a/1.flac", "y.flac"])
    with TrackStore.create(tmp_path / "e.h5", (96,), "float32", {"kind": "embeddings"}) as writer:
        writer.append("a", np.zeros((1, 96), np.float32))
    with pytest.raises(StoreError, match="kind"):
        mel_statistics(tmp_path / "e.h5", ["a"])


def test_logistic_regression_is_scikit_learns_with_the_best_strength():
    train, validation, test = planted()
    got = run_linear_model("mel", (train, validation, test), LABELS)
    assert got.mean() > 0.95
    assert got.settings["C"] == STRENGTHS[int(np.argmax(got.settings["val_roc_tried"]))]
    shift, scale = train.x.mean(0, dtype=np.float64), train.x.std(0, dtype=np.float64)
    for c in range(len(LABELS)):
        model = LogisticRegression(C=got.settings["C"], max_iter=5000, tol=1e-8).fit((train.x - shift) / scale, train.y[:, c])
        np.testing.assert_allclose(got.predictions[0, :, c], model.predict_proba((test.x - shift) / scale)[:, 1], atol=2e-3)


def test_the_strength_is_chosen_by_validation_only():
    train, validation, test = planted(n=210)
    other = Split("test", test.keys, test.x, ~test.y)
    a, b = (run_linear_model("x", (train, validation, t), LABELS) for t in (test, other))
    assert a.settings == b.settings
    np.testing.assert_array_equal(a.predictions, b.predictions)


def test_a_label_without_examples_in_training_gets_its_share():
    train, validation, test = planted(n=210)
    train.y[:, 0], train.y[:, 1] = False, True
    got = run_linear_model("x", (train, validation, test), LABELS).predictions[0]
    assert (got[:, 0] < 1e-5).all()
    assert (got[:, 1] > 1 - 1e-5).all()


def test_shuffled_labels_are_not_found():
    got = run_linear_model("x", planted(n=2100, shuffled=True), LABELS)
    assert abs(got.mean() - 0.5) < 0.06


def test_refusals():
    train, validation, test = planted(n=210)
    with pytest.raises(ConfigError, match="positive"):
        run_linear_model("x", (train, validation, test), LABELS, strengths=(0.0,))
    with pytest.raises(GroundtruthError, match="also used"):
        run_linear_model("x", (train, validation, train), LABELS)


class TestCrossValidation:
    @given(seed=st.integers(0, 1000), n_folds=st.integers(3, 6))
    @settings(max_examples=30, deadline=None)
    def test_folds_hold_whole_groups_and_all_of_them_some(self, seed, n_folds):
        rng = np.random.default_rng(seed)
        group = [f"artist {i}" for i in rng.integers(0, 40, 150)] + ["", ""]
        y = rng.random((152, 6)) < 0.3
        fold = stratified_folds(y, n_folds, seed, group)
        of = {name: set(fold[[i for i, other in enumerate(group) if other == name]]) for name in group if name}
        assert all(len(folds) == 1 for folds in of.values())
        sizes = np.bincount(fold, minlength=n_folds)
        assert sizes.min() > 0
        assert sizes.max() <= 2 * 152 / n_folds
        alone = [f"{i}" for i in range(152)]
        assert (stratified_folds(y, n_folds, seed, alone) == stratified_folds(y, n_folds, seed)).all()

    def test_groups_too_few_for_the_folds_are_refused(self):
        y = np.ones((20, 1), dtype=bool)
        with pytest.raises(ConfigError, match="3 folds of 2 groups: wanted 3 or more folds"):
            stratified_folds(y, 3, 0, ["a", "b"] * 10)

    @pytest.mark.parametrize("n_folds", [3, 5, 10])
    def test_folds_are_even_in_size_and_in_every_label(self, n_folds):
        rng = np.random.default_rng(1)
        y = rng.random((195, 12)) < np.linspace(0.05, 0.6, 12)
        fold = stratified_folds(y, n_folds, seed=3)
        sizes = np.bincount(fold, minlength=n_folds)
        assert sizes.sum() == 195
        assert sizes.max() - sizes.min() <= 0.3 * 195 / n_folds

        def unevenness(fold):
            return sum(abs(np.bincount(fold[y[:, c]], minlength=n_folds) - y[:, c].sum() / n_folds).sum() for c in range(12))

        random = np.mean([unevenness(rng.permutation(np.arange(195) % n_folds)) for _ in range(50)])
        assert unevenness(fold) < 0.55 * random

    def test_single_label_classes_are_spread_to_within_one(self):
        y = np.eye(8, dtype=bool)[np.repeat(np.arange(8), 13)]
        fold = stratified_folds(y, 5)
        for c in range(8):
            counts = np.bincount(fold[y[:, c]], minlength=5)
            assert counts.max() - counts.min() <= 1

    def test_repetitions_differ_and_are_reproducible(self):
        y = np.random.default_rng(0).random((60, 4)) < 0.3
        folds = repeated_folds(y, 5, 3, seed=2)
        assert (folds == repeated_folds(y, 5, 3, seed=2)).all()
        assert len({tuple(fold) for fold in folds}) == 3

    def test_no_track_is_tested_by_a_head_that_saw_it(self):
        train = planted(n=140)[0]
        folds = repeated_folds(train.y, 5, 2)
        seen: list[tuple[int, str]] = []

        def fit(splits, seed):
            train, validation, test = splits
            assert not {*train.keys, *validation.keys} & {*test.keys}
            assert not {*train.keys} & {*validation.keys}
            assert len(train.keys) + len(validation.keys) + len(test.keys) == 100
            seen.extend((seed, key) for key in test.keys)
            return np.tile(train.y.mean(0), (len(test.keys), 1))

        result = cross_validate("x", fit, train, LABELS, folds)
        assert sorted(seen) == sorted((repeat, key) for repeat in range(2) for key in train.keys)
        assert result.split == "train, 5-fold cross-validation x 2"
        assert result.scores("macro_roc") == pytest.approx([0.5, 0.5])  # constants rank nothing, whatever the folds' shares are

    def test_probe_and_baseline_on_the_same_folds(self):
        x, y, keys = np.concatenate([s.x for s in planted(n=210)]), np.concatenate([s.y for s in planted(n=210)]), list("x" * 210)
        data = Split("planted", [f"{k}{i}" for i, k in enumerate(keys)], x, y)
        folds = repeated_folds(y, 5, 2)
        settings = ProbeSettings(hidden=32, max_epochs=15, batch_size=32, max_lr=1e-2, warmup_epochs=2, max_lr_epochs=5)
        for fit in (probe_fit(LABELS, settings), linear_fit(LABELS)):
            result = cross_validate("x", fit, data, LABELS, folds)
            assert result.scores("macro_roc").min() > 0.85
            assert result.predictions.shape == (2, 210, len(LABELS))

    def test_refusals(self):
        data = planted(n=140)[0]
        with pytest.raises(ConfigError, match="2 folds"):
            stratified_folds(data.y, 2)
        with pytest.raises(GroundtruthError, match="folds are of shape"):
            cross_validate("x", linear_fit(LABELS), data, LABELS, np.zeros((2, 5), int))
