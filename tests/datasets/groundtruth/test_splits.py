"""Stratified splits: pure functions of the seed, in proportion for every label, groups kept whole, written and read back."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.groundtruth.groundtruth import SPLITS, Groundtruth
from datasets.groundtruth.splits import FRACTIONS, ensure_split, read_split, stratified_split, write_split
from models.errors import GroundtruthError


def make(rows, group=None):
    return Groundtruth.from_rows([f"{i}\n{i}.wav" for i in range(len(rows))], list(np.asarray(rows, dtype=int)), group=group)


def shares(truth, split):
    """Tracks of each label in each split [3, L]."""
    matrix = truth.matrix()
    return np.stack([matrix[np.array(split) == name].sum(0) for name in SPLITS])


def test_every_label_is_split_in_proportion():
    rng = np.random.default_rng(0)
    chances = np.array([0.5, 0.2, 0.1, 0.05, 0.02, 0.01])
    truth = make(rng.random((5000, 6)) < chances)
    got = shares(truth, stratified_split(truth, seed=1))
    wanted = np.outer(FRACTIONS, truth.counts)
    # far closer than chance: a random split is off by sqrt(n p (1 - p)), about 9 for 1000 tracks of a label in validation
    assert np.abs(got - wanted).max() <= 2
    sizes = np.array([stratified_split(truth, seed=1).count(name) for name in SPLITS])
    assert np.abs(sizes - np.multiply(FRACTIONS, 5000)).max() <= 10


def test_single_labels_of_few_tracks_reach_all_splits():
    truth = make(np.repeat(np.eye(20), 3, axis=0))  # 20 classes of 3 tracks: 2.4 + 0.3 + 0.3
    split = stratified_split(truth)
    got = shares(truth, split)
    assert got[0].min() >= 1
    assert abs(split.count("val") - 6) <= 1
    assert abs(split.count("test") - 6) <= 1


def test_unlabelled_tracks_are_split_too():
    truth = make(np.concatenate([np.ones((100, 1)), np.zeros((100, 1))]))
    split = np.array(stratified_split(truth))
    for half in (split[:100], split[100:]):
        np.testing.assert_allclose([(half == name).sum() for name in SPLITS], [80, 10, 10], atol=1)


@settings(max_examples=40, deadline=None)
@given(st.integers(20, 120), st.integers(1, 6), st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_a_split_is_a_pure_function(n, n_labels, seed, data_seed):
    rows = np.random.default_rng(data_seed).random((n, n_labels)) < 0.3
    truth = make(rows)
    split = stratified_split(truth, seed)
    assert len(split) == n
    assert set(split) == set(SPLITS)
    assert split == stratified_split(truth, seed)
    counts = np.array([split.count(name) for name in SPLITS])
    assert np.abs(counts - np.multiply(FRACTIONS, n)).max() <= 2 + n_labels


def test_seeds_differ():
    truth = make(np.random.default_rng(0).random((200, 4)) < 0.3)
    assert stratified_split(truth, 0) != stratified_split(truth, 1)


def test_groups_are_never_torn_apart():
    rng = np.random.default_rng(0)
    group = rng.integers(0, 120, 1000)
    truth = make(rng.random((1000, 5)) < 0.3, [str(g) for g in group])
    split = np.array(stratified_split(truth, 3))
    assert all(len(set(split[group == g])) == 1 for g in range(120))
    got = shares(truth, split) / truth.counts
    np.testing.assert_allclose(got, np.tile(np.array(FRACTIONS)[:, None], 5), atol=0.06)


def test_tracks_without_a_group_are_groups_of_their_own():
    truth = make(np.ones((100, 1)), [""] * 100)
    assert stratified_split(truth).count("train") == 80


def test_other_fractions_and_impossible_ones():
    truth = make(np.ones((10, 1)))
    assert stratified_split(truth, fractions=(0.5, 0.5, 0)).count("val") == 5
    with pytest.raises(GroundtruthError, match="three numbers that make 1"):
        stratified_split(truth, fractions=(0.5, 0.2, 0.2))
    with pytest.raises(GroundtruthError, match="2 groups cannot be split: 3 splits want one each"):
        stratified_split(make(np.ones((10, 1)), ["a"] * 5 + ["b"] * 5))


def test_written_and_read_back(tmp_path):
    truth = make(np.random.default_rng(0).random((60, 3)) < 0.4)
    path = tmp_path / "new" / "split.csv"
    first = ensure_split(truth, path, seed=4)
    assert first.split == stratified_split(truth, 4)
    with open(path, newline="") as file:
        assert list(csv.reader(file))[:2] == [["path", "split"], ["0\n0.wav", first.split[0]]]
    assert ensure_split(truth, path, seed=99).split == first.split  # the file counts, not the seed
    assert ensure_split(truth.subset(range(59, -1, -1)), path).split == first.split[::-1]
    assert [p.name for p in path.parent.iterdir()] == ["split.csv"]
    assert {name: len(part) for name, part in first.splits.items()} == {name: first.split.count(name) for name in SPLITS}


def test_its_own_splits_come_first(tmp_path):
    truth = make(np.ones((3, 1))).with_split(["train", "test", "val"])
    assert ensure_split(truth, tmp_path / "s.csv") is truth
    assert not list(tmp_path.iterdir())


def test_a_split_of_other_tracks_is_refused(tmp_path):
    truth = make(np.ones((20, 1)))
    write_split(tmp_path / "s.csv", truth.with_split(stratified_split(truth)))
    with pytest.raises(GroundtruthError, match=r"made for other labels \(it names"):
        read_split(tmp_path / "s.csv", truth.subset(range(10)))
    with pytest.raises(GroundtruthError, match=r"made for other labels \(it lacks"):
        read_split(tmp_path / "s.csv", make(np.ones((21, 1))))
    (tmp_path / "t.csv").write_text("a,b,c\n")
    with pytest.raises(GroundtruthError, match="is not a split"):
        read_split(tmp_path / "t.csv", truth)
    with pytest.raises(GroundtruthError, match="no split to write"):
        write_split(tmp_path / "u.csv", truth)


def test_a_full_disk_leaves_no_half_file(tmp_path, monkeypatch):
    truth = make(np.ones((20, 1)))

    def fail(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(GroundtruthError, match="could not be written .* No space left"):
        ensure_split(truth, tmp_path / "s.csv")
    assert not list(tmp_path.iterdir())
