"""Extraction in shards: the same bits by one process, by several and on a cluster; other weights refused; goes on where it was stopped."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import pickle

import numpy as np
import pytest
import torch

from configs import EX_MAEST, EX_SSL
from datasets.jobs import cluster
from datasets.store.track_store import TrackStore
from helpers.extraction.extract import ExtractionSettings, extract_embeddings, extract_logits
from helpers.extraction.shards import Place, Recipe, extract_in_shards
from helpers.families import get_family
from models.errors import ClusterError, ConfigError, StoreError, WeightsError
from models.weights.head_origin import weights_sha256
from tests.helpers.extraction.small_extraction import mel_store

FRAMES = tuple(60 + 37 * (i % 7) for i in range(23))
SETTINGS = ExtractionSettings(batch_size=4)
TINY = {"embed_dim": 16, "depth": 2, "num_heads": 2, "n_classes": 5, "input_t": 48}


def made(seed=0):
    config = EX_MAEST.schema()
    config = dataclasses.replace(config, maest=dataclasses.replace(config.maest, **TINY))
    config.trainer.accelerator = "cpu"
    network = get_family("maest").network(config, None, seed).eval()
    return network, Recipe.of(network, config, seed)


def extract(network, store, out, recipe, blocks=(1, -1), names=None, settings=SETTINGS, jobs=1, **place):
    """extract_in_shards with the settings of these tests; place: further fields of Place."""
    where = Place(jobs=jobs, **place)
    return extract_in_shards(network, store, out, recipe, blocks=blocks, settings=settings, names=names, place=where)


def contents(out):
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # as workers have: sums in another order would be other bits
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def mels(tmp_path_factory):
    return TrackStore.open(mel_store(tmp_path_factory.mktemp("mels"), FRAMES))


@pytest.fixture(scope="module")
def whole(mels, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    network, recipe = made()
    done = extract(network, mels, out, recipe, shard_tracks=5)
    assert (done.n_tracks, done.n_new) == (23, 23)
    return out


def test_shards_hold_what_one_store_holds(mels, whole, tmp_path):
    network, _ = made()
    one = extract_embeddings(network, mels, tmp_path, [1, -1], settings=ExtractionSettings(batch_size=4))
    for block, path in one.paths.items():
        want, got = TrackStore.open(path), TrackStore.open(whole / str(block) / "embeddings.h5")
        assert got.names == want.names
        assert got.attrs == want.attrs
        assert len(got.paths) == 5
        for name in want.names:
            np.testing.assert_allclose(got.read(name), want.read(name), atol=1e-5)  # other batches
        windows = TrackStore.open(whole / str(block) / "windows")
        assert windows.names == want.names
    manifest = json.loads((whole / "1" / "manifest.json").read_text())
    assert (manifest["tracks"], len(manifest["shards"])) == (23, 5)


def test_logits_and_a_choice_of_tracks(mels, tmp_path):
    network, recipe = made()
    chosen = mels.names[3:9]
    extract(network, mels, tmp_path / "s", recipe, names=chosen, shard_tracks=4, blocks=None)
    want = TrackStore.open(
        extract_logits(network, mels, tmp_path / "one", names=chosen, settings=ExtractionSettings(batch_size=4)).paths["logits"]
    )
    got = TrackStore.open(tmp_path / "s/logits.h5")
    assert got.names == want.names == chosen
    for name in chosen:
        np.testing.assert_allclose(got.read(name), want.read(name), atol=1e-5)
    more = extract(network, mels, tmp_path / "s", recipe, blocks=None)
    assert (more.n_tracks, more.n_new) == (23, 17)
    assert sorted(TrackStore.open(tmp_path / "s/logits.h5").names) == sorted(mels.names)


def test_nothing_is_done_twice_and_other_weights_are_refused(mels, whole):
    network, recipe = made()
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    again = extract(network, mels, whole, recipe)
    assert again.n_new == 0
    other, of_it = made(seed=1)
    with pytest.raises(StoreError, match="weights_sha256"):
        extract(other, mels, whole, of_it)
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == before


def test_other_data_and_an_absent_scheduler_leave_no_trace(mels, whole, tmp_path, monkeypatch):
    network, recipe = made()
    before = contents(whole)
    longer = TrackStore.open(mel_store(tmp_path, tuple(n + 400 for n in FRAMES)))
    with pytest.raises(StoreError, match="windows of .*: it was made of other data"):
        extract(network, longer, whole, recipe)
    assert contents(whole) == before
    monkeypatch.setattr(cluster, "KNOCK", 0.1)
    with pytest.raises(ClusterError, match="No dask scheduler answers"):
        extract(network, mels, tmp_path / "out", recipe, scheduler="tcp://127.0.0.1:9", jobs=None)
    assert not contents(tmp_path / "out")


def test_what_cannot_be_done_in_shards(mels, whole, tmp_path):
    network, recipe = made()
    with pytest.raises(ConfigError, match="predict.format=store"):
        extract(network, mels, tmp_path, recipe, blocks=[1], settings=ExtractionSettings(format="npy"))
    with pytest.raises(StoreError, match="begun with 5 tracks to a shard, now 7"):
        extract(network, mels, whole, recipe, blocks=[1], shard_tracks=7)
    extract_embeddings(network, mels, tmp_path, [1])
    with pytest.raises(StoreError, match="begun as one store"):
        extract(network, mels, tmp_path, recipe, blocks=[1])
    wrong = dataclasses.replace(recipe, sha256="0" * 64)
    with pytest.raises(StoreError, match="do both see the same files"):
        extract(network, mels, tmp_path / "w", wrong, blocks=[1])


def test_a_shard_that_another_process_holds_is_made_apart(mels, whole, tmp_path):
    network, recipe = made()
    (tmp_path / "1").mkdir()
    with open(tmp_path / "1/embeddings.shard-00001.h5.journal", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        extract(network, mels, tmp_path, recipe, shard_tracks=5)
    for k in range(5):
        name = f"1/embeddings.shard-0000{k}.h5"
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("on", ["processes", "dask"])
def test_several_workers_give_the_same_bits(mels, whole, tmp_path, on):
    network, recipe = made()

    def run(**where):
        extract(network, mels, tmp_path, recipe, shard_tracks=5, **where)

    if on == "processes":
        run(jobs=2)
    else:
        from distributed import LocalCluster

        with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1") as cluster:
            run(scheduler=cluster.scheduler_address, jobs=None)
    assert contents(tmp_path) == contents(whole)


def test_a_network_of_another_family_is_rebuilt_by_workers():
    config = EX_SSL.schema()
    config.clmr.channels, config.clmr.strides = [4] * 4, [3] * 2
    network = get_family("clmr").network(config, None, 3).eval()
    recipe = pickle.loads(pickle.dumps(Recipe.of(network, config, 3)))  # as a worker gets it
    assert weights_sha256(recipe.build()) == weights_sha256(network)
    with pytest.raises(WeightsError, match="not those of the process"):
        dataclasses.replace(recipe, seed=4).build()
