"""Batch normalisation by the batches of all processes on CPUs, where torch's own (SyncBatchNorm) refuses to work."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm

from ._lightning import LayerSync


class _Synced(_BatchNorm):
    """What a layer of batch normalisation does in a training of several processes: mean and variance are those of all their items."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, ...] -> the same, normalised; in training by what all processes hold, each of which must come by."""
        if not self.training or not dist.is_initialized() or dist.get_world_size() == 1:
            return super().forward(x)
        self._check_input_dim(x)
        axes = [0, *range(2, x.ndim)]
        shape = [1, -1, *(1 for _ in axes[1:])]
        values = x.float()
        count = all_reduce(torch.tensor([x.numel() / x.shape[1]], device=x.device))
        mean = all_reduce(values.sum(axes)) / count
        centred = values - mean.view(shape)
        variance = all_reduce(centred.square().sum(axes)) / count
        if self.track_running_stats and self.running_mean is not None and self.running_var is not None:
            self._follow(mean.detach(), (variance * count / (count - 1)).detach())
        y = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            y = y * self.weight.view(shape) + self.bias.view(shape)
        return y.to(x.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics, as torch's layer does."""
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        step = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        for kept, new in ((self.running_mean, mean), (self.running_var, variance)):
            assert kept is not None
            kept.lerp_(new.to(kept.dtype), step)


class _Synced1d(_Synced, nn.BatchNorm1d):
    pass


class _Synced2d(_Synced, nn.BatchNorm2d):
    pass


_KINDS: dict[type, type] = {nn.BatchNorm1d: _Synced1d, nn.BatchNorm2d: _Synced2d}
_PLAIN = {synced: plain for plain, synced in _KINDS.items()}


class SyncedNorms(LayerSync):
    """Lightning's hook: the layers of a network are synchronised while it is trained, and themselves again afterwards."""

    def apply(self, model: nn.Module) -> nn.Module:
        """Let the batch normalisation of a network see all processes. Names and parameters stay as they are."""
        return _turned(model, _KINDS)

    def revert(self, model: nn.Module) -> nn.Module:
        """The reverse."""
        return _turned(model, _PLAIN)


def _turned(model: nn.Module, kinds: dict[type, type]) -> nn.Module:
    for module in model.modules():
        if type(module) in kinds:
            module.__class__ = kinds[type(module)]
    return model
