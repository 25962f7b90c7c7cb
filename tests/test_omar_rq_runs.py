"""Whole OMAR-RQ trainings: killed and continued, by one process and by two, and the page that a report writes of one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models.weights.checkpoints import read_checkpoint
from tests.test_kills import RUNNER, left

STEPS = 7  # 30 tracks in batches of 4, the rest left out
WORDS = [
    "with", "omar_rq_demo", "datamodule.demo_tracks=40", "datamodule.batch_size_test=2", "omar_rq.embed_dim=16", "omar_rq.depth=2",
    "omar_rq.max_seconds=1.024", "omar_rq.num_codebooks=2", "omar_rq.dropout=0.1", "trainer.max_epochs=2", "trainer.log_every_n_steps=1",
    "trainer.save_every_n_steps=3", "trainer.accelerator=cpu", "trainer.precision=32", "predict.transformer_block=1", "report.trainer.max_epochs=1",
]  # fmt: skip
pytestmark = pytest.mark.slow


def run(folder: Path, root: str, what: str = "none", number: int = 1, *words: str, command: str = "main"):
    words = (*WORDS, "datamodule.batch_size_train=4", f"trainer.default_root_dir={root}", "ckpt_path=last", *words)
    return subprocess.run(
        [sys.executable, str(RUNNER), what, str(number), "ex_ssl.py", command, *words],
        cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def histograms(folder: Path, root: str) -> dict:
    """How often each token came, of TensorBoard's file: name -> its steps and counts."""
    from tensorboard.backend.event_processing.event_accumulator import HISTOGRAMS, EventAccumulator

    events = EventAccumulator(str(folder / root / "1" / "tensorboard"), {HISTOGRAMS: 0}).Reload()
    found = {tag: events.Histograms(tag) for tag in events.Tags()["histograms"]}
    return {tag: [(one.step, one.histogram_value.bucket) for one in several] for tag, several in found.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working folder with the demo data and a report that nothing happened to, in `whole`."""
    folder = tmp_path_factory.mktemp("omar")
    done = run(folder, "whole", command="report")
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_the_page_says_how_tokens_are_used_and_what_was_learned(folder):
    page, where = (folder / "whole" / "1" / "report.html").read_text(), folder / "whole" / "1"
    last = json.loads((where / "history.json").read_text())[-1]
    assert f"{100 * last['val_accuracy']:.1f} % right" in page
    assert f"MelSpectrogram_0 {last['val_perplexity_MelSpectrogram_0']:.1f}" in page
    assert "the most used code first" in page
    counts = json.loads((where / "histograms.json").read_text())
    assert set(counts) == {f"val_tokens_{target}_{book}" for target in ("MelSpectrogram", "CQT") for book in (0, 1)}
    assert all(len(n) == 24 and sum(n) > 0 for n in counts.values())
    written = histograms(folder, "whole")
    assert {name: list(several[-1][1]) for name, several in written.items()} == counts
    assert all(len(several) == 1 for several in written.values())  # fixed targets: written once


def test_five_kills_and_the_training_ends_as_an_unbroken_one(folder):
    for what, number in [("start", 1), ("batch", 5), ("write", 2), ("validation", 2), ("end", 1)]:
        done = run(folder, "killed", what, number)
        assert done.returncode == -signal.SIGKILL, (what, done.stderr[-3000:])
    done = run(folder, "killed")
    assert done.returncode == 0, done.stderr[-3000:]
    whole, other = left(folder / "whole"), left(folder / "killed")
    assert whole["metrics"]["train_loss_step"][0] == list(range(1, 2 * STEPS + 1))
    for part in ("history", "events", "checkpoints"):
        assert whole[part] == other[part], part  # perplexities too: the quantisers are drawn anew, and the same
    assert histograms(folder, "whole") == histograms(folder, "killed")
    paths = [folder / root / "1" / "checkpoints" / "last.ckpt" for root in ("whole", "killed")]
    a, b = map(read_checkpoint, paths)
    assert list(a) == list(b)
    assert {name.split(".")[0] for name in a} == {"net", "linear"}  # no targets, no quantisers
    assert all(torch.equal(a[name], b[name]) for name in a)
    torch.testing.assert_close(*(torch.load(p, weights_only=True)["optimizer_states"] for p in paths), rtol=0, atol=0)


def test_two_processes_train_as_one(folder):
    for root, devices, batch in (("one", 1, 4), ("two", 2, 2)):
        words = (f"trainer.devices={devices}", f"datamodule.batch_size_train={batch}", "omar_rq.dropout=0")
        done = run(folder, root, "none", 1, *words)
        assert done.returncode == 0, done.stderr[-3000:]
    one, two = (left(folder / root) for root in ("one", "two"))
    losses = [found["metrics"]["train_loss_step"][1] for found in (one, two)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)
    # the gradient of a bias in front of batch normalisation is nothing but rounding, which Adam makes steps of: validation sees them, training not
    for row, other in zip(one["history"], two["history"]):
        assert other == pytest.approx(row, rel=2e-4)
