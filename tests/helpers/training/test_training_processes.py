"""Training in several processes equals training in one."""

import json
import math
import subprocess
import sys

import pytest
import torch

from models.weights.checkpoints import read_checkpoint

TWO = """
import sys
sys.path[:0] = {paths!r}
import logging, warnings
from tests.helpers.training.toy_training import ToyData, ToyNet, fit
import torch
from helpers.training.optimization import Optimization
from helpers.training.averaging import AveragedWeights
from models.maest.objective import SupervisedObjective
from models.maest.augment import Roll
torch.set_num_threads(1)
torch.manual_seed(0)
devices, batch, out = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
o = SupervisedObjective(ToyNet(), mixup_group=4, roll=Roll(do=True))
fit(o, ToyData(batch_size=batch), out_dir=out, max_epochs=2, optimization=Optimization(lr=1e-2), averaging=AveragedWeights(1, 1),
    devices=devices, accelerator="cpu", precision="32", show_progress=False, **eval(sys.argv[4]))
"""


def run_two(tmp_path, devices, batch, **more):
    root = __file__.rsplit("/tests/", 1)[0]
    script = tmp_path / "two.py"
    script.write_text(TWO.format(paths=[root]))
    out = tmp_path / f"{devices}x{batch}{'-'.join(map(str, more))}"
    done = subprocess.run(
        [sys.executable, str(script), str(devices), str(batch), str(out), repr(more)], capture_output=True, text=True, timeout=170
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((out / "history.json").read_text()), read_checkpoint(out / "checkpoints" / "last.ckpt"), done


@pytest.mark.slow
def test_two_processes_of_4_train_as_one_of_8(tmp_path):
    one, weights, _ = run_two(tmp_path, 1, 8)
    two, weights_two, done = run_two(tmp_path, 2, 4)
    assert list(weights) == list(weights_two)
    for k in weights:
        torch.testing.assert_close(weights[k], weights_two[k], atol=2e-6, rtol=1e-4)
    for a, b in zip(one, two):
        assert math.isclose(a["train_loss"], b["train_loss"], abs_tol=1e-5)
        for k in ("val_loss", "val_ap", "val_roc"):
            assert math.isclose(a[k], b[k], abs_tol=1e-4), k
    assert done.stdout == ""


@pytest.mark.slow
def test_ddp_with_one_device_stays_in_one_process(tmp_path):
    _, weights, _ = run_two(tmp_path, 1, 8)
    _, weights_ddp, done = run_two(tmp_path, 1, 8, strategy="ddp")
    assert all(torch.equal(weights[k], weights_ddp[k]) for k in weights)
    assert "distributed_backend" not in done.stderr
