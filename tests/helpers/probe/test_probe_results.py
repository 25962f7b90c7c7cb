"""What a probe is refused, and what becomes of its results."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.metrics.differences import compare
from helpers.metrics.scores import SystemScores
from helpers.probe import run as probe_module
from helpers.probe.head_training import initial_head
from helpers.probe.run import ProbeSettings, Split, run_probe
from models.errors import ConfigError, GroundtruthError
from tests.helpers.probe.planted import LABELS, QUICK, planted


@pytest.fixture(scope="module")
def result():
    return run_probe("planted", planted(), LABELS, seeds=(0, 1, 2), settings=QUICK)


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
        refused(r"1 of 150 train tracks .* not finite, or beyond 1e\+15: 3.flac", t=replace(train, x=bad))
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
