"""Extraction of every vector in time: the frame-level embeddings of whole tracks, at the rate that the network gives them.

A track's vectors come from its windows, one after the other. Where windows overlap, a moment is taken from the window in whose middle it lies
nearer; vectors of a window's padding are left out. What is computed is written at once, so that memory does not grow with a track's length.

Each block has a store [T, C] per track, whose attribute `embedding_rate` is the vectors per second within a window, and beside it `times/times.h5`,
[T, 2] float64: start and end in seconds of what each vector stands for, its centre and half a vector's share to both sides. Between windows the
distance may be another one (a spectrogram transformer's columns do not reach over a window's end), so that readers go by the times.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from datasets.loading.clips import WindowRule
from datasets.store.track_store import TrackStore, shard_path
from models.encoder import AudioEncoder
from models.errors import ConfigError
from models.windows import left_padding

from .job import Job
from .outputs import Output, StoreOutput
from .settings import ExtractionSettings

TIMES = "times"


@dataclass(frozen=True)
class CoveringRule(WindowRule):
    """Windows after which nothing is left of a track: a tail that "pad" gives no window of its own lies in one more full window, as with "shift"."""

    def plan(self, n: int) -> np.ndarray:
        """Return windows of a track of n units, [W, 2]."""
        windows = super().plan(n)
        if self.tail == "pad" and windows[-1, 1] < n:
            return np.concatenate([windows, [[n - self.length, n]]])
        return windows

    def attrs(self) -> dict[str, Any]:
        """Return it as the attributes of a store say it."""
        return {**super().attrs(), "covers": True}


class FrameJob(Job):
    """An extraction of all vectors in time of some layers."""

    def __init__(
        self,
        network: AudioEncoder,
        source: str | Path | TrackStore,
        settings: ExtractionSettings,
        names: Sequence[str] | None,
        shard: int | None,
        layers: Sequence[int],
    ):
        super().__init__(network, source, settings, names, shard)
        if settings.rule is None:
            self.cut = CoveringRule(self.cut.length, self.cut.hop, self.cut.tail)
        self.attrs |= self.cut.attrs()
        self.layers = list(layers)
        silence = np.zeros((1, self.cut.length, *self.store.item_shape), np.float32)
        with self._evaluating():
            found = self._forward(silence, np.array([self.cut.length]), lambda x: network.moments(x, self.layers))
        self.widths = [x.shape[-1] for x in found]
        self.centres = [network.moment_times(x.shape[1], self.cut.length, layer) for x, layer in zip(found, self.layers)]
        for x, centres in zip(found, self.centres):
            if len(centres) != x.shape[1]:
                raise ConfigError(f"{type(network).__name__} gives {x.shape[1]} vectors per window, and times of {len(centres)}.")
        seconds = self.cut.length / network.units_per_second
        self.rates = [1.0 / float(c[1] - c[0]) if len(c) > 1 else 1.0 / seconds for c in self.centres]
        self._kept = lru_cache(maxsize=4096)(self._find_kept)

    def open_outputs(self, stack: ExitStack, out: Path) -> dict[int | str, list[Output]]:
        """Open per layer the store of its vectors and of their times; `stack` closes them."""
        self.made: dict[int | str, list[Output]] = {}
        for layer, width, rate in zip(self.layers, self.widths, self.rates):
            more = {"embedding_rate": rate, "frames": True}
            attrs = {"kind": "embeddings", **self.attrs, "block": layer, **more}
            path = out / str(layer) / "embeddings.h5"
            vectors = StoreOutput(shard_path(path, self.shard), (width,), self.settings.dtype, attrs, self.names)
            stack.callback(vectors.close)
            about = {"kind": TIMES, "of": "embeddings", **more, **self.cut.attrs()}
            times = StoreOutput(shard_path(path.parent / TIMES / f"{TIMES}.h5", self.shard), (2,), "float64", about, self.names)
            stack.callback(times.close)
            self.made[layer] = [vectors, times]
        return self.made

    def kept(self, n: int, which: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Per window of a track of n units: which vectors of a layer (its number among the asked) are kept, and their centres in the track."""
        return self._kept(n, which)

    def _find_kept(self, n: int, which: int) -> list[tuple[np.ndarray, np.ndarray]]:
        windows = self.cut.plan(n) / self.network.units_per_second
        edges = (windows[1:, 0] + windows[:-1, 1]) / 2  # the middle of what two windows share, or of what lies between them
        firsts, lasts = np.concatenate([[0.0], edges]), np.concatenate([edges, [n / self.network.units_per_second]])
        found = []
        for (start, stop), first, last in zip(self.cut.plan(n), firsts, lasts):
            times = self._times(int(start), int(stop), which)
            rows = np.flatnonzero((times >= first) & (times < last))
            found.append((rows, times[rows]))
        if not any(len(rows) for rows, _ in found):  # a track shorter than a vector's share: the vector nearest to it
            (start, stop), middle = self.cut.plan(n)[0], n / 2 / self.network.units_per_second
            times = self._times(int(start), int(stop), which)
            row = int(np.abs(times - middle).argmin())
            found[0] = (np.array([row]), np.array([middle]))
        return found

    def _times(self, start: int, stop: int, which: int) -> np.ndarray:
        """Centres in the track, seconds, of the vectors of its window [start, stop)."""
        valid, centres, left = stop - start, self.centres[which], self.cut.left(stop - start)
        if self.own and valid < self.cut.length:  # it was computed as long as it is
            units = max(valid, self.network.window_range[0])
            centres = self.network.moment_times(self.network.n_vectors(units), units, self.layers[which])
            left = left_padding(valid, units)
        times: np.ndarray = centres + (start - left) / self.network.units_per_second
        return times

    def items_of(self, output: Output) -> np.ndarray:
        """How many vectors an output has of each track."""
        which = next(i for i, group in enumerate(self.made.values()) if output in group)
        lengths = self.store.lengths[self.tracks].tolist()
        return np.array([sum(len(rows) for rows, _ in self.kept(int(n), which)) for n in lengths])

    def first_item(self, track: int, which: int, result: np.ndarray) -> np.ndarray | None:
        """See Job: the first vector that is kept."""
        rows, _ = self.kept(int(self.store.lengths[self.tracks[track]]), which)[0]
        return result[rows[0]] if len(rows) else None

    def _take(self, track: int, windows: np.ndarray, results: list[np.ndarray], outputs: dict[int | str, list[Output]]) -> None:
        """Write the vectors of a track's next windows."""
        name, n = self.names[track], int(self.store.lengths[self.tracks[track]])
        for which, (group, result) in enumerate(zip(outputs.values(), results)):
            kept = self.kept(n, which)
            final = max(w for w, (rows, _) in enumerate(kept) if len(rows))  # the last window that has any
            half = 0.5 / self.rates[which]
            for number, vectors in zip(windows.tolist(), result):
                rows, centres = kept[number]
                if not len(rows):
                    continue
                spans = np.stack([centres - half, centres + half], axis=1)
                for output, content in zip(group, (vectors[rows], spans)):
                    if name not in output.names:
                        assert isinstance(output, StoreOutput)
                        output.extend(name, content, last=number == final)
