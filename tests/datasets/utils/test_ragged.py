"""Ragged: rows of tracks of unlike length under the shape of an array."""

from __future__ import annotations

import numpy as np
import pytest

from datasets.utils.ragged import Ragged, equal, joined


@pytest.fixture
def rows():
    return Ragged(np.array([[0, 1, 0], [1, 2, 1], [0, 5, -1], [0, 1, 1.0]]), [2, 0, 1, 1], width=2)


def test_shape_tracks_and_labels(rows):
    assert rows.shape == (4, 2)
    assert len(rows) == 4
    np.testing.assert_array_equal(rows.track(0)[:, 2], [0, 1])
    assert len(rows.track(1)) == 0
    np.testing.assert_array_equal(rows.presence(), [[1, 1], [0, 0], [0, 0], [0, 1]])
    np.testing.assert_array_equal(rows.sum(axis=0), [1, 2])
    np.testing.assert_array_equal(rows[:, 1], [True, False, False, True])


def test_picking_by_number_by_mask_and_by_set(rows):
    picked = rows[np.array([3, 0, 0])]
    assert picked.lengths.tolist() == [1, 2, 2]
    np.testing.assert_array_equal(picked.values[:, 2], [1, 0, 1, 0, 1])
    assert equal(rows[np.array([True, False, False, True])], rows[np.array([0, 3])])
    times = np.arange(10.0).reshape(5, 2)
    sets = Ragged(np.arange(30.0).reshape(2, 5, 3), [2, 3], times=times)
    assert sets.shape == (2, 2, 3)
    second = sets[1][np.array([1])]
    np.testing.assert_array_equal(second.track(0), sets.values[1, 2:])
    np.testing.assert_array_equal(second.spans(0), times[2:])


def test_there_and_back(rows, tmp_path):
    sets = Ragged(np.arange(30.0).reshape(2, 5, 3), [2, 3], times=np.arange(10.0).reshape(5, 2))
    np.savez(tmp_path / "a.npz", **rows.packed("a"), **sets.packed("b"))
    with np.load(tmp_path / "a.npz") as arrays:
        assert equal(Ragged.unpacked("a", arrays), rows)
        assert equal(Ragged.unpacked("b", arrays), sets)
    assert not equal(rows, rows[np.array([0])])
    assert not equal(rows, np.zeros((4, 2)))
    assert joined([rows, rows]).shape == (8, 2)
    assert joined([np.zeros((1, 2)), np.ones((2, 2))]).shape == (3, 2)


def test_rows_that_do_not_fit():
    with pytest.raises(ValueError, match="do not fit"):
        Ragged(np.zeros((3, 2)), [1, 1])
    with pytest.raises(ValueError, match="no times"):
        Ragged(np.zeros((2, 2)), [1, 1]).spans(0)
