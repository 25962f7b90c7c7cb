"""Splits of few tracks and few groups: at every seed each can be learned from, chosen by and tested on; deals of larger sets stay as they were."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from datasets.groundtruth.groundtruth import SPLITS, Groundtruth
from datasets.groundtruth.splits import stratified_split
from datasets.groundtruth.values import Values
from models.errors import GroundtruthError

SEEDS = range(51)
ARTISTS = [f"artist {i // 5}" for i in range(60)]  # 12 of 5 files


def make(y, group=None):
    return Groundtruth.from_rows([f"{i}.wav" for i in range(len(y))], list(np.asarray(y, dtype=int)), group=group)


def one_of(n_classes, which):
    return np.eye(n_classes, dtype=bool)[np.asarray(which)]


RNG = np.random.default_rng(0)
COLLECTIONS = {
    "classes of artists": make(one_of(3, np.repeat(np.arange(12) % 3, 5)), ARTISTS),
    "classes within artists": make(one_of(3, RNG.integers(3, size=60)), ARTISTS),
    "tags of artists": make(np.repeat(RNG.random((12, 6)) < 0.3, 5, axis=0), ARTISTS),
    "tags within artists": make(RNG.random((60, 6)) < 0.3, ARTISTS),
    "uneven groups": make(one_of(3, np.arange(60) % 3), ["big"] * 40 + [f"{i}" for i in range(20)]),
    "6 files, 2 classes": make(one_of(2, np.arange(6) % 2)),
    "9 keys of 3": make(one_of(9, np.arange(27) % 9), [f"{i // 3}" for i in range(27)]),
    "9 keys": make(one_of(9, np.arange(36) % 9)),
    "numbers": Values([f"{i}" for i in range(60)], ["x"], RNG.random((60, 1)), group=ARTISTS).binned(),
    "three values": Values([f"{i}" for i in range(30)], ["x"], (np.arange(30) % 3)[:, None] * 1.0).binned(),
}


@pytest.mark.parametrize("name", COLLECTIONS)
def test_every_seed_gives_a_split_that_can_be_used(name):
    truth = COLLECTIONS[name]
    y = truth.matrix()
    for seed in SEEDS:
        split = np.array(stratified_split(truth, seed))
        parts = {part: y[split == part] for part in SPLITS}
        assert len(parts["train"]) >= 1
        for part in ("val", "test"):  # some label is on some of its tracks, not on all
            assert (parts[part].any(axis=0) & ~parts[part].all(axis=0)).any(), (seed, part)
        if (y.sum(axis=1) == 1).all():
            assert parts["train"].any(axis=0).sum() == y.any(axis=0).sum(), seed
        for group in set(truth.group or ()):
            assert len({part for part, of in zip(split, truth.group) if of == group}) == 1


def test_a_split_without_labels_has_tracks_in_every_part():
    for n, least in ((3, (1, 1, 1)), (4, (1, 1, 2)), (11, (1, 1, 2))):
        for seed in SEEDS:
            split = stratified_split(Groundtruth.unlabelled([str(i) for i in range(n)]), seed)
            assert all(split.count(part) >= m for part, m in zip(SPLITS, least))


def test_what_no_deal_gives_is_said(caplog):
    y = one_of(3, [0] * 10 + [1] * 10 + [2] * 5)
    truth = make(y, ["a"] * 10 + ["b"] * 10 + ["c"] * 5)  # each class is one artist's
    split = stratified_split(truth, 0)
    assert set(split) == set(SPLITS)
    assert "training a track of every class: it lacks " in caplog.text
    assert "nothing to tell apart: too few groups" in caplog.text


@pytest.mark.parametrize("group", [None, ["a", "b", "b"]])
def test_fewer_units_than_splits_are_refused(group):
    truth = make(np.ones((3 if group else 2, 1)), group)
    with pytest.raises(GroundtruthError, match=f"2 {'groups' if group else 'tracks'} cannot be split: 3 splits want one each"):
        stratified_split(truth)


@pytest.mark.parametrize(
    ("grouped", "classes", "sha"),
    [
        (False, False, "55d106a05b936b77"),
        (True, False, "68062692b81029a8"),
        (False, True, "f4e4bcd10d645d41"),
        (True, True, "db4ab79d5f56ada5"),
    ],
)
def test_deals_that_could_be_used_are_those_of_the_first_version(grouped, classes, sha):
    """sha256 of the deals of seeds 0..50 by the code before there were several deals."""
    rng = np.random.default_rng(7)
    tags, group = rng.random((240, 8)) < 0.3, [f"a{i}" for i in rng.integers(0, 40, 240)]
    y = np.eye(4, dtype=bool)[rng.integers(4, size=240)] if classes else tags
    truth, digest = make(y, group if grouped else None), hashlib.sha256()
    for seed in SEEDS:
        digest.update(",".join(stratified_split(truth, seed)).encode())
    assert digest.hexdigest()[:16] == sha
