"""Crops and windows: the published semantics of crops, this project's rule for windows, batches as pure functions."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from datasets.groundtruth.groundtruth import Groundtruth
from datasets.loading.clips import ClipReader, Teacher, WindowRule, closest_window, plan_all_windows, plan_crops, random_crops
from datasets.store.track_store import TrackStore
from models.errors import ConfigError, StoreError

M = 62


@pytest.fixture(scope="module")
def golden(fixtures):
    folder = fixtures / "maest"
    return json.loads((folder / "dataset_semantics.json").read_text()), dict(np.load(folder / "dataset_crops.npz"))


def make_store(path, lengths, bands=4, dtype=np.float32):
    with TrackStore.create(path, (bands,), dtype, {"kind": "mel", "front_end": "maest-essentia"}) as writer:
        for i, n in enumerate(lengths):
            # each value tells its track, its frame and its band
            frames = i * 1000 + np.arange(1, n + 1)[:, None] + np.arange(bands) / 10
            writer.append(f"{i}.flac", frames.astype(dtype))
        writer.seal()
    return TrackStore.open(path)


def plan(store, tracks, clip_frames=M, seed=0, epoch=0):
    return plan_crops(np.asarray(tracks), np.asarray(tracks), store, clip_frames, seed, epoch)


def test_short_crops_stand_where_the_published_ones_do(golden, tmp_path):
    entries = golden[0]["train_crops"]
    store = make_store(tmp_path / "s.h5", [entry["N"] for entry in entries])
    batch = ClipReader(store, M)[plan(store, range(len(entries)))]
    assert batch["x"].shape == (len(entries), 4, M)
    for x, valid, entry in zip(batch["x"], batch["valid"], entries):
        there = np.flatnonzero(x[0].numpy())
        assert (there[0], there[-1]) == (entry["first_nonzero"], entry["last_nonzero"])
        assert (there[0], M - 1 - there[-1]) == (entry["left_zeros"], entry["right_zeros"])
        assert valid == min(entry["N"], M)


def test_crops_hold_the_published_frames(golden, tmp_path):
    for key, crop in golden[1].items():
        crop = crop[0]  # [96, 62]
        n = int(key.removeprefix("train_n"))
        at = next(i["offset_if_random_seed3"] for i in golden[0]["train_crops"] if i["N"] == n)
        inside = crop[:, (M - min(n, M)) // 2 :][:, : min(n, M)]
        track = np.zeros((n, 96), np.float16)
        track[at : at + M] = inside.T
        track[~track.any(axis=1)] = 1  # frames that the crop must not show
        with TrackStore.create(tmp_path / f"{key}.h5", (96,), np.float16, {}) as writer:
            writer.append("x", track)
        clips = plan(TrackStore.open(tmp_path / f"{key}.h5"), [0])
        clips.start[:], clips.stop[:] = at, min(at + M, n)
        got = ClipReader(TrackStore.open(tmp_path / f"{key}.h5"), M)[clips]["x"][0].numpy()
        np.testing.assert_array_equal(got, np.where(crop == 0, got, crop))
        assert got.dtype == crop.dtype


@given(st.lists(st.integers(1, 300), min_size=1, max_size=20), st.integers(1, 120), st.integers(0, 2**32 - 1))
def test_crops_lie_within_their_tracks(lengths, clip_frames, seed):
    lengths = np.array(lengths)
    uniform = np.random.default_rng(seed).random(len(lengths))
    uniform[0] = np.nextafter(1, 0)
    start, stop = random_crops(lengths, clip_frames, uniform)
    np.testing.assert_array_equal(stop - start, np.minimum(lengths, clip_frames))
    assert (start >= 0).all()
    assert (stop <= lengths).all()
    assert stop[0] == lengths[0]  # the last admissible place is reached


def test_crops_are_uniform_over_all_places():
    start, _ = random_crops(np.full(20_000, 66), M, np.random.default_rng(0).random(20_000))
    np.testing.assert_allclose(np.bincount(start) / 20_000, np.full(5, 0.2), atol=0.02)


def test_a_crop_depends_on_seed_epoch_and_draw_only(tmp_path):
    store = make_store(tmp_path / "s.h5", [500] * 30)
    first = plan(store, range(30))
    np.testing.assert_array_equal(first.start, plan(store, range(30)).start)
    np.testing.assert_array_equal(
        first.start[:10], plan(store, range(29, 19, -1)).start
    )  # whatever the track or the epoch's length
    assert first.start.tolist() != plan(store, range(30), epoch=1).start.tolist()
    assert first.start.tolist() != plan(store, range(30), seed=1).start.tolist()


@pytest.mark.parametrize("tail", ["pad", "shift", "drop"])
@pytest.mark.parametrize("hop", [M, M // 2])
def test_windows_follow_the_one_rule(tmp_path, tail, hop):
    lengths = [1, 20, 56, 62, 63, 68, 69, 100, 124, 620]
    store = make_store(tmp_path / "s.h5", lengths)
    rule = WindowRule(M, hop, tail)
    tracks = np.arange(len(lengths))
    clips = plan_all_windows(tracks + 5, tracks, store, rule)
    expected = [rule.plan(n) for n in lengths]
    np.testing.assert_array_equal(np.stack([clips.start, clips.stop], 1), np.concatenate(expected))
    np.testing.assert_array_equal(clips.window, np.concatenate([np.arange(len(w)) for w in expected]))
    np.testing.assert_array_equal(clips.n_windows, np.repeat([len(w) for w in expected], [len(w) for w in expected]))
    np.testing.assert_array_equal(clips.index, clips.track + 5)
    np.testing.assert_array_equal(clips.draw, np.arange(len(clips)))
    batch = ClipReader(store, M)[clips]
    for x, track, start, valid in zip(batch["x"], clips.track, clips.start, batch["valid"].tolist()):
        left = (M - valid) // 2
        assert not x[:, :left].any()
        assert not x[:, left + valid :].any()
        np.testing.assert_allclose(x[0, left : left + valid], track * 1000 + np.arange(start + 1, start + valid + 1))


def test_a_ten_second_clip_is_one_window(tmp_path):
    store = make_store(tmp_path / "s.h5", [626])
    clips = plan_all_windows(np.array([0]), np.array([0]), store, WindowRule(625, 625, "pad"))
    assert (clips.start.tolist(), clips.stop.tolist()) == ([0], [625])


def test_a_batch_carries_what_training_needs(tmp_path):
    store = make_store(tmp_path / "s.h5", [80, 30, 90])
    truth = Groundtruth.from_rows(["2.mp3", "0.mp3"], [["a"], ["a", "b"]])
    clips = plan_crops(np.array([1, 0]), np.array([0, 2]), store, M, 0, 0)
    batch = ClipReader(store, M, truth)[clips]
    assert batch["key"] == ["0.mp3", "2.mp3"]
    assert batch["y"].dtype == torch.float32
    assert batch["y"].tolist() == [[1, 1], [1, 0]]
    assert batch["index"].tolist() == [1, 0]
    for name in ("index", "draw", "window", "n_windows", "valid"):
        assert batch[name].dtype == torch.int64
        assert batch[name].shape == (2,)
    assert "teacher" not in batch
    assert "y" not in ClipReader(store, M)[clips]
    assert batch["x"].shape == (2, 4, M)
    assert not batch["x"].is_contiguous()  # a view of [B, T, bands]


@pytest.mark.parametrize(
    ("windows", "crop", "best"),
    [
        ([[0, 10], [10, 20], [20, 25]], (4, 14), 0),
        ([[0, 10], [10, 20], [20, 25]], (6, 16), 1),
        ([[0, 10], [10, 20], [20, 25]], (5, 15), 0),
        ([[0, 10], [10, 20], [20, 25]], (15, 25), 1),
        ([[0, 10], [5, 15], [10, 20]], (6, 16), 1),
        ([[0, 3]], (0, 3), 0),
    ],
)
def test_the_teacher_s_window_is_the_one_that_overlaps_most(windows, crop, best):
    assert closest_window(np.array(windows), *crop) == best


def test_teacher_logits_follow_the_crop(tmp_path):
    store = make_store(tmp_path / "s.h5", [200, 40])
    rule = WindowRule(M, M)
    attrs = {"kind": "logits", **rule.attrs()}
    with TrackStore.create(tmp_path / "t.h5", (2,), np.float16, attrs) as writer:
        for i, n in enumerate([200, 40]):
            w = np.arange(len(rule.plan(n)))
            writer.append(f"{i}.flac", np.stack([w + 10 * i, -w], 1).astype(np.float16))
    logits = TrackStore.open(tmp_path / "t.h5")
    assert WindowRule.of(logits) == rule
    teacher = Teacher(logits, np.array([1, 0]), rule)  # row 0 of the groundtruth is track 1
    clips = plan_crops(np.array([1, 1, 0]), np.array([0, 0, 1]), store, M, 0, 0)
    clips.start[:2], clips.stop[:2] = [40, 138], [102, 200]
    batch = ClipReader(store, M, None, teacher)[clips]
    assert batch["teacher"].tolist() == [[1, -1], [2, -2], [10, 0]]
    swapped = Teacher(logits, np.array([1, 0]), rule, np.array([1, 0]))
    assert ClipReader(store, M, None, swapped)[clips]["teacher"].tolist() == [[-1, 1], [-2, 2], [0, 10]]
    with pytest.raises(StoreError, match=r"has 4 windows for '0\.flac', its 200 frames make 2"):
        Teacher(logits, np.array([1, 0]), WindowRule(100, 100)).logits(clips, store.lengths[clips.track])
    with pytest.raises(StoreError, match="does not say how its windows were cut"):
        WindowRule.of(store)


def test_what_is_no_store_of_mels_or_samples_is_refused(tmp_path):
    with TrackStore.create(tmp_path / "w.h5", (3, 4), np.float32, {}) as writer:
        writer.append("x", np.ones((5, 3, 4), np.float32))
    with pytest.raises(StoreError, match=r"\[bands\]"):
        ClipReader(TrackStore.open(tmp_path / "w.h5"), M)
    with pytest.raises(ConfigError):
        ClipReader(make_store(tmp_path / "s.h5", [3]), 0)
