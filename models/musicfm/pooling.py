"""From vectors at 25 Hz to what a downstream task asks for: one vector, or so many in time.

The published snippets average the last axis, which holds the numbers of a vector; here, as their text says, the axis of time.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import adaptive_avg_pool1d

from ..errors import ConfigError


def sequence_pool(vectors: Tensor) -> Tensor:
    """Vectors [B, T, D] -> their mean over time [B, D]."""
    _check(vectors)
    return vectors.mean(dim=1)


def frame_pool(vectors: Tensor, n_frame: int) -> Tensor:
    """Vectors [B, T, D] -> [B, n_frame, D], adaptive averages over time: fewer vectors than before, or the nearest ones repeated.

    n_frame: rate of the task, Hz, times the clip's seconds: beats 300 of 6 s, chords 192 of 12 s, structure 192 of 24 s, key 6 of 12 s.
    """
    _check(vectors)
    if n_frame < 1:
        raise ConfigError(f"n_frame is {n_frame}; wanted 1 or more.")
    return adaptive_avg_pool1d(vectors.transpose(1, 2), n_frame).transpose(1, 2)


def _check(vectors: Tensor) -> None:
    if vectors.ndim != 3:
        raise ConfigError(f"Vectors are [B, T, D], as get_latent gives them; got shape {list(vectors.shape)}.")
