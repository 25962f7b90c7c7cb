"""A probe of one split: planted labels are found, the test split is read once, inputs are scaled by the training split."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from helpers.evaluation.comparison import log_edge, log_unfinished
from helpers.probe import run as probe_module
from helpers.probe.run import ProbeSettings, Split, run_probe
from tests.helpers.probe.planted import LABELS, QUICK, planted


@pytest.fixture(scope="module")
def result():
    return run_probe("planted", planted(), LABELS, seeds=(0, 1, 2), settings=QUICK)


def test_planted_linear_labels_are_found(result):
    assert (result.scores.scores("macro_roc") > 0.95).all()
    assert result.scores.split == "test"
    assert result.scores.n_classes() == len(LABELS)


def test_shuffled_labels_are_not(result):
    scores = run_probe(
        "shuffled", planted(n=2100, shuffled=True), LABELS, seeds=(0,), settings=replace(QUICK, max_epochs=10)
    ).scores
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
