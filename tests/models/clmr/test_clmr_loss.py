"""NT-Xent and the projector: the reference's values and gradients, what is refused, and negatives from several processes."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from models.clmr import NTXent, Projector
from models.errors import ConfigError

GOLDEN = dict(np.load(Path(__file__).parents[2] / "fixtures" / "clmr" / "ntxent.npz"))


def pair(key: str) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(GOLDEN[f"{key}_zi"]), torch.from_numpy(GOLDEN[f"{key}_zj"])


@pytest.mark.parametrize("case", range(5))
def test_values_and_gradients_are_the_references(case):
    zi, zj = pair(f"case{case}")
    loss = NTXent(float(GOLDEN[f"case{case}_temperature"]))(zi.requires_grad_(), zj)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(float(GOLDEN[f"case{case}_loss"]), abs=1e-5)
    torch.testing.assert_close(zi.grad, torch.from_numpy(GOLDEN[f"case{case}_grad_zi"]), rtol=1e-3, atol=1e-5)


def test_equal_embeddings_and_perfect_ones():
    loss, _ = NTXent(0.5).parts(torch.ones(4, 8), torch.ones(4, 8))
    assert float(loss) == pytest.approx(math.log(7), abs=1e-6)
    z = torch.eye(6)
    assert NTXent(0.1).parts(z, z)[1] == 1
    assert NTXent(0.1).parts(z, z.roll(1, 0))[1] < 0.5


def test_zero_embeddings_have_a_finite_loss_and_gradient():
    z = torch.zeros(4, 8, requires_grad=True)
    loss = NTXent()(z, z * 1)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(z.grad).all()


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan")])
def test_a_temperature_that_is_not_above_0_is_refused(temperature):
    with pytest.raises(ConfigError, match="temperature"):
        NTXent(temperature)


def test_one_pair_and_unlike_views_are_refused():
    with pytest.raises(ConfigError, match="no negatives"):
        NTXent()(torch.ones(1, 4), torch.ones(1, 4))
    with pytest.raises(ConfigError, match="row by row"):
        NTXent()(torch.ones(3, 4), torch.ones(2, 4))


@torch.no_grad()
def test_projector_gives_the_references_numbers():
    net = Projector(32, 8)
    assert list(net.state_dict()) == ["0.weight", "2.weight"]
    net.load_state_dict({f"{2 * i}.weight": torch.from_numpy(GOLDEN[f"proj_W{i + 1}"]) for i in range(2)})
    torch.testing.assert_close(net(torch.from_numpy(GOLDEN["proj_h"])), torch.from_numpy(GOLDEN["proj_z"]), rtol=1e-4, atol=1e-5)


# ---- several processes
def linear() -> nn.Linear:
    torch.manual_seed(3)
    return nn.Linear(16, 16, bias=False)


def one_of_two(rank: int, folder: str, sizes: tuple[int, int]) -> None:
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2, timeout=timedelta(seconds=60))
    net = nn.parallel.DistributedDataParallel(linear())
    first = sum(sizes[:rank])
    loss, accuracy = NTXent(0.5).parts(*(net(z[first : first + sizes[rank]]) for z in pair("gather")))
    loss.backward()
    np.savez(f"{folder}/{rank}.npz", loss=float(loss.detach()), accuracy=float(accuracy), grad=net.module.weight.grad.numpy())
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(6, 6), (8, 4)])
def test_two_processes_have_the_loss_and_gradients_of_the_joined_batch(tmp_path, sizes):
    net = linear()
    want, accuracy = NTXent(0.5).parts(*(net(z) for z in pair("gather")))
    want.backward()
    torch.multiprocessing.spawn(one_of_two, (str(tmp_path), sizes), nprocs=2)
    got = [np.load(tmp_path / f"{rank}.npz") for rank in range(2)]
    for one in got:
        assert float(one["loss"]) == pytest.approx(float(want.detach()), abs=1e-6)
        np.testing.assert_allclose(one["grad"], net.weight.grad.numpy(), atol=1e-6)
    mean = sum(float(one["accuracy"]) * n for one, n in zip(got, sizes)) / sum(sizes)
    assert mean == pytest.approx(float(accuracy), abs=1e-6)
    net.zero_grad()
    NTXent(0.5)(*(net(z[:6]) for z in pair("gather"))).backward()  # what half of the negatives would give
    assert np.abs(got[0]["grad"] - net.weight.grad.numpy()).max() > 1e-3
