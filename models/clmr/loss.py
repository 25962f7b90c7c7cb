"""NT-Xent, the contrastive loss of SimCLR (arXiv 2002.05709), with negatives from all processes, and its projection head."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

from ..errors import ConfigError

EPS = 1e-8  # smallest product of two norms


class Projector(nn.Sequential):
    """h [B, in_dim] -> z [B, out_dim]: Linear, ReLU, Linear, no biases; used in pre-training only.

    State: "0.weight" [in_dim, in_dim], "2.weight" [out_dim, in_dim], the published names behind "projector.".

    Raises ConfigError for a size below 1.
    """

    def __init__(self, in_dim: int = 512, out_dim: int = 64):
        if min(in_dim, out_dim) < 1:
            raise ConfigError(f"A projector from {in_dim} to {out_dim} is impossible: both are 1 or more.")
        super().__init__(nn.Linear(in_dim, in_dim, bias=False), nn.ReLU(), nn.Linear(in_dim, out_dim, bias=False))


class NTXent(nn.Module):
    """Normalised temperature-scaled cross-entropy: each view must find the other one of its item among all views of the batch.

    The batch is that of all processes together (their batches may differ in size): every process returns the loss of the joined
    batch, and gradients that DistributedDataParallel averages are those of the joined batch.

    temperature: divides the cosine similarities, above 0 (0.5 as published).
    """

    def __init__(self, temperature: float = 0.5):
        super().__init__()
        if not temperature > 0:
            raise ConfigError(f"temperature is {temperature}; it divides similarities and must be above 0 (published: 0.5).")
        self.temperature = float(temperature)

    def forward(self, z_i: Tensor, z_j: Tensor) -> Tensor:
        """Embeddings of the two views, [N, D] each, row k of both from the same item -> the loss, a scalar.

        Raises ConfigError for shapes that differ, or a joined batch of one item, which has no negatives.
        """
        return self.parts(z_i, z_j)[0]

    def parts(self, z_i: Tensor, z_j: Tensor) -> tuple[Tensor, Tensor]:
        """The loss, and the contrastive accuracy: the share of this process's views whose nearest is their own item's other view.

        Raises as `forward` does.
        """
        if z_i.shape != z_j.shape or z_i.ndim != 2:
            raise ConfigError(
                f"The two views are [N, D] each, row by row the same items; got {list(z_i.shape)} and {list(z_j.shape)}."
            )
        share, accuracy = self._among(z_i.float(), *_joined(z_i.float(), z_j.float()))
        return (_of_all(share) if processes() > 1 else share), accuracy

    def alone(self, z_i: Tensor, z_j: Tensor) -> tuple[Tensor, Tensor]:
        """`parts` of this batch by itself, whatever other processes hold: for validation."""
        return self._among(z_i.float(), z_i.float(), z_j.float(), 0)

    def _among(self, own_i: Tensor, all_i: Tensor, all_j: Tensor, first: int) -> tuple[Tensor, Tensor]:
        """Share of the loss, and accuracy, of the rows from `first` on, as many as own_i has, among all rows."""
        n, own = len(all_i), len(own_i)
        if n < 2:
            raise ConfigError(
                "A batch of one item has no negatives to be told from: contrastive training needs a batch of 2 or more."
            )
        every = torch.cat([all_i, all_j])  # [2n, D]
        mine = torch.arange(first, first + own, device=every.device)
        rows = torch.cat([mine, mine + n])
        norms = every.norm(dim=1)
        scale = (norms[rows, None] * norms[None]).clamp_min(EPS) * self.temperature
        logits = (every[rows] @ every.T) / scale
        logits = logits.masked_fill(rows[:, None] == torch.arange(2 * n, device=every.device), float("-inf"))
        target = torch.cat([mine + n, mine])
        share = functional.cross_entropy(logits, target, reduction="sum") / (2 * n)  # of the joined batch's mean
        accuracy = (logits.detach().argmax(1) == target).float().mean()
        return share, accuracy


def processes() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _joined(z_i: Tensor, z_j: Tensor) -> tuple[Tensor, Tensor, int]:
    """Both views of all processes, in the order of ranks, and this process's first row."""
    if processes() == 1:
        return z_i, z_j, 0
    counts = torch.zeros(processes(), dtype=torch.int64, device=z_i.device)
    counts[dist.get_rank()] = len(z_i)
    dist.all_reduce(counts)
    sizes = counts.tolist()
    both = _Gather.apply(torch.cat([z_i, z_j], dim=1), sizes)
    all_i, all_j = both.split(z_i.shape[1], dim=1)
    return all_i, all_j, sum(sizes[: dist.get_rank()])


def _of_all(share: Tensor) -> Tensor:
    """The sum of the processes' shares as value; as gradient this share's, times the number of processes, which averaging divides by."""
    world = processes()
    total = share.detach().clone()
    dist.all_reduce(total)
    return share * world + (total - share.detach() * world)


class _Gather(torch.autograd.Function):
    """Rows of all processes [sum of sizes, D]; backward brings home what all of them made of this one's rows."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, sizes: list[int]) -> Tensor:
        ctx.sizes = sizes
        padded = functional.pad(own, (0, 0, 0, max(sizes) - len(own))).contiguous()
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        return torch.cat([part[:n] for part, n in zip(parts, sizes)])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        whole = grads[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(whole)
        rank = dist.get_rank()
        first = sum(ctx.sizes[:rank])
        return whole[first : first + ctx.sizes[rank]], None


def alignment(z_i: Tensor, z_j: Tensor) -> Tensor:
    """Mean squared distance of an item's two views on the unit sphere, 0 (equal) to 4; Wang and Isola 2020, arXiv 2005.10242."""
    return (_unit(z_i) - _unit(z_j)).square().sum(1).mean()


def uniformity(z: Tensor) -> Tensor:
    """Logarithm of the mean over pairs of exp(-2 distance^2) on the unit sphere: 0 (all equal) down to about -4 (evenly spread)."""
    return torch.pdist(_unit(z)).square().mul(-2).exp().mean().log()


def _unit(z: Tensor) -> Tensor:
    return functional.normalize(z.float(), dim=1, eps=EPS)
