"""Small classifiers over frozen embeddings."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import nn

from .errors import ConfigError, nearest

Activation = Literal["relu", "gelu", "tanh"]
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}


class ProbeHead(nn.Module):
    """Linear layers over embeddings, [B, in_dim] -> logits [B, out_dim].

    num_layers=2 is MAEST's probe: Linear, activation, dropout, Linear. num_layers=1 is one Linear (a linear probe: no activation
    and no dropout but `input_dropout`). More layers repeat the hidden one.

    in_dim, out_dim: width of the embeddings; number of classes.
    hidden: width of the hidden layers.
    activation: "relu", "gelu" or "tanh".
    dropout: share of hidden units that are dropped in training, in [0, 1).
    input_dropout: the same for the embeddings themselves (OMAR-RQ's probe uses it; MAEST's does not).
    mixed_layers: K > 0: the input is [B, K, in_dim], the vectors of K layers, and the head begins with their learned weighted sum (softmax of
        `layer_logits` [K], which start equal), as MARBLE and SUPERB have it.

    Raises ConfigError for a size below 1, a dropout outside [0, 1) or an unknown activation.
    """

    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        hidden: int = 512,
        num_layers: int = 2,
        activation: Activation = "relu",
        dropout: float = 0.5,
        input_dropout: float = 0.0,
        mixed_layers: int = 0,
    ):
        super().__init__()
        for name, size in (("in_dim", in_dim), ("out_dim", out_dim), ("hidden", hidden), ("num_layers", num_layers)):
            if size < 1:
                raise ConfigError(f"A probe's {name} is {size}; it must be 1 or more.")
        for name, share in (("dropout", dropout), ("input_dropout", input_dropout)):
            if not 0 <= share < 1:
                raise ConfigError(f"A probe's {name} is {share}; it must be at least 0 and below 1.")
        if mixed_layers < 0:
            raise ConfigError(f"A probe's mixed_layers is {mixed_layers}; it is 0 (one vector per item) or the number of layers.")
        if activation not in ACTIVATIONS:
            raise ConfigError(
                f"No activation '{activation}'; there are {', '.join(get_args(Activation))}.{nearest(activation, ACTIVATIONS)}"
            )
        self.dropout, self.input_dropout, self.activation = dropout, input_dropout, activation
        widths = [in_dim, *[hidden] * (num_layers - 1), out_dim]
        layers: list[nn.Module] = [nn.Dropout(input_dropout)] if input_dropout else []
        for i in range(num_layers):
            layers.append(nn.Linear(widths[i], widths[i + 1]))
            if i < num_layers - 1:
                layers += [ACTIVATIONS[activation](), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers)
        self.layer_logits = nn.Parameter(torch.zeros(mixed_layers)) if mixed_layers else None

    @property
    def linears(self) -> list[nn.Linear]:
        """The Linear layers, from the input on."""
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]

    def mix(self, embeddings: torch.Tensor) -> torch.Tensor:
        """The learned weighted sum over layers, [B, K, in_dim] -> [B, in_dim]; without mixed layers the embeddings as they are."""
        if self.layer_logits is None:
            return embeddings
        return torch.einsum("k,bkd->bd", self.layer_logits.softmax(dim=0), embeddings)

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Embeddings [B, in_dim] (with mixed layers [B, K, in_dim]) -> logits [B, out_dim]."""
        logits: torch.Tensor = self.layers(self.mix(embeddings))
        return logits
