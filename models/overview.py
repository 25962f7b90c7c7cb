"""The overview of a recording that is shown beside its tags: its log-mel averaged to a bounded number of columns, made while it streams by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import torch

from .frontend import MaestMel
from .frontend.mel_settings import MAEST as MAEST_MEL
from .frontend.mel_settings import MelSettings

OVERVIEW_COLUMNS = 1000  # an overview has fewer than twice as many


def make_overview(mel_settings: MelSettings | None, sample_rate: int) -> MelOverview:
    """What watches a recording stream by: its windows, where they are log-mels of `mel_settings`; else (None) its samples at `sample_rate` Hz."""
    return SampleOverview(sample_rate) if mel_settings is None else MelOverview(mel_settings)


class MelOverview:
    """The overview of a recording whose windows are normalised log-mels [F, n] themselves."""

    def __init__(self, settings: MelSettings):
        self.bands, self._mean, self._divisor = settings.n_mels, settings.mean, settings.std_divisor
        self._overview = _Columns(self.bands)

    def watch_samples(self, blocks: Iterable[np.ndarray]) -> Iterable[np.ndarray]:
        return blocks

    def watch_windows(self, blocks: Iterable[np.ndarray]) -> Iterable[np.ndarray]:
        return self._overview.watch(blocks)

    def columns(self) -> np.ndarray:
        """[columns, F] float32, raw log-mel."""
        raw: np.ndarray = self._overview.columns() * self._divisor + self._mean
        return raw.astype(np.float32)


class SampleOverview(MelOverview):
    """The overview of a recording whose windows are samples: a log-mel of its own, made of them at the network's rate."""

    def __init__(self, sample_rate: int):
        settings = replace(
            MAEST_MEL, family="overview", sample_rate=sample_rate, n_fft=1024, hop=512, f_max=min(8000.0, sample_rate / 2)
        )
        super().__init__(replace(settings, mean=0.0, std_divisor=1.0))
        self._front_end, self._hop = MaestMel(normalize=False, settings=settings), settings.hop
        self._rest = np.zeros(0, np.float32)

    def watch_samples(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for block in blocks:
            joined = np.concatenate([self._rest, block])
            whole = len(joined) // self._hop * self._hop
            self._add(joined[:whole])
            self._rest = joined[whole:]
            yield block
        self._add(self._rest)

    def watch_windows(self, blocks: Iterable[np.ndarray]) -> Iterable[np.ndarray]:
        return blocks

    def _add(self, samples: np.ndarray) -> None:
        """A frame per hop. Blocks are long, so that a picture does not show that each was padded by itself."""
        if len(samples):
            frames = -(-len(samples) // self._hop)
            self._overview.add(self._front_end(torch.from_numpy(samples)[None])[0, :, :frames].numpy())


class _Columns:
    """A mel of any length averaged to a bounded number of columns: whenever there are twice as many as wanted, each two become one."""

    def __init__(self, bands: int):
        self._bands, self._per_column = bands, 1
        self._done: list[np.ndarray] = []  # [F, n] pieces at the present resolution
        self._rest = np.zeros((bands, 0), np.float32)

    def watch(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for block in blocks:
            self.add(block)
            yield block

    def add(self, block: np.ndarray) -> None:
        """Frames [F, n] that follow."""
        frames = np.concatenate([self._rest, block], axis=1)
        whole = frames.shape[1] // self._per_column * self._per_column
        self._done.append(frames[:, :whole].reshape(self._bands, -1, self._per_column).mean(axis=2))
        self._rest = frames[:, whole:]
        while sum(piece.shape[1] for piece in self._done) >= 2 * OVERVIEW_COLUMNS:
            columns = np.concatenate(self._done, axis=1)
            if columns.shape[1] % 2:  # the odd one goes back among the frames that wait, as often as it stands for them
                self._rest = np.concatenate([np.repeat(columns[:, -1:], self._per_column, axis=1), self._rest], axis=1)
                columns = columns[:, :-1]
            self._done = [(columns[:, ::2] + columns[:, 1::2]) / 2]
            self._per_column *= 2

    def columns(self) -> np.ndarray:
        """[columns, F]; a last column of fewer frames is their mean."""
        rest = [self._rest.mean(axis=1, keepdims=True)] if self._rest.shape[1] else []
        return np.concatenate([*self._done, *rest], axis=1).T
