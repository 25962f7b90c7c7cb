"""Whole trainings that are killed (-9), asked to end, or run out of disk, and are continued by the same command with ckpt_path=last."""

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

RUNNER = Path(__file__).parent / "killed_run.py"
EPOCHS, STEPS = 3, 8  # 30 tracks in batches of 4
WORDS = [
    "with", "demo", "datamodule.demo_tracks=40", "datamodule.batch_size_train=4", "datamodule.batch_size_test=2", "datamodule.roll.do=True",
    "maest.embed_dim=48", "maest.depth=2", "maest.s_patchout_t=2", "module.mixup_alpha=0.3", "module.do_swa=True", "module.swa_epoch_start=1",
    "module.swa_freq=1", "trainer.max_epochs=3", "trainer.check_val_every_n_epoch=1", "trainer.log_every_n_steps=1",
    "trainer.save_every_n_steps=3", "trainer.keep_checkpoints=2", "trainer.accelerator=cpu", "trainer.precision=32",
]  # fmt: skip
pytestmark = pytest.mark.slow


def run(folder: Path, root: str, what: str = "none", number: int = 1, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(RUNNER), what, str(number), "ex_maest.py", *WORDS, f"trainer.default_root_dir={root}", "ckpt_path=last", *words],
        cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working folder with the demo data and a run that nothing happened to, in `whole`."""
    folder = tmp_path_factory.mktemp("kills")
    done = run(folder, "whole")
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def left(root: Path) -> dict:
    """What the one run under `root` has left, but times."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert sorted(p.name for p in root.iterdir()) == ["1", "_sources"]
    where = root / "1"
    assert not list(where.rglob("*.part"))
    history = json.loads((where / "history.json").read_text())
    metrics = json.loads((where / "metrics.json").read_text())
    events = EventAccumulator(str(where / "tensorboard")).Reload()
    scalars = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    for told in [*(told["steps"] for told in metrics.values()), *([step for step, _ in rows] for rows in scalars.values())]:
        assert len(told) == len(set(told))
    return {
        "status": json.loads((where / "run.json").read_text())["status"],
        "history": [{k: v for k, v in row.items() if k != "seconds"} for row in history],
        "metrics": {name: (told["steps"], told["values"]) for name, told in metrics.items()},
        "events": scalars,
        "checkpoints": sorted(p.name for p in (where / "checkpoints").iterdir()),
    }


def same(folder: Path, root: str) -> None:
    """The run under `root` has left what the unbroken one has, bit for bit."""
    whole, other = left(folder / "whole"), left(folder / root)
    assert whole["status"] == "COMPLETED"
    assert len(whole["history"]) == EPOCHS
    assert whole["metrics"]["train_loss_step"][0] == list(range(1, EPOCHS * STEPS + 1))
    for part in whole:
        assert whole[part] == other[part], part
    for name in ("last.ckpt", "best.ckpt"):
        paths = [folder / r / "1" / "checkpoints" / name for r in ("whole", root)]
        a, b = map(read_checkpoint, paths)
        assert list(a) == list(b)
        assert {k.split(".")[0] for k in a} == {"net", "net_swa"}
        assert all(torch.equal(a[k], b[k]) for k in a)
        states = [torch.load(path, weights_only=True)["optimizer_states"] for path in paths]
        torch.testing.assert_close(*states, rtol=0, atol=0)


def test_five_kills_and_the_run_ends_as_an_unbroken_one(folder):
    rng = np.random.default_rng(0)
    kills = [
        ("start", 1),
        ("batch", int(rng.integers(4, STEPS + 1))),
        ("write", int(rng.integers(2, 5))),
        ("validation", int(rng.integers(2, 7))),  # windows of 8 tracks, in batches of 2
        ("end", 1),
    ]
    for what, number in kills:
        done = run(folder, "killed", what, number)
        assert done.returncode == -signal.SIGKILL, (what, done.stderr[-3000:])
        assert json.loads((folder / "killed" / "1" / "run.json").read_text())["status"] == "RUNNING"
    done = run(folder, "killed")
    assert done.returncode == 0, done.stderr[-3000:]
    same(folder, "killed")
    assert len(json.loads((folder / "killed" / "1" / "run.json").read_text())["resumed"]) == len(kills)


def test_sigterm_saves_says_so_and_the_run_goes_on(folder):
    done = run(folder, "asked", "term", 5)
    assert done.returncode == 128 + signal.SIGTERM, done.stderr[-3000:]
    assert "Ended by SIGTERM. Saved:" in done.stderr
    assert "Traceback" not in done.stderr
    where = folder / "asked" / "1"
    assert json.loads((where / "run.json").read_text())["status"] == "INTERRUPTED"
    assert torch.load(where / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 5
    done = run(folder, "asked")
    assert done.returncode == 0, done.stderr[-3000:]
    same(folder, "asked")


def test_a_full_disk_fails_the_run_and_a_torn_checkpoint_is_passed_over(folder):
    done = run(folder, "full", "full", 4)
    assert done.returncode == 1
    assert "CheckpointError" not in done.stderr
    assert "cannot be written" in done.stderr
    where = folder / "full" / "1"
    assert json.loads((where / "run.json").read_text())["status"] == "FAILED"
    assert not list(where.rglob("*.part"))
    last = where / "checkpoints" / "last.ckpt"
    step = torch.load(last, weights_only=True)["global_step"]
    assert step > 0
    last.write_bytes(last.read_bytes()[:-100])  # and this besides
    done = run(folder, "full")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "last.ckpt" in done.stderr
    assert "passed over" in done.stderr
    assert "step-" in done.stderr
    same(folder, "full")


def test_what_would_be_another_training_is_refused(folder):
    before = (folder / "whole" / "1" / "checkpoints" / "last.ckpt").read_bytes()
    done = run(folder, "whole", "none", 1, "maest.depth=3", "seed=7")
    assert done.returncode == 1
    assert "maest.depth was 2, is 3" in done.stderr
    assert "seed was 0, is 7" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(p.name for p in (folder / "whole").iterdir()) == ["1", "_sources"]
    assert (folder / "whole" / "1" / "checkpoints" / "last.ckpt").read_bytes() == before
    assert json.loads((folder / "whole" / "1" / "run.json").read_text())["status"] == "COMPLETED"
    assert json.loads((folder / "whole" / "1" / "config.json").read_text())["maest"]["depth"] == 2


@pytest.mark.parametrize("what", ["batch", "term0"])
def test_two_processes_continue_as_one_job(folder, what):
    """`batch`: both are killed; `term0`: the first one alone is asked to end, and both save and end."""
    two = ["trainer.devices=2", "datamodule.batch_size_train=2", "module.mixup_group=2"]
    if not (folder / "two").exists():
        assert run(folder, "two", "none", 1, *two).returncode == 0
    done = run(folder, f"two-{what}", what, 5, *two)
    assert done.returncode == (-signal.SIGKILL if what == "batch" else 128 + signal.SIGTERM), done.stderr[-3000:]
    where = folder / f"two-{what}" / "1"
    assert torch.load(where / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == (3 if what == "batch" else 5)
    done = run(folder, f"two-{what}", "none", 1, *two)
    assert done.returncode == 0, done.stderr[-3000:]
    a, b = (read_checkpoint(folder / root / "1" / "checkpoints" / "last.ckpt") for root in ("two", f"two-{what}"))
    assert all(torch.equal(a[k], b[k]) for k in a)
    one, other = left(folder / "two"), left(folder / f"two-{what}")
    assert one == other
