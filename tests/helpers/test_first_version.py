"""Files that the first version wrote (tests/fixtures/first_version) are read, listed, and worked with: whoever has such files keeps them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from configs import EX_SSL
from datasets.store import TrackStore
from helpers.extraction.origin import origin_of
from helpers.metrics.scores import SystemScores
from helpers.training.resume import read_saved
from helpers.training.same_training import ResumeRules
from helpers.utils.typed_config import flat
from models import load_model
from models.weights.checkpoints import read_checkpoint, read_settings, read_state

ROOT = Path(__file__).resolve().parents[2]
MAEST = {"input_f": 96, "input_t": 62, "n_classes": 30, "embed_dim": 32, "depth": 2, "num_heads": 4, "distilled_type": "mean"}
MAEST |= {"stride": [16, 16], "init_std": 0.12}
CLMR = {"family": "clmr", "channels": [8, 8, 16, 16, 16], "strides": [3, 3, 3], "sample_rate": 22050, "supervised": False}
# sums of absolute values of some tensors, under the names that the files have
AVERAGED = {"cls_token": 3.238775172, "blocks.1.attn.qkv.weight": 297.2887769, "head.1.weight": 94.07015321}
RAW = {"cls_token": 3.23741657, "blocks.1.attn.qkv.weight": 297.2978063, "head.1.weight": 94.04521371}
CLMR_BEST = {"sequential.0.0.weight": 4.784309563, "sequential.3.1.running_mean": 1.387805808}
CLMR_LAST = {"sequential.0.0.weight": 4.778687784, "sequential.3.1.running_mean": 2.346993255}
HEAD = {"layers.0.weight": 80.10932704, "layers.3.weight": 58.40189081}


@pytest.fixture
def first(fixtures) -> Path:
    return fixtures / "first_version"


def check(state, wanted):
    assert {name: float(state[name].double().abs().sum()) for name in wanted} == pytest.approx(wanted, rel=1e-8)


@pytest.mark.parametrize(
    ("file", "settings", "count", "wanted"),
    [
        ("runs/maest/1/checkpoints/best.ckpt", MAEST, 39, AVERAGED),
        ("runs/maest/1/checkpoints/last.ckpt", MAEST, 39, AVERAGED),
        ("runs/clmr/1/checkpoints/best.ckpt", CLMR, 35, CLMR_BEST),
        ("runs/clmr/1/checkpoints/last.ckpt", CLMR, 35, CLMR_LAST),
        ("exports/maest.safetensors", MAEST, 39, AVERAGED),
        ("exports/clmr.safetensors", CLMR, 35, CLMR_BEST),
        ("probe/1/head.safetensors", {}, 4, HEAD),
    ],
)
def test_settings_and_weights_are_read(first, file, settings, count, wanted):
    found = read_settings(first / file)
    assert {name: found[name] for name in settings} == settings
    state = read_state(first / file)
    assert len(state) == count
    check(state, wanted)


def test_both_sets_of_weights_are_found(first):
    path = first / "runs/maest/1/checkpoints/last.ckpt"
    check(read_state(path, averaged=False), RAW)
    names = set(read_checkpoint(path))
    assert {f"{prefix}{name}" for prefix in ("net.", "net_swa.") for name in RAW} <= names


@pytest.mark.parametrize("family", ["maest", "clmr"])
def test_a_checkpoint_and_its_export_are_the_same_network(first, family):
    checkpoint, export = first / f"runs/{family}/1/checkpoints/best.ckpt", first / f"exports/{family}.safetensors"
    models = [load_model(path) for path in (checkpoint, export)]
    assert {type(model).__name__ for model in models} == {"MAEST" if family == "maest" else "SampleCNN"}
    wave = np.random.default_rng(0).standard_normal(40000).astype(np.float32) / 4
    a, b = (model.embed(wave, models[0].sample_rate).vectors for model in models)
    np.testing.assert_array_equal(a, b)
    assert np.isfinite(a).all()
    if family == "maest":
        assert models[0].label_names[:2] == ["arpeggio", "backbeat"]


def test_a_training_can_be_continued(first):
    """What a resumed run reads: where it was, and what it was trained with."""
    for family, epoch, step in (("maest", 2, 6), ("clmr", 1, 4)):
        saved = read_saved(first / f"runs/{family}/1/checkpoints/last.ckpt")
        assert (saved.epoch, saved.step) == (epoch, step)
        assert saved.experiment["seed"] == 1
        assert torch.load(saved.path, weights_only=True)["optimizer_states"]


def test_settings_by_their_earlier_names_are_compared(first):
    """A training of the first version goes on with what its settings are called now, and not with others."""
    rules = ResumeRules(**EX_SSL.resume_rules, aliases=EX_SSL.aliases)
    saved = read_saved(first / "runs/clmr/1/checkpoints/last.ckpt").experiment
    words = {"clmr.channels": [8, 8, 16, 16, 16], "clmr.strides": [3, 3, 3], "datamodule.batch_size_train": 4, "seed": 1}
    words |= {"module.optimizer.lr": 1e-3, "trainer.accelerator": "cpu", "trainer.precision": 32}
    default = flat(asdict(EX_SSL.schema()))
    now = {key: value for key, value in {**default, **words}.items() if key not in rules.free}
    assert rules.changes(saved, now) == ([], [])
    assert rules.changes(saved, now | {"module.optimizer.name": "sgd", "datamodule.sampler.epoch_len": 9})[0] == [
        "datamodule.sampler.epoch_len was None, is 9",
        "module.optimizer.name was 'auto', is 'sgd'",
    ]


@pytest.mark.parametrize(("store", "state", "tracks", "windows"), [("sealed", "sealed", 12, 100), ("unsealed", "parts", 5, 39)])
def test_stores_are_opened(first, store, state, tracks, windows):
    path = first / "embeddings" / store / "embeddings.h5"
    assert TrackStore.state(path) == state
    found = TrackStore.open(path)
    assert (len(found), int(found.lengths.sum()), found.item_shape, found.dtype) == (tracks, windows, (3, 32), np.float32)
    assert (found.names[0], found.attrs["kind"], found.attrs["block"]) == ("test/00000.flac", "embeddings", 1)
    sums = [float(np.abs(found.read(i).astype(np.float64)).sum()) for i in (0, 4)]
    assert sums == pytest.approx([661.2107381, 654.2118386], rel=1e-8)
    found.verify()


def test_an_unsealed_store_goes_on_to_be_the_sealed_one(first, tmp_path):
    """An extraction that was killed under the old code is finished by the new."""
    shutil.copytree(first / "embeddings" / "unsealed", tmp_path / "store")
    sealed = TrackStore.open(first / "embeddings" / "sealed" / "embeddings.h5")
    with TrackStore.create(tmp_path / "store" / "embeddings.h5", sealed.item_shape, sealed.dtype, sealed.attrs) as writer:
        assert len(writer.names) == 5
        for name in sealed.names[5:]:
            writer.append(name, sealed.read(name))
        writer.seal()
    assert (tmp_path / "store" / "embeddings.h5").read_bytes() == sealed.paths[0].read_bytes()


def test_the_probe_is_read_and_knows_its_encoder(first):
    scores = SystemScores.load(first / "probe" / "1", warn=False)
    assert scores.mean() == pytest.approx(0.375)
    assert len(scores.labels) == 30
    assert origin_of(first / "embeddings" / "sealed") == {
        "encoder_sha256": scores.settings["encoder_sha256"],
        "encoder_layer": scores.settings["encoder_layer"],
    }


def test_the_runs_are_listed(first):
    places = [str(first / place) for place in ("runs/maest", "runs/clmr", "probe")]
    line = [sys.executable, "-m", "helpers.runs", *places]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, env={"COLUMNS": "200", "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    rows = [row for row in done.stdout.splitlines() if "COMPLETED" in row]
    for row, words in zip(
        rows, (("maest main", "val_ap 0.5710 @ 2"), ("self_supervised main", "val_loss 1.0986"), ("test_ap 0.6875",))
    ):
        assert all(word in row for word in words)
    assert len(rows) == 3


@pytest.mark.slow
def test_an_old_run_is_tested_and_continued_by_the_commands(first, tmp_path):
    """On the same demo tracks, made anew: the fingerprint of tracks and labels in the checkpoint must still fit."""
    shutil.copytree(first / "runs", tmp_path / "runs")
    config = json.loads((first / "runs/maest/1/config.json").read_text())
    keys = ("maest.embed_dim", "maest.depth", "datamodule.clip_length", "datamodule.demo_tracks", "datamodule.batch_size_train")
    keys += ("module.do_swa", "module.swa_epoch_start", "module.swa_freq", "module.swa_lrs", "trainer.check_val_every_n_epoch")
    words = [f"{key}={config[key.split('.')[0]][key.split('.')[1]]}" for key in keys]
    words += ["trainer.accelerator=cpu", "trainer.precision=32", "seed=1", "trainer.default_root_dir=runs/maest"]

    def run(*line):
        done = subprocess.run([sys.executable, str(ROOT / "ex_maest.py"), *line], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]

    run("test", "with", "demo", *words, "ckpt_path=runs/maest/1/checkpoints/best.ckpt", "trainer.default_root_dir=tested")
    assert "test_track_ap" in json.loads((tmp_path / "tested/1/test.json").read_text())
    run("with", "demo", *words, "ckpt_path=last", "trainer.max_epochs=4")
    history = json.loads((tmp_path / "runs/maest/1/history.json").read_text())
    before = json.loads((first / "runs/maest/1/history.json").read_text())
    assert [row["epoch"] for row in history] == [0, 1, 2, 3]
    assert history[:3] == before
    assert json.loads((tmp_path / "runs/maest/1/run.json").read_text())["resumed"]
