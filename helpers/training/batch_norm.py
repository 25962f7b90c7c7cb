"""Batch normalisation over all processes where there is no GPU: torch's own works on GPUs only.

A layer keeps its behaviour in eval mode and its names in checkpoints; in training its statistics are of the whole batch, sums in float64, so that
several processes give what one gives.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.modules.batchnorm import _BatchNorm


class _Sum(torch.autograd.Function):
    """The sum over all processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        out = x.clone()
        dist.all_reduce(out)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        out = grad.clone()
        dist.all_reduce(out)
        return out


def over_processes(x: Tensor) -> Tensor:
    """Sum of all processes' x, differentiable."""
    total: Tensor = _Sum.apply(x)
    return total


class ProcessBatchNorm(_BatchNorm):
    """A batch normalisation [B, C, ...] whose statistics in training are of the batches of all processes, which may differ in size."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of axes, as the layer that it stands for has checked nothing else."""

    def forward(self, input: Tensor) -> Tensor:
        if not (self.training and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
            return super().forward(input)
        axes = [axis for axis in range(input.ndim) if axis != 1]
        shape = [-1 if axis == 1 else 1 for axis in range(input.ndim)]
        x = input.double()
        count = torch.full((1,), input.numel() / input.shape[1], dtype=torch.float64, device=input.device)
        sums = over_processes(torch.cat([x.sum(axes), count]))
        n = sums[-1].detach()
        mean = sums[:-1] / n
        centred = x - mean.view(shape)
        var = over_processes(centred.square().sum(axes)) / n
        self._follow(mean.detach(), var.detach() * n / (n - 1))
        out = centred * torch.rsqrt(var + self.eps).view(shape)
        if self.affine:
            out = out * self.weight.double().view(shape) + self.bias.double().view(shape)
        return out.to(input.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, var: Tensor) -> None:
        """Running statistics, as torch's layers keep them."""
        if not self.track_running_stats or self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(var.to(self.running_var.dtype), share)


def join_processes(model: nn.Module) -> nn.Module:
    """Put ProcessBatchNorm in the place of every batch normalisation; weights and statistics stay the same objects. Returns the model."""
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
            module.__dict__["_own_class"] = type(module)
            module.__class__ = ProcessBatchNorm  # type: ignore[assignment]
    return model


def part_processes(model: nn.Module) -> nn.Module:
    """Take ProcessBatchNorm out again. Returns the model."""
    for module in model.modules():
        if isinstance(module, ProcessBatchNorm):
            module.__class__ = module.__dict__.pop("_own_class")
    return model
