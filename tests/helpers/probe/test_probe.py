"""A probe of one split: planted labels are found, the test split is read once, results are stored and compared, refusals."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from helpers.evaluation.comparison import log_edge, log_unfinished
from helpers.metrics.scores import SystemScores, compare
from helpers.probe import run as probe_module
from helpers.probe.head_training import initial_head
from helpers.probe.run import ProbeSettings, Split, run_probe
from models.errors import ConfigError, GroundtruthError
from tests.helpers.probe.planted import LABELS, QUICK, planted


@pytest.fixture(scope="module")
def result():
    return run_probe("planted", planted(), LABELS, seeds=(0, 1, 2), settings=QUICK)


def test_planted_linear_labels_are_found(result):
    assert (result.scores.scores("macro_roc") > 0.95).all()
    assert result.scores.split == "test"
    assert result.scores.n_classes() == len(LABELS)


def test_shuffled_labels_are_not(result):
    scores = run_probe("shuffled", planted(n=2100, shuffled=True), LABELS, seeds=(0, 1, 2), settings=QUICK).scores
    assert abs(scores.mean() - 0.5) < 0.06


def test_scores_are_scikit_learns(result):
    test = planted()[2]
    want = [roc_auc_score(test.y, p, average="macro") for p in result.scores.predictions]
    np.testing.assert_allclose(result.scores.scores("macro_roc"), want, atol=1e-12)


class Sealed(Split):
    """A split whose embeddings and labels cannot be read while a head is trained or an epoch chosen."""

    training = False

    def __getattribute__(self, name):
        if name in ("x", "y", "track", "examples") and Sealed.training:
            raise AssertionError(f"the test split's {name} was read before its time")
        return super().__getattribute__(name)


def test_the_choice_uses_validation_only_and_the_test_split_is_touched_once(monkeypatch):
    train, validation, test = planted(n=350)
    grid = replace(QUICK, lr_grid=(1e-3, 5e-3), aggregate="best")
    real, logits, scored = probe_module.train_heads, probe_module.head_logits, []

    def sealed(*args):
        monkeypatch.setattr(Sealed, "training", True)
        try:
            return real(*args)
        finally:
            monkeypatch.setattr(Sealed, "training", False)

    def counted(head, x, source):
        scored.append(x is test.x)
        return logits(head, x, source)

    monkeypatch.setattr(probe_module, "train_heads", sealed)
    monkeypatch.setattr(probe_module, "head_logits", counted)
    first = run_probe("x", (train, validation, Sealed("test", test.keys, test.x, test.y)), LABELS, seeds=(0, 1), settings=grid)
    assert sum(scored) == 2  # once for each seed's chosen head
    other = replace(test, x=-test.x[::-1].copy(), y=~test.y)  # poisoned: nothing that is chosen may change
    second = run_probe("x", (train, validation, other), LABELS, seeds=(0, 1), settings=grid)
    assert first.scores.validation == second.scores.validation
    assert first.best == second.best
    assert first.scores.settings["aggregate"] == second.scores.settings["aggregate"]
    for a, b in zip(first.heads, second.heads):
        for p, q in zip(a.parameters(), b.parameters()):
            assert torch.equal(p, q)


def test_a_probe_that_could_do_better_says_so(caplog):
    def said(settings: ProbeSettings) -> str:
        caplog.clear()
        scores = run_probe("x", planted(n=350), LABELS, seeds=(0, 1), settings=settings).scores
        log_edge(scores, settings)
        log_unfinished(scores, settings)
        return caplog.text

    assert "every seed kept the largest rate of the grid, 0.005" in said(replace(QUICK, max_epochs=5, lr_grid=(1e-6, 5e-3)))
    inside = said(replace(QUICK, max_epochs=5, lr_grid=(1e-6, 5e-3, 10.0)))
    assert "of the grid, 0.005" not in inside
    assert "best in the last epochs" in said(replace(QUICK, max_epochs=8, max_lr=1e-4, scheduler="constant"))
    assert "every seed" not in caplog.text  # there is no grid


def test_standardising_uses_the_training_split_only():
    train, validation, test = planted()
    scaled = [replace(s, x=s.x * np.float32(1000) + np.float32(500)) for s in (train, validation, test)]
    scaled[0].x[:, 0] = scaled[1].x[:, 0] = scaled[2].x[:, 0] = 7.0  # a constant input
    result = run_probe("scaled", scaled, LABELS, seeds=(0,), settings=replace(QUICK, standardise=True))
    np.testing.assert_allclose(result.shift[1:], scaled[0].x.mean(0, dtype=np.float64)[1:], rtol=1e-5)
    assert result.scale[0] == 1
    assert result.scores.mean() > 0.9


def test_saved_and_loaded(tmp_path, result):
    from safetensors.torch import load_file

    saved = result.save(tmp_path / "out")
    about = json.loads(saved.read_text())
    assert about["split"] == "test"
    assert about["macro_roc"]["n_classes"] == len(LABELS)
    assert len(about["macro_roc"]["per_seed"]) == 3
    assert set(about["class_roc"]) == set(LABELS)
    low, high = about["macro_roc"]["interval_95"]
    assert low < about["macro_roc"]["mean"] < high
    loaded = SystemScores.load(tmp_path / "out")
    np.testing.assert_array_equal(loaded.predictions, result.scores.predictions)
    np.testing.assert_array_equal(loaded.history["val_roc"], result.scores.history["val_roc"])
    assert (loaded.keys, loaded.seeds, loaded.settings) == (result.scores.keys, result.scores.seeds, result.scores.settings)
    head = initial_head(9, 24, len(LABELS), **QUICK.head)
    head.load_state_dict(load_file(tmp_path / "out" / "head.safetensors"))
    with torch.no_grad():
        predictions = head.eval()(torch.from_numpy(planted()[2].x)).sigmoid().numpy()
    np.testing.assert_allclose(predictions, result.scores.predictions[result.best], atol=1e-6)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["head.safetensors", "labels.csv", "scores.json", "scores.npz"]


def test_paired_comparison(result):
    worse = run_probe("worse", planted(), LABELS, seeds=(0, 1), settings=replace(QUICK, max_epochs=1, max_lr=1e-4)).scores
    found = compare(result.scores, worse)
    assert found.interval[0] > 0
    assert found.interval[0] < found.mean < found.interval[1]
    same = compare(result.scores, result.scores)
    assert (same.mean, same.interval) == (0, (0, 0))
    with pytest.raises(ConfigError, match="same tracks"):
        compare(result.scores, replace(worse, split="validation"))


def test_one_seed_has_no_spread(result):
    one = replace(result.scores, predictions=result.scores.predictions[:1], seeds=[0])
    assert np.isnan(one.sd())
    assert one.summary()["macro_roc"]["sd"] is not None  # nan here; null in the file
    assert result.scores.sd() == pytest.approx(np.std(result.scores.scores("macro_roc"), ddof=1))


class TestRefusals:
    def test_before_training(self, monkeypatch):
        train, validation, test = planted(n=210)
        monkeypatch.setattr(probe_module, "train_heads", lambda *a: pytest.fail("trained"))

        def refused(match, t=train, v=validation, s=test, **more):
            with pytest.raises((GroundtruthError, ConfigError), match=match):
                run_probe("x", (t, v, s), LABELS, **more)

        bad = train.x.copy()
        bad[3, 2] = np.nan
        refused("1 of 150 train tracks .* not finite: 3.flac", t=replace(train, x=bad))
        refused("test split has embeddings", s=replace(test, x=test.x[:, :5]))
        refused("validation split has no tracks", v=Split("validation", [], validation.x[:0], validation.y[:0]))
        refused("1 test tracks are also used", s=replace(test, keys=[train.keys[0], *test.keys[1:]]))
        refused(
            "No label has what val_roc needs.*optimizer.monitor=val_loss", v=replace(validation, y=np.zeros_like(validation.y))
        )
        bare = validation.y.copy()
        bare[:, :5], bare[:, 5] = False, True
        refused(
            r"validation \(30 tracks\): no track has 'a', 'b', 'c', 'd', 'e', every track has 'f'", v=replace(validation, y=bare)
        )
        refused("different seeds", seeds=(1, 1))
        refused("different seeds", seeds=())

    def test_settings(self):
        with pytest.raises(ConfigError, match="Did you mean 'cyclic'"):
            ProbeSettings(scheduler="cyclik")
        with pytest.raises(ConfigError, match="val_roc, val_ap, val_loss"):
            ProbeSettings(monitor="test_roc")
        with pytest.raises(ConfigError, match="max_epochs is 0"):
            ProbeSettings(max_epochs=0)


def test_one_class_is_refused_and_a_split_of_one_told(caplog):
    x, y = np.random.default_rng(0).standard_normal((12, 3)).astype(np.float32), np.eye(2, dtype=bool)
    parts = [Split(name, [f"{name}{i}" for i in range(4)], x[:4], y[[0, 0, 0, 0]]) for name in ("train", "validation", "test")]
    with pytest.raises(GroundtruthError, match="All tracks are of the class 'rock'.*data.label_column"):
        probe_module.check_splits(parts, ["rock", "jazz"], "val_acc", "single-label")
    parts[0] = replace(parts[0], y=y[[0, 1, 0, 1]])
    parts[1] = replace(parts[1], y=y[[0, 1, 0, 1]])
    probe_module.check_splits(parts, ["rock", "jazz"], "val_acc", "single-label")
    assert "All 4 test tracks are of the class 'rock'" in caplog.text
    assert "train tracks" not in caplog.text
