"""What encoders give: embeddings of a recording, window by window, and pieces of sounds, moment by moment."""

from __future__ import annotations

from dataclasses import dataclass

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
