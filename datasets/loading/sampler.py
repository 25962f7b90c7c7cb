"""Which tracks an epoch draws, in which order, and which process takes which of them.

Everything here is a pure function of (seed, epoch): nothing depends on worker processes, and a run on one device with batch 8 sees the same
global batches as a run on two with batch 4.
"""

from __future__ import annotations

import logging

import numpy as np

from models.errors import ConfigError, GroundtruthError
from models.randomness import stream

from ..groundtruth.groundtruth import BITS, Groundtruth

log = logging.getLogger(__name__)


def sample_weights(groundtruth: Groundtruth, offset: float = 100.0, combine_sum: bool = True) -> np.ndarray:
    """Return how likely each track is to be drawn, float64 [N]: rare labels more often.

    A label counts 1000 / (its tracks + offset); a track has the sum over its labels (combine_sum) or the largest. A track without labels has 0.
    The MAEST recipe (arXiv 2309.16418; after PaSST, arXiv 2110.05069).

    Raises ConfigError for an offset below 0.
    """
    if not offset >= 0:
        raise ConfigError(f"sample_weight_offset is {offset}; it must be 0 or more.")
    # a label that no track has weighs nothing, whatever the offset
    per_label = 1000.0 / np.maximum(groundtruth.counts + offset, 1e-9)
    combine = np.add if combine_sum else np.maximum
    weights = np.zeros(len(groundtruth))
    for byte in range(groundtruth.packed.shape[1]):  # eight labels at a time, by a table of what each byte weighs
        eight = per_label[8 * byte : 8 * byte + 8]
        table = combine.reduce(BITS[:, : len(eight)] * eight, axis=1)
        combine(weights, table[groundtruth.packed[:, byte]], out=weights)
    return weights


class WeightedDraws:
    """Draws `n` tracks for each epoch, with chances in proportion to their weights.

    weights [N], 0 or more; those of weight 0 are never drawn, and their number is logged. epoch_len: draws per epoch (None: one per track that
    can be drawn); without `replace` no track comes twice in an epoch, and an epoch_len beyond the set is capped, which is logged.

    Raises ConfigError for impossible settings, GroundtruthError when nothing can be drawn.
    """

    def __init__(self, weights: np.ndarray, epoch_len: int | None = None, replace: bool = False, seed: int = 0):
        self.weights = np.asarray(weights, dtype=np.float64)
        self.replace = replace
        self.seed = seed
        if self.weights.ndim != 1 or not np.isfinite(self.weights).all() or (self.weights < 0).any():
            raise ConfigError("Sampling weights must be one finite number of 0 or more for each track.")
        if epoch_len is not None and epoch_len < 1:
            raise ConfigError(f"epoch_len is {epoch_len}; it must be 1 or more.")
        self._drawable = np.flatnonzero(self.weights)
        n = len(self._drawable)
        if n == 0:
            raise GroundtruthError(f"None of the {len(self.weights)} training tracks can be drawn: none has a label.")
        if n < len(self.weights):
            log.warning(
                "%d of %d training tracks have weight 0 (no label) and are never drawn.", len(self.weights) - n, len(self.weights)
            )
        self.n = n if epoch_len is None else epoch_len
        if not replace and self.n > n:
            log.info(
                "epoch_len is %d, but only %d tracks can be drawn: an epoch has %d draws "
                "(datamodule.sampler.epoch_len).", self.n, n, n,
            )  # fmt: skip
            self.n = n

    def __len__(self) -> int:
        return self.n

    def draw(self, epoch: int) -> np.ndarray:
        """Return the tracks of an epoch in order, int64 [n]."""
        rng = stream(self.seed, "draws", epoch)
        weights = self.weights[self._drawable]
        if self.replace:
            edges = np.cumsum(weights)
            chosen = np.searchsorted(edges, rng.random(self.n) * edges[-1], side="right")
            return self._drawable[np.minimum(chosen, len(edges) - 1)]
        # Exponential arrival times of rate w: who comes first is distributed as drawing one after another without putting back
        # (Efraimidis and Spirakis 2006). In logarithms, so that weights of any size do not overflow.
        arrival = np.log(rng.standard_exponential(len(weights))) - np.log(weights)
        first = np.argpartition(arrival, self.n - 1)[: self.n]
        return self._drawable[first[np.argsort(arrival[first], kind="stable")]]


def share_batches(n: int, batch_size: int, rank: int = 0, world: int = 1, drop_last: bool = False) -> list[np.ndarray]:
    """Return the positions 0..n-1 of an epoch that process `rank` of `world` takes, one array per step.

    Step by step all processes together take the next batch_size * world positions, each a contiguous block of batch_size. The last, incomplete
    batch is shared as evenly as possible; where it is too small to give every process one, it joins the step before (or, being the only one,
    is refused). So nothing is dropped, nothing comes twice, and all processes take the same number of steps. drop_last: leave it out, for losses
    that depend on the batch's size.

    Raises ConfigError for impossible numbers.
    """
    if batch_size < 1 or not 0 <= rank < world:
        raise ConfigError(f"Batch size {batch_size}, process {rank} of {world}: impossible.")
    if n < world:
        raise ConfigError(f"{n} items cannot be shared by {world} processes. Use fewer devices.")
    whole = batch_size * world
    steps = n // whole
    rest = n - steps * whole
    if drop_last:
        if not steps:
            each = f" on each of {world} devices" if world > 1 else ""
            raise ConfigError(
                f"{n} tracks do not fill one batch of {batch_size}{each}: datamodule.batch_size_train={n // world} does, or more tracks."
            )
        rest = 0
    if steps and 0 < rest < world:  # joins the last whole step
        steps -= 1
        rest += whole
    mine = [np.arange(start := step * whole + rank * batch_size, start + batch_size) for step in range(steps)]
    if rest:
        mine.append(steps * whole + np.array_split(np.arange(rest), world)[rank])
    return mine
