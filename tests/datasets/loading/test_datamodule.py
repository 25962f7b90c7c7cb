"""TrackDataModule: what batches hold, pure epochs, shares of processes, workers, and refusals."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import socket

import numpy as np
import pytest
import torch

from datasets.groundtruth.groundtruth import Groundtruth
from datasets.loading.clips import ClipReader, WindowRule, plan_all_windows
from datasets.loading.datamodule import pl  # Lightning through it: it makes Lightning importable first
from datasets.loading.loaders import ClipLoader, TrainBatches, share_windows
from datasets.loading.sampler import WeightedDraws
from datasets.store.track_store import TrackStore
from models.errors import ConfigError, GroundtruthError
from tests.datasets.loading.clip_data import ATTRS, M, as_numbers, flat, make_data, module


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data"))


def test_an_epoch_of_training(data):
    dm = module(data)
    dm.setup("fit")
    loader = dm.train_dataloader()
    batches = list(loader)
    assert len(batches) == len(loader) == 6
    assert sorted(flat(batches, "index")) == list(range(22))  # the two without labels are never drawn
    np.testing.assert_array_equal(flat(batches, "draw"), np.arange(22))
    for batch in batches:
        assert batch["x"].shape[1:] == (4, M)
        np.testing.assert_array_equal(batch["y"], dm.split("train").groundtruth.targets(batch["index"]))
        assert batch["key"] == [f"{i:02d}.mp3" for i in batch["index"].tolist()]
        for x, i, valid in zip(batch["x"], batch["index"].tolist(), batch["valid"].tolist()):
            inside = x[0, (M - valid) // 2 :][:valid].numpy()
            assert valid == min(M, data[1][i])
            assert (inside // 1000 == i).all()
            assert (np.diff(inside) == 1).all()
    assert dm.labels == ["a", "b", "c"]


def test_epochs_are_pure_functions_of_seed_and_epoch(data):
    first = module(data, seed=5).train_dataloader()
    again = module(data, seed=5, num_workers=0).train_dataloader()
    zero = as_numbers(first)
    assert as_numbers(again) == zero
    first.set_epoch(1)
    one = as_numbers(first)
    assert [batch["index"] for batch in one] != [batch["index"] for batch in zero]  # other draws
    assert sorted(flat(one, "index")) == sorted(flat(zero, "index"))
    first.set_epoch(0)
    assert as_numbers(first) == zero
    assert as_numbers(module(data, seed=6).train_dataloader()) != zero


@pytest.mark.parametrize("replace", [False, True])
def test_two_processes_see_the_batches_of_one(data, replace):
    dm = module(data)
    split = dm.split("train")
    draws = WeightedDraws(np.ones(24), 22, replace, seed=2)

    def epoch(batch_size, rank, world):
        batches = TrainBatches(split, draws, batch_size, rank, world)
        batches.set_epoch(3)
        return list(ClipLoader(split.reader, batches))

    one = epoch(8, 0, 1)
    two = [epoch(4, rank, 2) for rank in (0, 1)]
    assert len(one) == len(two[0]) == len(two[1]) == 3
    for whole, left, right in zip(one, *two):
        for name in ("x", "index", "draw", "y", "valid"):
            assert torch.equal(whole[name], torch.cat([left[name], right[name]]))


@pytest.mark.parametrize("options", [{}, {"half_overlap": True}, {"tail": "shift"}, {"tail": "drop"}])
def test_validation_visits_every_window_once_in_order(data, options):
    dm = module(data, **options)
    batches = list(dm.val_dataloader())
    index, window = flat(batches, "index"), flat(batches, "window")
    rule = WindowRule(M, M // 2 if options.get("half_overlap") else M, options.get("tail", "pad"))
    expected = [(i, w) for i, n in enumerate(data[1]) for w in range(len(rule.plan(int(n))))]
    assert list(zip(index.tolist(), window.tolist())) == expected
    assert (flat(batches, "valid") > 0).all()
    assert {len(batch["index"]) for batch in batches[:-1]} == {5}


@pytest.mark.parametrize("world", [2, 3, 7])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_validation_on_several_processes_counts_each_window_once(data, world, batch_size):
    split = module(data).split("val")
    clips = plan_all_windows(split.index, split.tracks, split.reader.store, WindowRule(M, M))
    shares = [share_windows(clips, batch_size, rank, world) for rank in range(world)]
    assert len({tuple(len(batch) for batch in share) for share in shares}) == 1  # as many batches, of the same sizes
    counted = [(c.index[i], c.window[i]) for share in shares for c in share for i in range(len(c)) if c.counted[i]]
    assert sorted(counted) == list(zip(clips.index, clips.window))
    repeats = [c for share in shares for c in share if not c.counted.all()]
    assert sum((c.counted == 0).sum() for c in repeats) < world
    for c in repeats:
        assert (split.reader[c]["valid"].numpy() == 0).tolist() == (c.counted == 0).tolist()
    assert clips.counted.all()


def test_prediction_needs_no_labels(data):
    batches = list(module(data).predict_dataloader())
    assert "y" not in batches[0]
    assert sorted(set(flat(batches, "index"))) == list(range(24))
    assert batches[0]["key"][0] == "00.flac"
    few = module(data, predict=data[2].subset([3, 1])).predict_dataloader()
    assert next(key for batch in few for key in batch["key"]) == "03.mp3"


def test_without_validation_labels_there_is_no_validation(data):
    dm = module(data, val=None)
    dm.setup("fit")
    assert dm.val_dataloader() == []
    with pytest.raises(GroundtruthError, match="groundtruth_test"):
        dm.test_dataloader()


def test_it_can_be_sent_to_another_process(data):
    dm = module(data)
    dm.setup()
    expected = as_numbers(dm.train_dataloader())
    other = pickle.loads(pickle.dumps(dm))
    assert as_numbers(other.train_dataloader()) == expected


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_change_nothing(data, method):
    split = module(data).split("train")
    expected = as_numbers(module(data).train_dataloader())
    draws = WeightedDraws(np.asarray(data[2].matrix().any(1), float), None, seed=0)
    from datasets.loading.sampler import sample_weights

    draws.weights = sample_weights(data[2])
    batches = TrainBatches(split, draws, 4)
    loader = torch.utils.data.DataLoader(
        split.reader, batch_size=None, sampler=batches, num_workers=2, multiprocessing_context=method
    )
    assert as_numbers(loader) == expected
    if method == "fork":
        with_workers = module(data, num_workers=2).train_dataloader()
        assert as_numbers(with_workers) == expected
        with_workers.set_epoch(1)
        assert as_numbers(with_workers) != expected


class _Recorder(pl.LightningModule):
    """Writes down what each process saw, one file per process."""

    def __init__(self, folder):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.folder = folder

    def note(self, stage, batch):
        with open(self.folder / f"{stage}-{self.global_rank}.txt", "a") as file:
            columns = zip(*(batch[name].tolist() for name in ("index", "window", "valid")))
            file.write(json.dumps([self.current_epoch, list(columns)]) + "\n")

    def training_step(self, batch, _):
        self.note("train", batch)
        return self.weight * batch["x"].mean()

    def validation_step(self, batch, _):
        self.note("val", batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


def _seen(folder, stage, rank=0):
    return [json.loads(line) for line in (folder / f"{stage}-{rank}.txt").read_text().splitlines()]


def test_lightning_chooses_the_epoch_and_leaves_the_loader_alone(data, tmp_path):
    pl.Trainer(max_epochs=2, **QUIET).fit(_Recorder(tmp_path), datamodule=module(data))
    for epoch in (0, 1):
        loader = module(data).train_dataloader()
        loader.set_epoch(epoch)
        indices = [[row[0] for row in batch] for e, batch in _seen(tmp_path, "train") if e == epoch]
        assert indices == [batch["index"].tolist() for batch in loader]


class _Heard(_Recorder):
    """Keeps what validation heard in each epoch."""

    def __init__(self, folder):
        super().__init__(folder)
        self.heard: dict[int, list[tuple[int, float]]] = {}

    def validation_step(self, batch, _):
        rows = zip(batch["index"].tolist(), batch["x"].double().mean((1, 2)).tolist(), batch["valid"].tolist())
        self.heard.setdefault(self.current_epoch, []).extend((index, mean) for index, mean, valid in rows if valid)


def test_validation_on_a_crop_of_each_track_that_the_epoch_chooses(data, tmp_path):
    first, again = _Heard(tmp_path), _Heard(tmp_path)
    for recorder in (first, again):
        pl.Trainer(max_epochs=3, num_sanity_val_steps=0, **QUIET).fit(recorder, datamodule=module(data, val_crops=True))
    assert first.heard == again.heard
    tracks = [[index for index, _ in rows] for rows in first.heard.values()]
    assert tracks == [sorted(set(tracks[0]))] * 3  # every track once
    means = [[mean for _, mean in rows] for rows in first.heard.values()]
    assert means[0] != means[1] != means[2] != means[0]
    every = module(data).val_dataloader()
    assert len({index for batch in every for index in batch["index"].tolist()}) == len(tracks[0])
    with pytest.raises(ConfigError, match="choose one"):
        module(data, val_crops=True, views=2)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_goes_on_behind_the_batches_that_were_had(data, monkeypatch, workers):
    whole = module(data).train_dataloader()
    whole.set_epoch(3)
    want = as_numbers(whole)
    broken = module(data).train_dataloader()
    broken.set_epoch(3)
    had = iter(broken)
    assert as_numbers([next(had), next(had)]) == want[:2]
    state = broken.state_dict()
    assert state == {"epoch": 3, "batches": 2}
    again, read = module(data, num_workers=workers).train_dataloader(), []
    original = ClipReader.__getitem__
    monkeypatch.setattr(ClipReader, "__getitem__", lambda self, clips: read.append(1) or original(self, clips))
    again.load_state_dict(state)
    batches = iter(again)  # as Lightning does it: first the iterator, then the epoch
    again.set_epoch(3)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    rest = as_numbers(batches)
    assert torch.equal(torch.get_rng_state(), before)  # whatever else draws from it does not depend on the loading
    assert rest == want[2:]
    assert again.state_dict() == {"epoch": 3, "batches": len(want)}
    assert workers or len(read) == len(want) - 2  # what was had is not read again
    assert as_numbers(again) == want  # once


def test_a_place_in_one_epoch_is_none_in_another(data):
    loader = module(data).train_dataloader()
    loader.load_state_dict({"epoch": 0, "batches": len(loader)})  # it had had them all
    loader.set_epoch(1)
    assert len(list(loader)) == len(loader)


def test_the_fingerprint_is_of_what_is_trained_on_and_not_of_where_it_lies(data, tmp_path):
    folder, lengths, truth = data
    own = module(data).fingerprint()
    (tmp_path / "moved.h5").write_bytes((folder / "mel.h5").read_bytes())
    assert module(data, store=tmp_path / "moved.h5", batch_size_train=3, num_workers=1).fingerprint() == own
    rows = truth.matrix().astype(int)
    rows[4, 1] ^= 1
    relabelled = Groundtruth.from_rows(truth.keys, list(rows), truth.labels)
    with TrackStore.create(tmp_path / "longer.h5", (4,), np.float32, ATTRS) as writer:
        for i, n in enumerate(lengths):
            writer.append(f"{i:02d}.flac", np.zeros((n + (i == 7), 4), np.float32))
        writer.seal()
    others = [
        module(data, train=relabelled),
        module(data, train=truth.subset(range(20))),
        module(data, val=truth.subset(range(20))),
        module(data, val=None),
        module(data, store=tmp_path / "longer.h5"),
    ]
    assert len({own, *(other.fingerprint() for other in others)}) == 6
    summary = module(data).summary()
    assert summary["tracks of train"] == len(truth)
    assert summary["items of train"] == sum(lengths)
    assert summary["labels of val"] == truth.n_labels
    assert summary["labels set in train"] == int(truth.matrix().sum())
    told = [{key for key, value in other.summary().items() if summary[key] != value} for other in others]
    assert told[0] == {"labels set in train"}
    assert told[1] >= {"tracks of train", "items of train"}
    assert told[2] >= {"tracks of val"}
    assert {"items of train", "items of val"} == told[4]


def test_a_reader_sent_to_a_worker_is_small(data):
    assert isinstance(module(data).split("val").reader, ClipReader)
    store = module(data).split("val").reader.store
    assert len(pickle.dumps(store)) < 500


def _fit_on_two(dm, folder, rank, port):
    from lightning_fabric.plugins.environments import TorchElasticEnvironment

    torch.set_num_threads(1)
    here = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "LOCAL_RANK": rank, "RANK": rank, "NODE_RANK": 0, "WORLD_SIZE": 2}
    os.environ.update({name: str(value) for name, value in here.items()})
    trainer = pl.Trainer(
        max_epochs=2, devices=2, strategy="ddp", num_sanity_val_steps=0, plugins=[TorchElasticEnvironment()], **QUIET
    )
    trainer.fit(_Recorder(folder), datamodule=dm)


@pytest.mark.slow
def test_two_processes_under_lightning(data, tmp_path):
    """The data module is sent to two spawned processes; each takes its half of the same global batches, and every window is counted once."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    dm = module(data, batch_size_train=4, batch_size_test=3)
    processes = [context.Process(target=_fit_on_two, args=(dm, tmp_path, rank, port)) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    for epoch in (0, 1):
        alone = module(data, batch_size_train=8).train_dataloader()
        alone.set_epoch(epoch)
        halves = [[batch for e, batch in _seen(tmp_path, "train", rank) if e == epoch] for rank in (0, 1)]
        together = [[row[0] for row in left + right] for left, right in zip(*halves)]
        assert together == [batch["index"].tolist() for batch in alone]
        counted = [
            tuple(row[:2])
            for rank in (0, 1)
            for e, batch in _seen(tmp_path, "val", rank)
            if e == epoch
            for row in batch
            if row[2]
        ]
        assert len(counted) == len(set(counted))
        alone = module(data).val_dataloader()
        assert set(counted) == {(i, w) for batch in alone for i, w in zip(batch["index"].tolist(), batch["window"].tolist())}
