"""Frozen quantisers: what the network must predict. Drawn from a seed by private generators, bit by bit the same on every machine.

Letters: ... any leading axes, P numbers of a patch, K codes of a codebook, D dimensions of a code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import ConfigError

ROWS = 2048  # patches that are compared with a codebook at once


def _generator(seed: int) -> torch.Generator:
    return torch.Generator(device="cpu").manual_seed(int(seed))


class RandomProjectionQuantizer(nn.Module):
    """The nearest of K random codes to a random projection of a patch, by angle (BEST-RQ, arXiv 2202.01855).

    input_dim: P. codebook_dim: D. codebook_size: K. seed: of projection and codes; several codebooks of a target have seeds one apart.
    diff_input: quantise differences between neighbouring numbers of a patch (not of patches in time); off in published networks.
    """

    random_projection: Tensor
    codebook: Tensor

    def __init__(
        self, input_dim: int, codebook_dim: int = 16, codebook_size: int = 8192, seed: int = 0, diff_input: bool = False
    ) -> None:
        super().__init__()
        if min(input_dim, codebook_dim, codebook_size) < 1:
            raise ConfigError(
                f"A codebook has 1 code of 1 dimension or more; got {codebook_size} codes, {codebook_dim} dimensions."
            )
        generator = _generator(seed)
        projection = torch.empty(input_dim, codebook_dim, device="cpu")
        nn.init.xavier_normal_(projection, generator=generator)
        codes = torch.randn(codebook_size, codebook_dim, generator=generator, device="cpu")
        self.codebook_size, self.diff_input = int(codebook_size), bool(diff_input)
        self.register_buffer("random_projection", projection)
        self.register_buffer("codebook", codes)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Patches [..., P] -> tokens [...] int64."""
        with torch.autocast(device_type=x.device.type, enabled=False):
            x = x.float()
            if self.diff_input:
                x = torch.diff(x, dim=-1, prepend=torch.zeros_like(x[..., :1]))
            projected = F.normalize(x @ self.random_projection.float(), dim=-1).flatten(0, -2)
            codes = F.normalize(self.codebook.float(), dim=-1).T
            tokens = [(rows @ codes).argmax(-1) for rows in projected.split(ROWS)]
        return torch.cat(tokens).reshape(x.shape[:-1])


class FiniteScalarQuantizer(nn.Module):
    """A few bounded numbers, each rounded to its levels (FSQ, arXiv 2309.15505): the code is which levels they fell on.

    levels: of each dimension; K is their product. dim: P; None, or as many as levels: there is no projection.
    preserve_symmetry: levels evenly from -1 to 1, as published; else FSQ's first formula. seed: of the projection.
    """

    def __init__(self, levels: Sequence[int], dim: int | None = None, preserve_symmetry: bool = True, seed: int = 0) -> None:
        super().__init__()
        self.levels = [int(level) for level in levels]
        if not self.levels or min(self.levels) < 2:
            raise ConfigError(f"FSQ has 2 levels or more in each dimension; got {list(levels)}.")
        self.codebook_size, self.preserve_symmetry = math.prod(self.levels), bool(preserve_symmetry)
        inner = len(self.levels)
        dim = inner if dim is None else int(dim)
        pair = (None, None) if dim == inner else self._projections(dim, inner, seed)
        self.project_in, self.project_out = pair
        self.requires_grad_(False)

    @staticmethod
    def _projections(dim: int, inner: int, seed: int) -> tuple[nn.Linear | None, nn.Linear | None]:
        """In and out; their numbers are those that the published order of draws gives."""
        generator = _generator(seed)
        linears = []
        for wide_in, wide_out in ((dim, inner), (inner, dim)):
            linear = nn.utils.skip_init(nn.Linear, wide_in, wide_out, device="cpu")
            nn.init.kaiming_uniform_(linear.weight, a=math.sqrt(5), generator=generator)
            bound = 1 / math.sqrt(wide_in)
            nn.init.uniform_(linear.bias, -bound, bound, generator=generator)
            linears.append(linear)
        for linear in linears:
            nn.init.xavier_normal_(linear.weight, generator=generator)
        with torch.no_grad():
            for linear in linears:
                linear.weight.copy_(F.normalize(linear.weight, dim=1))
        return linears[0], linears[1]

    def projected(self, x: Tensor) -> Tensor:
        """Patches [..., P] -> the numbers that are rounded [..., D], at least float32."""
        x = x if x.dtype == torch.float64 else x.float()
        if self.project_in is None:
            return x
        return F.linear(x, self.project_in.weight.to(x.dtype), self.project_in.bias.to(x.dtype))

    def levels_of(self, x: Tensor) -> Tensor:
        """Numbers [..., D] -> levels [..., D] from 0 on, as floats."""
        levels = torch.tensor(self.levels, dtype=x.dtype, device=x.device)
        if self.preserve_symmetry:
            return ((levels - 1) * (x.tanh() + 1) / 2 + 0.5).floor()
        half = (levels - 1) * 1.001 / 2
        offset = torch.where(levels % 2 == 0, 0.5, 0.0).to(x.dtype)
        return ((x + (offset / half).atanh()).tanh() * half - offset).round() + (levels // 2)

    def codes(self, x: Tensor) -> Tensor:
        """Patches [..., P] -> the rounded numbers in [-1, 1], [..., D]."""
        k = self.levels_of(self.projected(x))
        levels = torch.tensor(self.levels, dtype=k.dtype, device=k.device)
        return 2 * k / (levels - 1) - 1 if self.preserve_symmetry else (k - levels // 2) / (levels // 2)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Patches [..., P] -> tokens [...] int64; the first dimension counts least."""
        with torch.autocast(device_type=x.device.type, enabled=False):
            k = self.levels_of(self.projected(x)).long()
        basis = torch.tensor([math.prod(self.levels[:i]) for i in range(len(self.levels))], device=k.device)
        return (k * basis).sum(-1)
