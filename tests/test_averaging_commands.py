"""Averaged weights through whole commands: trained, validated, logged, tested, exported, and absent before their start. And mini_train."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch

from models.weights.checkpoints import read_checkpoint, read_state

SMALL = {
    "datamodule.demo_tracks": 12, "maest.embed_dim": 48, "maest.depth": 1, "trainer.check_val_every_n_epoch": 1, "trainer.accelerator": "cpu",
    "trainer.precision": "32", "module.do_swa": True, "module.swa_freq": 1, "module.swa_lrs": 1e-3,
}  # fmt: skip
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("averaging")


@pytest.fixture
def run(folder, monkeypatch):
    monkeypatch.chdir(folder)
    handlers = logging.getLogger().handlers
    import ex_maest

    def command(name, *named, **updates):
        return ex_maest.ex.run(name, config_updates={**SMALL, **updates}, named_configs=["demo", *named])

    yield command
    logging.getLogger().handlers = handlers


def trained(run, root, **updates):
    result = run("main", **{"trainer.default_root_dir": root, **updates}).result
    return result, Path(root) / "1" / "checkpoints" / "last.ckpt"


def exported(run, checkpoint, **updates):
    words = {"maest.checkpoint": str(checkpoint), "export.out": f"{checkpoint}-{len(updates)}.safetensors", **updates}
    return read_state(run("export", **words).result)


def parts(checkpoint):
    state = read_checkpoint(checkpoint)
    return [{k.removeprefix(p): v for k, v in state.items() if k.startswith(p)} for p in ("net.", "net_swa.")]


def equal(a, b):
    return sorted(a) == sorted(b) and all(torch.equal(a[k], b[k]) for k in a)


def test_a_run_that_ends_before_the_start_leaves_and_exports_the_trained_weights(run):
    result, last = trained(run, "before", **{"trainer.max_epochs": 2, "module.swa_epoch_start": 50})
    assert not [name for name in result if "swa" in name]
    raw, averaged = parts(last)
    assert averaged == {}
    assert equal(exported(run, last), raw)
    _, first = trained(run, "first", **{"trainer.max_epochs": 1, "trainer.limit_train_batches": 1, "module.optimizer.lr": 1e-12})
    init = parts(first)[0]  # as it was drawn, but for a step of nothing
    assert any((raw[k] - init[k]).abs().max() > 1e-4 for k in raw)
    tested = run("test", **{"trainer.default_root_dir": "before", "ckpt_path": str(last)}).result
    assert not [name for name in tested if "swa" in name]


@pytest.mark.parametrize("kind", [{}, {"module.ema_decay": 0.9}], ids=["swa", "ema"])
def test_both_sets_of_weights_are_scored_saved_continued_and_exported(run, folder, kind):
    root, settings = f"both{len(kind)}", {"module.swa_epoch_start": 1, **kind}
    result, last = trained(run, root, **{"trainer.max_epochs": 3, **settings})
    history = json.loads((Path(root) / "1" / "history.json").read_text())
    assert ["val_ap_swa" in row for row in history] == [False, True, True]
    assert {"val_loss_swa", "val_roc_swa"} <= set(result)
    metrics = json.loads((Path(root) / "1" / "metrics.json").read_text())
    assert metrics["val_ap_swa"]["steps"] == [1, 2]
    raw, averaged = parts(last)
    assert not equal(raw, averaged)
    assert equal(exported(run, last), averaged)
    assert equal(exported(run, last, **{"maest.checkpoint_swa_weights": False}), raw)
    words = {"trainer.default_root_dir": root, "trainer.max_epochs": 3, **settings}
    tested = run("test", ckpt_path="last", **words).result
    assert {"test_track_ap", "test_track_ap_swa", "test_roc", "test_roc_swa"} <= set(tested)

    _, part = trained(run, f"{root}-broken", **{"trainer.max_epochs": 2, **settings})
    run("main", ckpt_path="last", **{**words, "trainer.default_root_dir": f"{root}-broken"})
    assert equal(read_checkpoint(part), read_checkpoint(last))


def test_mini_train_is_five_batches_of_any_config(run):
    updates = {"trainer.default_root_dir": "mini", "datamodule.batch_size_train": 1, "datamodule.batch_size_test": 1}
    run("main", "mini_train", **updates)
    history = json.loads((Path("mini") / "1" / "history.json").read_text())
    assert [row["step"] for row in history] == [5]
    assert "val_loss" in history[0]
