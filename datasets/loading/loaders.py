"""Loaders of planned batches, for one process or its share of many."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import numpy as np
import torch

from .clips import ClipReader, Clips, Split, plan_crops
from .sampler import WeightedDraws, share_batches


class TrainBatches:
    """The training epochs of one process: `set_epoch`, then iterate over its plans of batches.

    Until `set_epoch` is called it is epoch 0. Lightning calls it before each epoch, resumed ones too. A run that continues within an epoch has
    had some of its batches: `begin_at` leaves them out, unread, the next time that this epoch is played.

    Args:
        split: whose tracks are drawn.
        draws: of rows of the split's index.
        batch_size: clips per process.
        rank: number of this process.
        world: how many processes there are.
        drop_last: leave an incomplete last batch out.
        views: random crops of each draw; None: one, and batches without an axis for them.
    """

    def __init__(
        self,
        split: Split,
        draws: WeightedDraws,
        batch_size: int,
        rank: int = 0,
        world: int = 1,
        drop_last: bool = False,
        views: int | None = None,
    ):
        self._split, self._draws, self._views = split, draws, views
        self._mine = share_batches(len(draws), batch_size, rank, world, drop_last)
        self.epoch = 0
        self._begin = (0, 0)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration plays."""
        self.epoch = epoch

    def begin_at(self, epoch: int, batch: int) -> None:
        """Set where `epoch` is to begin, once."""
        self._begin = epoch, batch

    @property
    def first(self) -> int:
        """The batch at which the next iteration begins."""
        epoch, batch = self._begin
        return batch if epoch == self.epoch else 0

    def __len__(self) -> int:
        return len(self._mine)

    def __iter__(self) -> Iterator[Clips]:
        first, self._begin = self.first, (0, 0)
        rows = self._draws.draw(self.epoch)
        split, reader = self._split, self._split.reader
        where = (split.index[rows], split.tracks[rows], reader.store, reader.clip_frames)
        plan = plan_crops(*where, self._draws.seed, self.epoch, self._views)
        for positions in self._mine[first:]:
            yield plan[positions]


class ValidationCrops:
    """One random crop of each track of a split, chosen by the epoch that `set_epoch` names, as batches of process `rank` of `world`."""

    def __init__(self, split: Split, seed: int, batch_size: int, rank: int = 0, world: int = 1):
        self._split, self._seed, self._place = split, seed, (batch_size, rank, world)
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose crops the next iteration plays."""
        self.epoch = epoch

    def _batches(self) -> list[Clips]:
        split, reader = self._split, self._split.reader
        where = (split.index, split.tracks, reader.store, reader.clip_frames)
        clips = plan_crops(*where, self._seed, self.epoch, purpose="validation crops")
        return share_windows(clips, *self._place)

    def __len__(self) -> int:
        return len(self._batches())

    def __iter__(self) -> Iterator[Clips]:
        return iter(self._batches())


def share_windows(clips: Clips, batch_size: int, rank: int = 0, world: int = 1) -> list[Clips]:
    """Return all windows in order, as the batches of process `rank` of `world`.

    All processes take the same number of batches of the same sizes. Where the last ones do not divide evenly, the last window is repeated and
    marked as not counted (its batch says valid 0); (index, window) tells every window apart.
    """
    n, whole = len(clips), batch_size * world
    batches = []
    for begin in range(0, n, whole):
        each = -(-min(whole, n - begin) // world)
        positions = np.arange(begin + rank * each, begin + (rank + 1) * each)
        batch = clips[np.minimum(positions, n - 1)]
        batch.counted[positions >= min(begin + whole, n)] = 0
        batches.append(batch)
    return batches


def _as_it_is(batch: dict) -> dict:
    return batch


def _leave_signals_to_training(worker: int) -> None:
    """A scheduler sends its signals to all processes: training ends its readers itself, when it has saved."""
    for name in ("SIGTERM", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


class ClipLoader:
    """Iterates over batches. Not a torch DataLoader by type, so that Lightning neither replaces its sampler nor shares it out again.

    `state_dict` says how far an epoch has come, and `load_state_dict` goes on there; Lightning's checkpoints hold it.

    batches: TrainBatches, ValidationCrops or a list of plans. num_workers: 0 reads in this process, the fastest where the store is in the page cache.
    """

    def __init__(
        self,
        reader: ClipReader,
        batches: TrainBatches | ValidationCrops | list[Clips],
        num_workers: int = 0,
        pin_memory: bool = False,
    ):
        self._batches = batches
        if not isinstance(batches, list):
            self.sampler, self.batch_sampler = batches, None  # the names under which Lightning looks for set_epoch
        self._loader = torch.utils.data.DataLoader(
            reader,
            batch_size=None,  # a plan is a whole batch already
            sampler=batches,
            num_workers=num_workers,
            collate_fn=_as_it_is,  # type: ignore[arg-type]  # of one plan, since batch_size is None
            pin_memory=pin_memory,
            persistent_workers=num_workers > 0,
            worker_init_fn=_leave_signals_to_training,
            generator=torch.Generator(),  # seeds its workers; the global generator is left as it is
        )
        self._given = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, of training or of validation on crops."""
        if not isinstance(self._batches, list):
            self._batches.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[dict]:
        # a generator: nothing is planned or read before the first batch is asked for, when the epoch is known
        self._given = self._batches.first if isinstance(self._batches, TrainBatches) else 0
        for batch in self._loader:
            self._given += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Return how many batches of the training epoch were given."""
        epoch = self._batches.epoch if isinstance(self._batches, TrainBatches) else 0
        return {"epoch": epoch, "batches": self._given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on there."""
        if isinstance(self._batches, TrainBatches):
            self._batches.begin_at(state["epoch"], state["batches"])
