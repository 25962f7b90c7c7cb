"""What a split of few tracks or groups may lack, and how it is mended: tracks, a class in training, something to tell apart.

Conventions: U units (groups, or tracks where there are none) are dealt to S = 3 splits: train, val, test. `counts` [U, L] says how many tracks of a
unit have each label, `sizes` [U] how many tracks it has.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

LEAST = (1, 1, 2)  # tracks of train, val and test; scores compare tracks, so that a test of one has none
MOST_CELLS = 20_000_000  # of `counts`, above which a deal is taken as it is: so many units are spread by themselves


@dataclass(frozen=True)
class Units:
    """What is dealt, and the shares of train, val and test [3] that are wanted.

    one_class: every track has exactly one label.
    """

    sizes: np.ndarray
    counts: np.ndarray
    shares: np.ndarray
    one_class: bool

    @cached_property
    def least(self) -> np.ndarray:
        """Fewest tracks of each split, [3]: one of each where there are fewer than four tracks, none of a split without a share."""
        few = self.sizes.sum() < sum(LEAST)
        return np.where(self.shares > 0, np.minimum(LEAST, 1) if few else LEAST, 0)

    @cached_property
    def goal(self) -> np.ndarray:
        """Tracks of each split in proportion to the shares, [3]."""
        return self.shares * self.sizes.sum()

    @cached_property
    def _wanted(self) -> np.ndarray:
        """The labels that some but not all tracks have, bool [L]: those that tell tracks apart."""
        found = self.counts.sum(axis=0)
        return (found > 0) & (found < self.sizes.sum())

    def faults(self, sizes: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """What splits of these sizes [..., 3] with these labels [..., 3, L] lack, worst first, int [..., 3]: tracks; classes that training never
        sees; validations and tests in which every label is on all tracks or on none.
        """
        tracks = np.maximum(self.least - sizes, 0).sum(axis=-1)
        unseen = (self._wanted & (counts[..., 0, :] == 0)).sum(axis=-1) if self.one_class else np.zeros_like(tracks)
        apart = np.any((counts > 0) & (counts < sizes[..., None]), axis=-1, keepdims=True)[..., 1:, 0]
        alike = ((self.shares[1:] > 0) & ~apart).sum(axis=-1) if self._wanted.any() else np.zeros_like(tracks)
        return np.stack([tracks, unseen, alike], axis=-1)

    def faults_of(self, assigned: np.ndarray) -> tuple[int, int, int]:
        """The faults of a deal, the split of each unit [U]; (0, 0, 0): it can be used."""
        tracks, unseen, alike = self.faults(*self._totals(assigned)).tolist()
        return tracks, unseen, alike

    def unseen(self, assigned: np.ndarray) -> np.ndarray:
        """The labels that tracks have and training does not, numbers [..]."""
        return np.flatnonzero((self.counts.sum(axis=0) > 0) & (self._totals(assigned)[1][0] == 0))

    def mended(self, assigned: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The deal with as few units moved, one at a time, as take its faults away; where some stay, no single move takes more away.

        Of moves that do the same that one is taken which leaves the sizes nearest to the shares.
        """
        assigned = assigned.copy()
        while any(now := self.faults_of(assigned)):
            sizes, counts = self._totals(assigned)
            moves = []
            for to in np.flatnonzero(self.shares > 0).tolist():
                movable = np.flatnonzero(assigned != to)
                movable = rng.permutation(movable)
                moved_sizes = np.repeat(sizes[None], len(movable), axis=0)
                moved_counts = np.repeat(counts[None], len(movable), axis=0)
                rows = np.arange(len(movable))
                for split, sign in ((assigned[movable], -1), (np.full(len(movable), to), 1)):
                    moved_sizes[rows, split] += sign * self.sizes[movable]
                    moved_counts[rows, split] += sign * self.counts[movable]
                off = ((moved_sizes - self.goal) ** 2).sum(axis=1)
                faults = self.faults(moved_sizes, moved_counts)
                best = int(np.lexsort((off, *faults.T[::-1]))[0]) if len(movable) else 0
                moves += [((*faults[best].tolist(), float(off[best])), int(movable[best]), to)] if len(movable) else []
            (*left, _), unit, to = min(moves)
            if tuple(left) >= now:
                break
            assigned[unit] = to
        return assigned

    def _totals(self, assigned: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tracks [3] and labels [3, L] of each split."""
        sizes = np.bincount(assigned, weights=self.sizes, minlength=3).astype(np.int64)
        counts = np.stack([self.counts[assigned == split].sum(axis=0) for split in range(3)])
        return sizes, counts
