"""Whole MusicFM trainings: killed and continued, and by one process and by two."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models.weights.checkpoints import read_checkpoint
from tests.test_kills import RUNNER, left

WORDS = [
    "with", "musicfm_demo", "datamodule.demo_tracks=40", "datamodule.batch_size_test=4", "musicfm.conv_dim=2", "musicfm.encoder_dim=16",
    "musicfm.encoder_depth=2", "musicfm.intermediate_size=32", "musicfm.max_seconds=0.8", "musicfm.num_codebooks=2", "musicfm.dropout=0.1",
    "trainer.max_epochs=2", "trainer.log_every_n_steps=1", "trainer.save_every_n_steps=3", "trainer.check_val_every_n_epoch=1",
    "trainer.accelerator=cpu", "trainer.precision=32", "predict.transformer_block=1",
]  # fmt: skip
pytestmark = pytest.mark.slow


def run(folder: Path, root: str, what: str = "none", number: int = 1, *words: str):
    words = (*WORDS, "datamodule.batch_size_train=4", f"trainer.default_root_dir={root}", "ckpt_path=last", *words)
    return subprocess.run(
        [sys.executable, str(RUNNER), what, str(number), "ex_ssl.py", "main", *words],
        cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working folder with the demo data and a training that nothing happened to, in `whole`."""
    folder = tmp_path_factory.mktemp("musicfm")
    done = run(folder, "whole")
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_kills_and_the_training_ends_as_an_unbroken_one(folder):
    for what, number in [("batch", 5), ("write", 2)]:
        done = run(folder, "killed", what, number)
        assert done.returncode == -signal.SIGKILL, (what, done.stderr[-3000:])
    done = run(folder, "killed")
    assert done.returncode == 0, done.stderr[-3000:]
    whole, other = left(folder / "whole"), left(folder / "killed")
    for part in ("history", "events", "checkpoints"):
        assert whole[part] == other[part], part
    paths = [folder / root / "1" / "checkpoints" / "last.ckpt" for root in ("whole", "killed")]
    a, b = map(read_checkpoint, paths)
    assert list(a) == list(b)
    assert all(torch.equal(a[name], b[name]) for name in a)
    torch.testing.assert_close(*(torch.load(p, weights_only=True)["optimizer_states"] for p in paths), rtol=0, atol=0)


def test_two_processes_train_as_one(folder):
    for root, devices, batch in (("one", 1, 4), ("two", 2, 2)):
        words = (
            f"trainer.devices={devices}",
            f"datamodule.batch_size_train={batch}",
            "musicfm.dropout=0",
            "trainer.max_epochs=1",
        )
        done = run(folder, root, "none", 1, *words)
        assert done.returncode == 0, done.stderr[-3000:]
    losses = [left(folder / root)["metrics"]["train_loss_step"][1] for root in ("one", "two")]
    assert len(losses[0]) == 7  # 30 tracks in batches of 4, the rest left out
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)
