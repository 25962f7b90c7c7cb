"""Batch normalisation of two processes, of unlike batches, is that of one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

TWO = """
import sys
import torch
from torch import distributed as dist, nn
from helpers.training.batch_norm import join_processes, part_processes

rank, file, out = int(sys.argv[1]), sys.argv[2], sys.argv[3]
if rank >= 0:
    dist.init_process_group("gloo", init_method="file://" + file, rank=rank, world_size=2)
torch.manual_seed(0)
net = join_processes(nn.Sequential(nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4), nn.ReLU(), nn.BatchNorm1d(4, momentum=None))).train()
x, w = torch.randn(8, 3, 10) * 3 + 1, torch.randn(8, 4, 8)
own = {-1: slice(0, 8), 0: slice(0, 3), 1: slice(3, 8)}[rank]
for _ in range(3):
    net.zero_grad()
    (net(x[own]) * w[own]).sum().backward()
grads = [p.grad for p in net.parameters()]
if rank >= 0:
    for grad in grads:
        dist.all_reduce(grad)
if rank <= 0:
    names = [type(module).__name__ for module in part_processes(net)]
    torch.save({"grads": grads, "state": net.state_dict(), "names": names}, out)
"""


@pytest.mark.slow
def test_two_processes_normalise_as_one(tmp_path):
    root = Path(__file__).resolve().parents[3]

    def start(rank: int, out: str):
        words = [sys.executable, "-c", TWO, str(rank), str(tmp_path / "meeting"), str(tmp_path / out)]
        return subprocess.Popen(words, cwd=root, stderr=subprocess.PIPE, text=True)

    jobs = [start(-1, "one"), start(0, "two"), start(1, "two")]
    for job in jobs:
        assert job.communicate(timeout=170)[1] is not None
        assert job.returncode == 0
    one, two = (torch.load(tmp_path / name, weights_only=True) for name in ("one", "two"))
    assert one["names"] == two["names"] == ["Conv1d", "BatchNorm1d", "ReLU", "BatchNorm1d"]
    for a, b in zip(one["grads"], two["grads"], strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-5)
    for name, value in one["state"].items():
        torch.testing.assert_close(value, two["state"][name], atol=1e-5, rtol=1e-5)
