"""Whole music2vec trainings: killed and continued, by one process and by two, a report of one, and a fine-tuning of what was trained."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from models.weights.checkpoints import read_checkpoint
from tests.test_kills import RUNNER, left

STEPS = 7  # 30 tracks in batches of 4, the rest left out
WORDS = [
    "with", "music2vec_demo", "datamodule.demo_tracks=40", "datamodule.batch_size_test=2", "music2vec.hidden_size=16",
    "music2vec.num_hidden_layers=2", "music2vec.intermediate_size=24", "music2vec.conv_dim=[4,4]", "music2vec.max_seconds=1.0",
    "music2vec.top_k=2", "music2vec.mask_span=10", "music2vec.mask_prob=0.65", "music2vec.dropout=0.1",
    "music2vec.layerdrop=0.2", "trainer.max_epochs=2", "trainer.check_val_every_n_epoch=1",
    "trainer.log_every_n_steps=1", "trainer.save_every_n_steps=3", "trainer.accelerator=cpu", "trainer.precision=32", "predict.transformer_block=1",
    "report.trainer.max_epochs=1", "report.seeds=[0]",
]  # fmt: skip
pytestmark = pytest.mark.slow


def run(folder: Path, root: str, what: str = "none", number: int = 1, *words: str, command: str = "main"):
    words = (*WORDS, "datamodule.batch_size_train=4", f"trainer.default_root_dir={root}", "ckpt_path=last", *words)
    return subprocess.run(
        [sys.executable, str(RUNNER), what, str(number), "ex_ssl.py", command, *words],
        cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working folder with the demo data and a report that nothing happened to, in `whole`."""
    folder = tmp_path_factory.mktemp("music2vec")
    done = run(folder, "whole", command="report")
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_the_page_says_how_far_targets_and_predictions_spread(folder):
    where = folder / "whole" / "1"
    last = json.loads((where / "history.json").read_text())[-1]
    page = (where / "report.html").read_text()
    assert f"targets spread {last['val_target_std']:.3f}, predictions {last['val_prediction_std']:.3f}" in page
    assert {"train_target_std", "train_prediction_std", "train_ema_decay"} < set(last)


def test_kills_and_the_training_ends_as_an_unbroken_one_teacher_included(folder):
    for what, number in [("batch", 5), ("write", 2), ("validation", 2)]:
        done = run(folder, "killed", what, number)
        assert done.returncode == -signal.SIGKILL, (what, done.stderr[-3000:])
    done = run(folder, "killed")
    assert done.returncode == 0, done.stderr[-3000:]
    whole, other = left(folder / "whole"), left(folder / "killed")
    assert whole["metrics"]["train_loss_step"][0] == list(range(1, 2 * STEPS + 1))
    for part in ("history", "events", "checkpoints"):
        assert whole[part] == other[part], part
    paths = [folder / root / "1" / "checkpoints" / "last.ckpt" for root in ("whole", "killed")]
    a, b = map(read_checkpoint, paths)
    assert list(a) == list(b)
    assert {name.split(".")[0] for name in a} == {"net", "teacher", "final_proj"}
    assert all(torch.equal(a[name], b[name]) for name in a)
    pairs = [(f"teacher.{k.removeprefix('net.encoder.')}", k) for k in a if k.startswith("net.encoder.")]
    same = {teacher.split(".")[1]: torch.equal(a[teacher], a[own]) for teacher, own in pairs}
    assert same["pos_conv_embed"]
    assert not same["layers"]  # it follows, and is not the network
    torch.testing.assert_close(*(torch.load(p, weights_only=True)["optimizer_states"] for p in paths), rtol=0, atol=0)


def test_two_processes_train_as_one(folder):
    for root, devices, batch in (("one", 1, 4), ("two", 2, 2)):
        words = (f"trainer.devices={devices}", f"datamodule.batch_size_train={batch}", "music2vec.dropout=0")
        done = run(folder, root, "none", 1, *words)
        assert done.returncode == 0, done.stderr[-3000:]
    one, two = (left(folder / root) for root in ("one", "two"))
    losses = [found["metrics"]["train_loss_step"][1] for found in (one, two)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)
    for row, other in zip(one["history"], two["history"]):
        assert other == pytest.approx(row, rel=1e-5)


def test_what_was_trained_is_fine_tuned_with_checkpointing_as_without(folder):
    scores = []
    for again in (False, True):
        words = [
            "finetune", "with", "finetune.model=whole/1/checkpoints/last.ckpt", "finetune.store=exp_out/demo_data-40/samples-16000",
            f"finetune.gradient_checkpointing={again}", "finetune.max_epochs=1", "finetune.accelerator=cpu", "finetune.precision=32", "seeds=[0]",
            "data.groundtruth=exp_out/demo_data-40/groundtruth.csv", f"out_dir=tuned-{again}",
        ]  # fmt: skip
        done = subprocess.run(
            [sys.executable, str(RUNNER.parents[1] / "ex_tl.py"), *words],
            cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        (found,) = (folder / f"tuned-{again}").rglob("scores.npz")
        with np.load(found) as arrays:
            scores.append({name: arrays[name] for name in arrays})
    assert scores[0].keys() == scores[1].keys()
    for name, value in scores[0].items():
        np.testing.assert_array_equal(scores[1][name], value, err_msg=name)
