"""Stores of many shards: few files open at a time, whatever is read in whatever order."""

from __future__ import annotations

import os
import pickle
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from datasets.groundtruth.groundtruth import Groundtruth
from datasets.loading.batching import Batching
from datasets.loading.datamodule import TrackDataModule
from datasets.store import maps as store_maps
from datasets.store.track_store import TrackStore
from datasets.utils import names
from models.errors import StoreError

ROOT = Path(__file__).resolve().parents[3]
ATTRS = {"kind": "mel", "front_end": "maest-essentia", "sample_rate": 16000, "hop": 256}


def make(folder, n_shards, per_shard=2):
    for shard in range(n_shards):
        with TrackStore.create(folder / "mel.h5", (4,), "float16", ATTRS, shard) as writer:
            for i in range(per_shard):
                number = shard * per_shard + i
                writer.append(f"{number:05d}.mp3", np.full((6 + number % 3, 4), number % 1000, np.float16))
            writer.seal()
    return folder / "mel.h5"


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (24, 24))  # 6 maps


@pytest.mark.parametrize("compact_from", [1, 1 << 60])
def test_any_order_reads_the_same(tmp_path, few, monkeypatch, compact_from):
    monkeypatch.setattr(names, "COMPACT_FROM", compact_from)
    store = TrackStore.open(make(tmp_path, 20))
    assert len(store) == 40
    rng = np.random.default_rng(0)
    for i in rng.integers(0, 40, 300).tolist():
        assert (store.read(store.names[i]) == i).all()
        assert len(store._map) <= 6
    tracks = rng.integers(0, 40, 500)
    windows = store.read_windows(tracks, np.zeros(500, int), np.full(500, 6), 6)
    np.testing.assert_array_equal(windows[:, 0, 0], tracks)
    assert len(store._map) == 6
    again = pickle.loads(pickle.dumps(store))
    assert again.names == store.names
    assert (again.read(17) == 17).all()
    assert ("00017.mp3" in again, "nope" in again, again.index("00017.mp3")) == (True, False, 17)
    with pytest.raises(StoreError, match="no track 'nope'"):
        again.index("nope")
    store.verify()


@pytest.mark.parametrize("compact_from", [1, 1 << 60])
def test_names_in_two_shards_are_refused(tmp_path, monkeypatch, compact_from):
    monkeypatch.setattr(names, "COMPACT_FROM", compact_from)
    make(tmp_path, 3)
    make(tmp_path / "other", 2)
    with pytest.raises(StoreError, match="4 names stand in more than one store, such as '00000.mp3'"):
        TrackStore.open([tmp_path / "mel.h5", tmp_path / "other"])


def test_the_limit_follows_the_system_s(monkeypatch):
    for soft, want in ((24, 6), (1024, 256), (10, 4), (1 << 20, 4096), (resource.RLIM_INFINITY, 4096)):
        monkeypatch.setattr(resource, "getrlimit", lambda which, soft=soft: (soft, soft))
        assert store_maps.limit() == want


def test_a_data_module_reads_many_shards(tmp_path, few):
    store = TrackStore.open(make(tmp_path, 30))
    truth = Groundtruth.from_rows(store.names, [["a" if i % 2 else "b"] for i in range(60)])
    module = TrackDataModule(store, {"train": truth}, Batching(5, batch_size_train=7))
    seen = set()
    for batch in module.train_dataloader():
        for key, x in zip(batch["key"], batch["x"]):
            assert (x == int(key[:5])).all()
            seen.add(key)
    assert len(seen) == 60
    assert len(store._map) <= 6


@pytest.mark.slow
def test_a_thousand_shards_under_a_limit_of_64_open_files(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)  # six of them per shard are all the time it takes
        make(tmp_path, 1000)
    code = f"""
import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
import numpy as np
from datasets.store.track_store import TrackStore
store = TrackStore.open({str(tmp_path)!r})
tracks = np.random.default_rng(0).integers(0, len(store), 20000)
got = store.read_windows(tracks, np.zeros(20000, int), np.full(20000, 6), 6)
assert (got[:, 0, 0] == tracks % 1000).all()
print(len(store), len(os.listdir('/proc/self/fd')))
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    tracks, opened = map(int, run.stdout.split())
    assert tracks == 2000
    assert opened < 32
