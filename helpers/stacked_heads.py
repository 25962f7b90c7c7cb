"""Several probe heads trained at once, as one batched model: every head sees its own order of items and its own dropout.

A head's whole training is a function of its seed alone: initial weights, order of the items in every epoch and dropped units come
from three generators made from it. So a head trained beside others equals the same head trained alone (up to the order of float32
sums).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from models.heads import ACTIVATIONS, ProbeHead

_ORDER, _DROPOUT = 1, 2  # what a generator is for; the initial weights use the bare seed
_CHUNK = 2048  # items scored at once


def _generator(seed: int, purpose: int, device: torch.device) -> torch.Generator:
    """A generator of its own for each seed and purpose."""
    return torch.Generator(device=device).manual_seed((seed << 8) + purpose)


def initial_head(seed: int, in_dim: int, out_dim: int, **head: Any) -> ProbeHead:
    """A freshly initialised ProbeHead that depends on its seed only; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ProbeHead(in_dim, out_dim, **head)


class StackedHeads(nn.Module):
    """H ProbeHeads of one shape as one module: x [H, B, in_dim] -> logits [H, B, out_dim].

    heads: the heads whose weights it starts from (copied).
    seeds: one per head; they decide order and dropout.
    """

    def __init__(self, heads: Sequence[ProbeHead], seeds: Sequence[int], device: torch.device | str = "cpu"):
        super().__init__()
        device = torch.device(device)
        first = heads[0]
        self.dropout, self.input_dropout, self.activation = first.dropout, first.input_dropout, ACTIVATIONS[first.activation]()
        layers = list(zip(*(head.linears for head in heads)))
        with torch.no_grad():
            # [H, in, out]: the gradient of the batched product then needs no transposed copy (half the time of a step)
            self.weights = nn.ParameterList(
                [torch.stack([m.weight.T for m in layer]).contiguous().to(device) for layer in layers]
            )
            self.biases = nn.ParameterList(
                [torch.stack([linear.bias for linear in layer])[:, None].to(device) for layer in layers]
            )
        self._order = [_generator(seed, _ORDER, torch.device("cpu")) for seed in seeds]
        self._dropped = [_generator(seed, _DROPOUT, device) for seed in seeds]

    def __len__(self) -> int:
        return len(self.weights[0])

    def orders(self, n: int) -> torch.Tensor:
        """The next epoch's order of n items for every head, [H, n] int64, on the CPU."""
        return torch.stack([torch.randperm(n, generator=generator) for generator in self._order])

    def _drop(self, x: torch.Tensor, share: float) -> torch.Tensor:
        """Inverted dropout with a generator per head; x [H, B, C]."""
        if not self.training or share == 0:
            return x
        keep = (
            torch.stack([torch.rand(x.shape[1:], generator=generator, device=x.device) for generator in self._dropped]) >= share
        )
        return x * keep / (1 - share)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Embeddings [H, B, in_dim] (a batch per head) -> logits [H, B, out_dim]."""
        x = self._drop(x, self.input_dropout)
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases)):
            x = torch.baddbmm(bias, x, weight)
            if i < len(self.weights) - 1:
                x = self._drop(self.activation(x), self.dropout)
        return x

    @torch.no_grad()
    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of every head for the same items, without dropout: x [N, in_dim] -> [H, N, out_dim] float32."""
        was_training = self.training
        self.eval()
        parts = [self(part.float().expand(len(self), -1, -1)) for part in x.split(_CHUNK)]
        self.train(was_training)
        return torch.cat(parts, dim=1)

    def loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Mean binary cross-entropy of each head over its own batch: x [H, B, in_dim], y [H, B, out_dim] -> [H]."""
        return F.binary_cross_entropy_with_logits(self(x), y, reduction="none").mean(dim=(1, 2))

    def snapshot(self) -> list[torch.Tensor]:
        """A copy of all parameters, first weights then biases."""
        return [parameter.detach().clone() for parameter in self.parameters()]

    @torch.no_grad()
    def keep(self, snapshot: list[torch.Tensor], heads: torch.Tensor) -> None:
        """Copy the present parameters of the marked heads (bool [H]) into a snapshot."""
        for kept, parameter in zip(snapshot, self.parameters()):
            kept[heads] = parameter[heads]

    @torch.no_grad()
    def restore(self, snapshot: list[torch.Tensor]) -> None:
        """Take all parameters from a snapshot."""
        for kept, parameter in zip(snapshot, self.parameters()):
            parameter.copy_(kept)

    @torch.no_grad()
    def head(self, index: int, **shape: Any) -> ProbeHead:
        """One head as a ProbeHead on the CPU, in eval mode; `shape` as for ProbeHead without the widths."""
        in_dim, out_dim = self.weights[0].shape[1], self.weights[-1].shape[2]
        head = initial_head(0, in_dim, out_dim, **shape)
        for linear, weight, bias in zip(head.linears, self.weights, self.biases):
            linear.weight.copy_(weight[index].T)
            linear.bias.copy_(bias[index, 0])
        return head.eval()
