"""Stores of samples as batches: scaling, several crops of a track, tracks without labels, short ones, batches left whole."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from datasets.groundtruth.groundtruth import Groundtruth
from datasets.groundtruth.splits import hash_split
from datasets.loading.batching import Batching
from datasets.loading.clips import ClipReader, plan_crops
from datasets.loading.datamodule import TrackDataModule
from datasets.loading.sampler import share_batches
from datasets.prepare import prepare
from datasets.store.track_store import TrackStore
from models.errors import ConfigError, GroundtruthError, StoreError
from tests.sound import tune, write

LENGTHS = [400, 150, 1000, 99, 300, 500, 640, 200, 210]
M = 100


@pytest.fixture
def store(tmp_path) -> TrackStore:
    """Track k holds k * 1000 + position, as int16."""
    attrs = {"kind": "waveform", "sample_rate": 22050, "full_scale": 32768}
    with TrackStore.create(tmp_path / "w.h5", (), np.int16, attrs) as writer:
        for k, n in enumerate(LENGTHS):
            writer.append(f"{k}.wav", (k * 1000 + np.arange(n)).astype(np.int16))
        writer.seal()
    return TrackStore.open(tmp_path / "w.h5")


def module(store: TrackStore, **settings) -> TrackDataModule:
    split = ["val" if k in (2, 3, 4) else "train" for k in range(len(LENGTHS))]
    parts = Groundtruth.unlabelled(store.names, split).splits
    common = dict(window=M, batch_size_train=2, batch_size_test=2, draw="uniform", views=2)
    seed = settings.pop("seed", 3)
    return TrackDataModule(store, parts, Batching(**{**common, **settings}), seed=seed)


def test_two_crops_of_each_track_lie_in_it_and_differ(store):
    data = module(store)
    batches = list(data.train_dataloader())
    assert [len(b["index"]) for b in batches] == [2, 2, 2]
    x = torch.cat([b["x"] for b in batches])
    assert x.shape == (6, 2, M)
    values = (x * 32768).round().int()
    assert sorted((values[:, 0, 0] // 1000).tolist()) == [0, 1, 5, 6, 7, 8]
    assert torch.equal(values[:, 0] // 1000, values[:, 1] // 1000)
    assert torch.equal(values.diff(dim=-1), torch.ones(6, 2, M - 1, dtype=torch.int32))
    assert (values[:, 0, 0] != values[:, 1, 0]).any()
    assert "y" not in batches[0]


def test_crops_follow_seed_epoch_draw_and_view_whatever_the_batches(store):
    tracks = np.array([0, 2, 5, 6, 2, 0, 8, 7])
    plan = plan_crops(tracks, tracks, store, M, 3, 1, views=2)
    read = ClipReader(store, M)
    whole = read[plan]["x"]
    halves = torch.cat([read[plan[np.arange(k, k + 4)]]["x"] for k in (0, 4)])
    assert torch.equal(whole, halves)
    single = plan_crops(tracks, tracks, store, M, 3, 1)
    assert torch.equal(read[single]["x"], whole[:, 0])  # one crop is the first view
    assert not torch.equal(read[plan_crops(tracks, tracks, store, M, 3, 2, views=2)]["x"], whole)
    two_workers = module(store, num_workers=2)
    for a, b in zip(module(store).train_dataloader(), two_workers.train_dataloader()):
        assert torch.equal(a["x"], b["x"])


def test_validation_is_one_fixed_pair_per_track_and_short_tracks_are_left_out(store, caplog):
    with caplog.at_level(logging.WARNING):
        first = list(module(store).val_dataloader())
    assert "1 of 3 tracks are shorter than a clip" in caplog.text
    assert [b["key"] for b in first] == [["2.wav", "4.wav"]]
    again = list(module(store, seed=99).val_dataloader())
    assert torch.equal(first[0]["x"], again[0]["x"])
    with pytest.raises(GroundtruthError, match="None of the 6 train tracks"):
        module(store, window=5000).train_dataloader()


def test_an_incomplete_batch_is_left_out_where_asked(store):
    assert [len(b["index"]) for b in module(store, batch_size_train=4).train_dataloader()] == [4, 2]
    assert [len(b["index"]) for b in module(store, batch_size_train=4, drop_last=True).train_dataloader()] == [4]
    with pytest.raises(ConfigError, match="6 tracks do not fill one batch of 7"):
        module(store, batch_size_train=7, drop_last=True).train_dataloader()
    parts = [share_batches(21, 4, rank, 2, drop_last=True) for rank in range(2)]
    assert [[len(b) for b in part] for part in parts] == [[4, 4], [4, 4]]
    assert sorted(np.concatenate([b for part in parts for b in part]).tolist()) == list(range(16))


def test_samples_without_a_full_scale_are_refused(tmp_path):
    with TrackStore.create(tmp_path / "w.h5", (), np.int16, {}) as writer:
        writer.append("a", np.arange(200, dtype=np.int16))
        writer.seal()
    bare = TrackStore.open(tmp_path / "w.h5")
    with pytest.raises(StoreError, match="full_scale"):
        ClipReader(bare, M)[plan_crops(np.array([0]), np.array([0]), bare, M, 0, 0)]


def test_any_rate_and_channels_become_mono_samples_at_the_asked_rate(tmp_path):
    stereo = tune(1.0, 48000, 2)
    write(tmp_path / "a" / "stereo.wav", stereo, 48000, subtype="FLOAT")
    write(tmp_path / "a" / "mono.flac", tune(0.5, 22050, 1), 22050)
    store = TrackStore.open(prepare(tmp_path / "a", tmp_path / "out", waveform=22050, jobs=1).store)
    assert dict(zip(store.names, store.lengths.tolist())) == {"mono.flac": 11025, "stereo.wav": 22050}
    from models.audio import load

    wanted = load(tmp_path / "a" / "stereo.wav", 22050)
    np.testing.assert_allclose(store.read("stereo.wav") / 32768, wanted, atol=1 / 65536 + 1e-7)


def test_a_hash_split_is_stable_under_new_tracks():
    names = [f"song {k}.mp3" for k in range(400)]
    split = hash_split(names, 0.1, seed=1)
    assert 20 <= split.count("val") <= 60
    assert hash_split([*names, *(f"new {k}" for k in range(50))], 0.1, 1)[:400] == split
    assert hash_split(names, 0.1, seed=2) != split
    assert hash_split(names[:4], 0.01).count("val") == 2
    with pytest.raises(GroundtruthError, match="at least four"):
        hash_split(names[:3], 0.5)
    with pytest.raises(GroundtruthError, match="share"):
        hash_split(names, 0.0)


def test_labels_that_are_none_are_still_refused_where_labels_are_read():
    with pytest.raises(GroundtruthError, match="no labels"):
        Groundtruth.from_mapping({"a": [], "b": []})
