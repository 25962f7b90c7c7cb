"""Folds of few groups: whole groups, none empty, something to tell apart in each; and cross-validation of every task by group."""

from __future__ import annotations

import numpy as np
import pytest

from datasets.groundtruth.groundtruth import Groundtruth
from datasets.groundtruth.groups import Groups
from datasets.groundtruth.values import Values
from datasets.store.track_store import TrackStore
from helpers.evaluation.comparison import compare_systems
from helpers.evaluation.constant_guess import constant_guess
from helpers.evaluation.crossval import stratified_folds
from helpers.metrics.ordinal import step_names
from helpers.probe.inputs import Inputs
from helpers.probe.protocol import Protocol
from helpers.probe.run import ProbeSettings

ARTISTS = Groups([f"artist {i // 5}" for i in range(60)], "artist")
RNG = np.random.default_rng(1)
TARGETS = {
    "classes of artists": np.eye(3, dtype=bool)[np.repeat(np.arange(12) % 3, 5)],
    "classes": np.eye(3, dtype=bool)[RNG.integers(3, size=60)],
    "tags of artists": np.repeat(RNG.random((12, 8)) < 0.3, 5, axis=0),
}


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("n_folds", [3, 5])
def test_every_seed_gives_folds_that_can_be_used(name, n_folds):
    y = TARGETS[name]
    for seed in range(51):
        fold = stratified_folds(y, n_folds, seed, ARTISTS)
        for f in range(n_folds):
            part, trained = y[fold == f], y[(fold != f) & (fold != (f + 1) % n_folds)]
            assert (part.any(axis=0) & ~part.all(axis=0)).any(), (seed, f)
            if (y.sum(axis=1) == 1).all():
                assert not (part.any(axis=0) & ~trained.any(axis=0)).any(), (seed, f)
        assert all(len({fold[i] for i in range(60) if ARTISTS[i] == group}) == 1 for group in set(ARTISTS))


KEYS = ["C major", "G major", "A minor"]


@pytest.mark.parametrize("task", ["multi-label", "single-label", "key", "regression", "ordinal"])
def test_cross_validation_by_group_works_for_every_task(task, tmp_path):
    rng, keys = np.random.default_rng(0), [f"{i}.wav" for i in range(60)]
    x = rng.standard_normal((60, 8)).astype(np.float32)
    with TrackStore.create(
        tmp_path / "embeddings.h5", (8,), "float32", {"kind": "embeddings", "network": {"embed_dim": 8}}
    ) as writer:
        for key, row in zip(keys, x):
            writer.append(key, row[None])
        writer.seal()
    one, tags = np.eye(3, dtype=int)[x[:, :3].argmax(axis=1)], (x[:, :4] > 0).astype(int)
    steps = np.stack([x[:, 0] > -0.5, x[:, 0] > 0.5], axis=1).astype(int)
    truth = {
        "multi-label": lambda: Groundtruth.from_rows(keys, list(tags), group=ARTISTS),
        "single-label": lambda: Groundtruth.from_rows(keys, list(one), group=ARTISTS),
        "key": lambda: Groundtruth(keys, KEYS, np.packbits(one.astype(bool), axis=1), None, ARTISTS),
        "regression": lambda: Values(keys, ["a", "b"], x[:, :2].astype(float), group=ARTISTS),
        "ordinal": lambda: Groundtruth(keys, step_names([1, 2, 3]), np.packbits(steps.astype(bool), axis=1), None, ARTISTS),
    }[task]()
    how = Protocol(ProbeSettings(task=task, max_epochs=4, hidden=8, max_lr=1e-2), Inputs(token_size=8))
    scores, _ = compare_systems({"probe": tmp_path}, {"all": truth}, how, folds=4, repeats=2)
    found = scores[0]
    assert found.folds is not None
    assert found.settings["n_groups"] == 12
    for fold in found.folds:
        assert all(len({fold[i] for i in range(60) if ARTISTS[i] == group}) == 1 for group in set(ARTISTS))
    assert np.isfinite(found.mean())
    guess = constant_guess(found, {"all": truth})
    assert np.array_equal(guess.folds, found.folds)
    for repeat, fold in enumerate(guess.folds):  # each fold's guess is of the folds that its system learns from
        for f in range(4):
            trained = found.targets[(fold != f) & (fold != (f + 1) % 4)].astype(float)
            assert np.allclose(guess.predictions[repeat, fold == f], trained.mean(axis=0))
