"""What encoders give: embeddings of a recording, window by window; pieces of sounds, and windows, moment by moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor


@dataclass(frozen=True, repr=False)
class Embedded:
    """Embeddings of one recording.

    vectors: [W, L, C] float32. times: [W, 2] float32, start and end of each window in seconds. layers: the L layers, ascending.
    """

    vectors: np.ndarray
    times: np.ndarray
    layers: tuple[int, ...]

    def __repr__(self) -> str:
        return f"Embedded(vectors {list(self.vectors.shape)}, times {list(self.times.shape)}, layers {list(self.layers)})"


@dataclass(frozen=True)
class Piece:
    """A part of some equally long sounds, as HEAR asks for it.

    values: [n_sounds, T, C], the vectors of its moments; or of a scene what extraction keeps of it, [n_sounds, *shape]. times: [T] float32, the
    moments' centres in ms. weight: of the piece in a scene's mean.
    """

    values: Tensor
    times: Tensor
    weight: int


class InTime:
    """What encoders give of every moment of their windows. Base of AudioEncoder, whose `encode` and `embedding_rate` it goes by."""

    def moments(self: Any, windows: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Windows as `pooled` takes them -> all their vectors in time: one [W, T, C] per asked layer, in their order, in one pass."""
        chosen = self.resolve_layers(layers)
        found = self.encode(windows, chosen)
        return [found[chosen.index(layer % self.depth)] for layer in layers]

    def moment_times(self: Any, n: int, length: int, layer: int) -> np.ndarray:
        """Centres of the `n` vectors that a window of `length` units has in a layer, seconds from its beginning, float64 [n]."""
        times: np.ndarray = (np.arange(n) + 0.5) / self.embedding_rate
        return times
