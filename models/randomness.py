"""Randomness that depends on what is drawn for, never on who draws it.

Every stream is a pure function of (seed, epoch, draw) for one training item, or of (seed, global step) for one batch, and of a
purpose, so that streams of different uses never coincide. A run on one device with batch 8 and a run on two with batch 4 then see
the same augmented data, and a resumed run continues as if it had not stopped.

`draw` is the item's position in the epoch's global order of draws, `step` the number of optimiser steps taken so far.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

_ITEM, _GROUP, _STEP = 1, 2, 3  # kinds of stream: the same numbers in two kinds are two streams


def stream(seed: int, *ids: int | str) -> np.random.Generator:
    """The random stream that belongs to `seed` and `ids`: equal arguments give equal numbers on every machine.

    Integers must be 0 or more. Counter-based (Philox), keyed by numpy's SeedSequence; strings enter by their CRC-32.
    """
    words = [zlib.crc32(i.encode()) if isinstance(i, str) else int(i) for i in (seed, *ids)]
    # the count of words keeps (1,) and (1, 0) apart
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([len(words), *words])))


@dataclass(frozen=True)
class Randomness:
    """The streams of one training step.

    seed: of the run. epoch: from 0. step: optimiser steps taken so far. All are 0 or more.
    """

    seed: int
    epoch: int = 0
    step: int = 0

    def items(self, draws: Iterable[int], purpose: str) -> list[np.random.Generator]:
        """One stream per item of a batch, by (seed, epoch, draw): `draws` are the items' global positions in the epoch."""
        return [stream(self.seed, _ITEM, purpose, self.epoch, int(draw)) for draw in draws]

    def group(self, first: int, purpose: str) -> np.random.Generator:
        """A stream that a group of items shares, by (seed, epoch, the group's first draw)."""
        return stream(self.seed, _GROUP, purpose, self.epoch, int(first))

    def batch(self, purpose: str) -> np.random.Generator:
        """A stream that the whole step shares, over all processes, by (seed, global step)."""
        return stream(self.seed, _STEP, purpose, self.step)

    def torch(self, purpose: str, device: torch.device | str = "cpu") -> torch.Generator:
        """The same as `batch`, as a torch.Generator on `device` (a network's patchout and time offset)."""
        import torch

        generator = torch.Generator(device=device)
        generator.manual_seed(int(self.batch(purpose).integers(2**63)))
        return generator
