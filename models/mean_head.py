"""A head of named classes on the mean of an encoder's last layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from .errors import ConfigError


class MeanHead:
    """Mix-in of encoders whose classes, where they have any, are a linear head on the time mean of the last layer.

    Attributes:
        out_dim: number of classes; None: there is no head. labels: their names. exclusive: one class per recording.
    """

    out_dim: int | None
    labels: list[str] | None
    head: nn.Linear | None
    exclusive: bool

    def _make_head(self, width: int, out_dim: int | None, labels: Sequence[str] | None, exclusive: bool) -> None:
        """Raises ConfigError for names that are not as many as the classes."""
        if labels is not None and len(labels) != out_dim:
            raise ConfigError(f"{len(labels)} labels for out_dim={out_dim}: give as many names as classes.")
        self.out_dim, self.labels = out_dim, None if labels is None else list(labels)
        self.exclusive = bool(exclusive)
        self.head = None if out_dim is None else nn.Linear(width, out_dim)

    @property
    def head_settings(self: Any) -> dict[str, Any]:
        """The head's part of the network's settings."""
        return {"out_dim": self.out_dim, "labels": self.labels, "exclusive": self.own_exclusive}

    @property
    def has_classes(self) -> bool:
        """Whether it has a head."""
        return self.head is not None

    @property
    def label_names(self) -> list[str]:
        """Names of the classes: those given at construction, else their numbers."""
        if self.out_dim is None:
            raise ConfigError(
                f"This {type(self).__name__} has no head (out_dim is none): it gives vectors. Train a probe on them (ex_tl.py)."
            )
        return list(self.labels or map(str, range(self.out_dim)))

    def window_logits(self: Any, windows: Tensor) -> Tensor:
        """Windows [W, N] -> logits [W, L]. Raises ConfigError for a network without a head."""
        if self.head is None:
            raise ConfigError(f"This {type(self).__name__} has no head (out_dim is none): it gives vectors, no logits.")
        logits: Tensor = self.head(self.encode(windows)[0].mean(dim=1))
        return logits
