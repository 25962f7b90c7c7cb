"""From all hidden states to one vector: the mean over time of each, and a learned average of them.

Letters: S states, B clips, T vectors in time, C width.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from ..errors import ConfigError

Form = Literal["softmax", "conv"]


def time_mean(states: Tensor, frames: Tensor | None = None) -> Tensor:
    """States [..., B, T, C] -> their means over time [..., B, C]. frames: vectors of each clip [B], where the others are padding."""
    if frames is None:
        return states.mean(dim=-2)
    heard = torch.arange(states.shape[-2], device=states.device) < frames.to(states.device)[:, None]
    return (states * heard[..., None].to(states.dtype)).sum(dim=-2) / frames.to(states)[:, None]


class LayerAverage(nn.Module):
    """A learned average of hidden states [S, ..., C] -> [..., C]; it begins as the plain mean.

    n_states: S. form: "softmax", weights that are positive and add up to 1 (MARBLE's; its own begin at random); "conv", free weights and a bias, the
    Conv1d of kernel 1 on music2vec's card. Which states: those that are given; MARBLE's `all` leaves state 0 out (states[1:]), the card takes all.

    Raises ConfigError for an unknown form, and for states of another number.
    """

    def __init__(self, n_states: int, form: Form = "softmax") -> None:
        super().__init__()
        if form not in get_args(Form) or n_states < 1:
            raise ConfigError(
                f"A layer average of {n_states} states by '{form}'; wanted 1 or more, by {' or '.join(get_args(Form))}."
            )
        self.form = form
        self.weight = nn.Parameter(torch.zeros(n_states) if form == "softmax" else torch.full((n_states,), 1.0 / n_states))
        self.bias = nn.Parameter(torch.zeros(1)) if form == "conv" else None

    def forward(self, states: Tensor) -> Tensor:
        if states.ndim < 2 or states.shape[0] != len(self.weight):
            raise ConfigError(f"{len(self.weight)} states [S, ..., C] are averaged; got shape {list(states.shape)}.")
        weight = self.weight if self.bias is not None else self.weight.softmax(0)
        mean = torch.tensordot(weight.to(states.dtype), states, dims=1)
        return mean if self.bias is None else mean + self.bias
