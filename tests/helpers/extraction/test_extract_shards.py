"""Extraction in shards: the same bits by one process, by several and on a cluster; other weights refused; goes on where it was stopped."""

from __future__ import annotations

import dataclasses
import fcntl
import json

import numpy as np
import pytest
import torch

from configs.options import defaults
from configs.schema import ExMaest
from configs.schema_ssl import ExSsl
from datasets.jobs import cluster
from datasets.store.track_store import TrackStore
from helpers.extraction.extract import extract_embeddings, extract_logits
from helpers.extraction.shards import Recipe, extract_in_shards
from helpers.families import family
from helpers.families.maest import build_network
from models.errors import ClusterError, ConfigError, StoreError, WeightsError
from models.weights.head_origin import weights_sha256
from tests.helpers.extraction.test_extract import mel_store

FRAMES = tuple(60 + 37 * (i % 7) for i in range(23))
TINY = {"embed_dim": 16, "depth": 2, "num_heads": 2, "n_classes": 5, "input_t": 48}


def made(seed=0):
    config = defaults(ExMaest)
    maest = {**config["maest"], **TINY}
    network = build_network(maest, config["datamodule"], None, seed).eval()
    return network, Recipe.of(network, {"maest": maest, "datamodule": config["datamodule"]}, "cpu", seed)


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
    done = extract_in_shards("embeddings", network, mels, out, recipe, names=None, size=5, jobs=1, blocks=[1, -1], batch_size=4)
    assert (done.n_tracks, done.n_new) == (23, 23)
    return out


def test_shards_hold_what_one_store_holds(mels, whole, tmp_path):
    network, _ = made()
    one = extract_embeddings(network, mels, tmp_path, [1, -1], batch_size=4)
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
    extract_in_shards("logits", network, mels, tmp_path / "s", recipe, names=chosen, size=4, jobs=1, batch_size=4)
    want = TrackStore.open(extract_logits(network, mels, tmp_path / "one", names=chosen, batch_size=4).paths["logits"])
    got = TrackStore.open(tmp_path / "s/logits.h5")
    assert got.names == want.names == chosen
    for name in chosen:
        np.testing.assert_allclose(got.read(name), want.read(name), atol=1e-5)
    more = extract_in_shards("logits", network, mels, tmp_path / "s", recipe, names=None, jobs=1, batch_size=4)
    assert (more.n_tracks, more.n_new) == (23, 17)
    assert sorted(TrackStore.open(tmp_path / "s/logits.h5").names) == sorted(mels.names)


def test_nothing_is_done_twice_and_other_weights_are_refused(mels, whole):
    network, recipe = made()
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    again = extract_in_shards("embeddings", network, mels, whole, recipe, names=None, jobs=1, blocks=[1, -1], batch_size=4)
    assert again.n_new == 0
    other, of_it = made(seed=1)
    with pytest.raises(StoreError, match="weights_sha256"):
        extract_in_shards("embeddings", other, mels, whole, of_it, names=None, jobs=1, blocks=[1, -1], batch_size=4)
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == before


def test_other_data_and_an_absent_scheduler_leave_no_trace(mels, whole, tmp_path, monkeypatch):
    network, recipe = made()
    before = contents(whole)
    longer = TrackStore.open(mel_store(tmp_path, tuple(n + 400 for n in FRAMES)))
    arguments = {"names": None, "blocks": [1, -1], "batch_size": 4}
    with pytest.raises(StoreError, match="windows of .*: it was made of other data"):
        extract_in_shards("embeddings", network, longer, whole, recipe, jobs=1, **arguments)
    assert contents(whole) == before
    monkeypatch.setattr(cluster, "KNOCK", 0.1)
    with pytest.raises(ClusterError, match="No dask scheduler answers"):
        extract_in_shards("embeddings", network, mels, tmp_path / "out", recipe, scheduler="tcp://127.0.0.1:9", **arguments)
    assert not contents(tmp_path / "out")


def test_what_cannot_be_done_in_shards(mels, whole, tmp_path):
    network, recipe = made()
    with pytest.raises(ConfigError, match="predict.format=store"):
        extract_in_shards("embeddings", network, mels, tmp_path, recipe, names=None, jobs=1, blocks=[1], format="npy")
    with pytest.raises(StoreError, match="begun with 5 tracks to a shard, now 7"):
        extract_in_shards("embeddings", network, mels, whole, recipe, names=None, jobs=1, blocks=[1], size=7)
    extract_embeddings(network, mels, tmp_path, [1])
    with pytest.raises(StoreError, match="begun as one store"):
        extract_in_shards("embeddings", network, mels, tmp_path, recipe, names=None, jobs=1, blocks=[1])
    wrong = dataclasses.replace(recipe, sha256="0" * 64)
    with pytest.raises(StoreError, match="do both see the same files"):
        extract_in_shards("embeddings", network, mels, tmp_path / "w", wrong, names=None, jobs=1, blocks=[1])


def test_a_shard_that_another_process_holds_is_made_apart(mels, whole, tmp_path):
    network, recipe = made()
    (tmp_path / "1").mkdir()
    with open(tmp_path / "1/embeddings.shard-00001.h5.journal", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        extract_in_shards("embeddings", network, mels, tmp_path, recipe, names=None, size=5, jobs=1, blocks=[1, -1], batch_size=4)
    for k in range(5):
        name = f"1/embeddings.shard-0000{k}.h5"
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("on", ["processes", "dask"])
def test_several_workers_give_the_same_bits(mels, whole, tmp_path, on):
    network, recipe = made()

    def run(**where):
        extract_in_shards(
            "embeddings", network, mels, tmp_path, recipe, names=None, size=5, blocks=[1, -1], batch_size=4, **where
        )

    if on == "processes":
        run(jobs=2)
    else:
        from distributed import LocalCluster

        with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1") as cluster:
            run(scheduler=cluster.scheduler_address)
    assert contents(tmp_path) == contents(whole)


def test_a_network_of_another_family_is_rebuilt_by_workers():
    clmr = {**defaults(ExSsl)["clmr"], "channels": [4] * 4, "strides": [3] * 2}
    config = {"family": "clmr", "clmr": clmr}
    network = family("clmr").network(config, None, 3).eval()
    again = Recipe.of(network, config, "cpu", 3).build()
    assert weights_sha256(again) == weights_sha256(network)
    with pytest.raises(WeightsError, match="not those of the process"):
        dataclasses.replace(Recipe.of(network, config, "cpu", 3), seed=4).build()
