"""One extraction: its checked settings, the fixed grid of batches, and the loop that fills the outputs (extract.py)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datasets.loading.clips import WindowRule, samples_of
from datasets.store.track_store import TrackStore, shard_path
from datasets.utils.progress import JobProgress
from models.backends import precision_on
from models.encoder import AudioEncoder
from models.errors import ConfigError, StoreError, listed
from models.onnx_windows import check_length
from models.weights.head_origin import weights_sha256
from models.windows import left_padding, own_part

from ..runtime.devices import autocast, resolve_precision, work_of
from ..runtime.memory import keep_freed_memory
from .outputs import OTHER_DATA, NpyOutput, Output, StoreOutput
from .settings import ExtractionSettings

log = logging.getLogger(__name__)
COMPARED = 8  # tracks of a finished output that are computed again, to see that it is of this sound
ALIKE = 0.05  # distance, as a share of a vector's length, up to which rounding explains a difference (float16, another batch)
CODE_VERSION = 2  # raised when a change here, or in the network, changes the numbers: older outputs are then not resumed


@dataclass(frozen=True)
class Extraction:
    """What an extraction did: where each output stands (by block, or "logits"), its tracks, tracks and windows computed now, seconds."""

    paths: dict[int | str, Path]
    names: list[str]
    n_new: int
    n_windows: int
    seconds: float

    @property
    def n_tracks(self) -> int:
        """Number of tracks in the outputs."""
        return len(self.names)


class Job:
    """One extraction: the checked settings, the fixed grid of batches, and the loop."""

    def __init__(
        self,
        network: AudioEncoder,
        source: str | Path | TrackStore,
        settings: ExtractionSettings,
        names: Sequence[str] | None,
        shard: int | None = None,
        own: bool = True,
    ):
        """own: compute what does not fill a window by itself, of a family of `own_lengths`; False: in a whole window, in silence."""
        self.network, self.settings, self.batch_size, self.shard = network, settings, settings.batch_size, shard
        self.store = source if isinstance(source, TrackStore) else TrackStore.open(source)
        self.store.require(**network.stored)
        if self.store.item_shape != network.stored_item:
            raise StoreError(
                f"The store holds items of {list(self.store.item_shape)}; the network takes {list(network.stored_item)}."
            )
        length = network.window_length if settings.clip_frames is None else settings.clip_frames
        hop = max(length // 2, 1) if settings.half_overlap else length
        self.cut = settings.rule or WindowRule(length, hop, settings.tail)
        self.own = own and network.own_lengths and settings.rule is None  # a published rule says itself how it pads
        length = self.cut.length
        check_length(network, length)
        shortest, longest = network.window_range
        if not shortest <= length <= longest:
            raise ConfigError(f"Windows of {length} frames (or samples): this network takes {shortest} to {longest}.")
        self.device = next(network.parameters()).device
        backend = getattr(network, "backend", None)
        asked = precision_on(backend, settings.precision)
        self.precision = resolve_precision(asked, "cpu" if self.device.type == "cpu" else "gpu", work_of(network))
        self.tracks = np.arange(len(self.store)) if names is None else self._numbers(names)
        self.names = [self.store.names[i] for i in self.tracks.tolist()]
        self._held: list[list[np.ndarray]] = []  # of the track that is under way, per output
        if empty := [self.names[i] for i in np.flatnonzero(self.store.lengths[self.tracks] < 1)]:
            raise StoreError(
                f"{len(empty)} of {len(self.names)} tracks in {self.store.paths[0]} are empty, nothing of them is stored: {listed(empty)}. "
                "Prepare them again, or leave them out (groundtruth_predict)."
            )
        self._heard = np.zeros(len(self.names), bool)  # of each track, whether a window of it was not all zeros
        self.attrs = {
            **{key: value for key, value in network.stored.items() if key != "kind"},
            "model": settings.model or network.family,
            "weights_sha256": weights_sha256(network),
            **network.about_extraction,
            **self.cut.attrs(),
            **({"short_windows": "own length"} if self.own else {}),
            "precision": backend or self.precision,
            "code_version": CODE_VERSION,
        }

    def _numbers(self, names: Sequence[str]) -> np.ndarray:
        absent = [name for name in names if name not in self.store]
        if absent:
            raise StoreError(f"{len(absent)} of {len(names)} tracks are not in {self.store.paths[0]}: {listed(absent)}.")
        return np.unique([self.store.index(name) for name in names])

    def outputs(
        self, stack: ExitStack, folder: Path, kind: str, item_shape: tuple[int, ...], more: Mapping[str, Any]
    ) -> list[Output]:
        """Open one output and the windows beside it; `stack` closes them. more: attributes of this output."""
        chosen = self.settings
        attrs = {"kind": kind, **self.attrs, **more}
        if chosen.format == "npy":
            made: list[Output] = [NpyOutput(folder, kind, chosen.dtype, attrs, self.names, chosen.pool)]
        else:
            made = [StoreOutput(shard_path(folder / f"{kind}.h5", self.shard), item_shape, chosen.dtype, attrs, self.names)]
            stack.callback(made[0].close)
            about = {"kind": "windows", "of": kind, **{k: v for k, v in self.attrs.items() if k == "hop"}, **self.cut.attrs()}
            made.append(StoreOutput(shard_path(folder / "windows" / "windows.h5", self.shard), (2,), "int64", about, self.names))
        stack.callback(made[-1].close)
        return made

    def run(
        self,
        open_outputs: Callable[[ExitStack], dict[int | str, list[Output]]],
        compute: Callable[[torch.Tensor], list[torch.Tensor]],
    ) -> Extraction:
        """Compute what the outputs lack, in the order of the grid, and finish them."""
        keep_freed_memory(large=True)
        started = time.monotonic()
        with ExitStack() as stack:
            outputs = open_outputs(stack)
            every = [output for group in outputs.values() for output in group]
            lacking = np.array([any(name not in output.names for output in every) for name in self.names])
            counts = np.array([len(self.cut.plan(int(n))) for n in self.store.lengths[self.tracks]])
            self._refuse_other_data(every)
            self._refuse_other_sound(outputs, ~lacking, counts, compute)
            n_windows = self._compute(outputs, lacking, counts, compute) if lacking.any() else 0
            if silent := [self.names[i] for i in np.flatnonzero(lacking & ~self._heard)]:
                log.warning(
                    "%d of %d tracks are silent in every window: %s. What comes of them says nothing.",
                    len(silent),
                    lacking.sum(),
                    listed(silent),
                )
            finished = {key: [output.finish() for output in group] for key, group in outputs.items()}
            paths = {key: written[0] for key, written in finished.items()}
        return Extraction(paths, self.names, int(lacking.sum()), n_windows, time.monotonic() - started)

    def items_of(self, output: Output) -> np.ndarray:
        """How many items an output has of each track: its windows."""
        return np.array([len(self.cut.plan(int(n))) for n in self.store.lengths[self.tracks]])

    def _refuse_other_data(self, outputs: Sequence[Output]) -> None:
        """Raises StoreError where a complete output has other numbers of items than these tracks give: it was made of others of their names."""
        for output in outputs:
            held = output.windows(self.names)
            if held is None:
                continue
            counts = self.items_of(output)
            if (other := np.flatnonzero(held != counts)).size:
                i = int(other[0])
                raise StoreError(
                    f"{output.path} has {held[i]} windows of {self.names[i]!r}, {self.store.paths[0]} gives {counts[i]}, and so of "
                    f"{len(other)} of {len(counts)} tracks: it was made of other data. {OTHER_DATA}"
                )

    def first_item(self, track: int, which: int, result: np.ndarray) -> np.ndarray | None:
        """What an output (its number) holds first of a track, of the first window's `result`; None where that window gives it nothing."""
        return result

    def _refuse_other_sound(
        self,
        outputs: dict[int | str, list[Output]],
        there: np.ndarray,
        counts: np.ndarray,
        compute: Callable[[torch.Tensor], list[torch.Tensor]],
    ) -> None:
        """Compute the first window of some of the tracks that are there again. Raises StoreError where the outputs hold something else."""
        have = np.flatnonzero(there)
        some = have[np.unique(np.linspace(0, len(have) - 1, min(COMPARED, self.batch_size, len(have))).astype(int))]
        kept = [[group[0].first_window(self.names[i]) for i in some] for group in outputs.values()]
        if not len(some) or any(one is None for group in kept for one in group):
            return
        first = np.concatenate([[0], np.cumsum(counts)])
        with self._evaluating():
            results = self._forward(*self._read(first[some], first)[1:], compute)
        for which, (group, held, found) in enumerate(zip(outputs.values(), kept, results)):
            for track, old, result in zip(some, held, found):
                new = self.first_item(int(track), which, result)
                if old is None or new is None:
                    continue
                apart = float(np.linalg.norm(old.ravel().astype(np.float64) - new.ravel()))
                if not apart < ALIKE * max(float(np.linalg.norm(new)), 1e-12):
                    raise StoreError(
                        f"{group[0].path} holds other vectors of {self.names[track]!r} than {self.store.paths[0]} gives: it was made of other "
                        f"sound of that name. {OTHER_DATA}"
                    )

    def _compute(
        self,
        outputs: dict[int | str, list[Output]],
        lacking: np.ndarray,
        counts: np.ndarray,
        compute: Callable[[torch.Tensor], list[torch.Tensor]],
    ) -> int:
        first = np.concatenate([[0], np.cumsum(counts)])  # number of each track's first window on the grid
        batches = self._batches(lacking, first)
        n_computed = 0
        todo = int(counts[lacking].sum())
        with (
            self._evaluating(),
            JobProgress("Extracting", todo, "windows") as progress,
            ThreadPoolExecutor(1) as reader,
        ):
            upcoming = next(batches, None)
            read = reader.submit(self._read, upcoming, first) if upcoming is not None else None
            while read is not None:
                assert upcoming is not None
                numbers, (tracks, found, valid), upcoming = upcoming, read.result(), next(batches, None)
                read = reader.submit(self._read, upcoming, first) if upcoming is not None else None  # while this one computes
                self._heard[tracks[found.reshape(len(found), -1).any(axis=1)]] = True
                results = self._forward(found, valid, compute)
                n_computed += len(tracks)
                for track in np.unique(tracks):
                    rows = np.flatnonzero(tracks == track)
                    if lacking[track]:
                        self._take(int(track), numbers[rows] - first[track], [result[rows] for result in results], outputs)
                        progress.advance(len(rows))
        return n_computed

    def _batches(self, lacking: np.ndarray, first: np.ndarray) -> Iterator[np.ndarray]:
        """Numbers of the windows of each batch of the grid that holds a lacking track."""
        total = int(first[-1])
        for start in range(0, total, self.batch_size):
            stop = min(start + self.batch_size, total)
            begin, end = np.searchsorted(first, [start, stop - 1], side="right") - 1
            if lacking[begin : end + 1].any():
                yield np.arange(start, stop)

    def _read(self, windows: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The track (row of `names`) of each window, [B], what is stored of it, padded with silence, [B, length, *item], and its units, [B]."""
        tracks = np.searchsorted(first, windows, side="right") - 1
        numbers = self.tracks[tracks]
        spans = np.stack([self.cut.plan(int(self.store.lengths[n]))[w - first[t]] for n, w, t in zip(numbers, windows, tracks)])
        found = self.store.read_windows(numbers, spans[:, 0], spans[:, 1], self.cut.length)
        for row, valid in zip(found, (spans[:, 1] - spans[:, 0]).tolist()):
            if shift := self.cut.left(valid) - left_padding(
                valid, self.cut.length
            ):  # the store centres what does not fill a window
                row[:] = np.roll(row, shift, axis=0)
        return tracks, found if self.store.item_shape else samples_of(found, self.store), spans[:, 1] - spans[:, 0]

    def _forward(
        self, found: np.ndarray, valid: np.ndarray, compute: Callable[[torch.Tensor], list[torch.Tensor]]
    ) -> list[np.ndarray]:
        """What the network gives of windows with so many units of their tracks, [B, ...]; of own lengths those of one length in one pass.

        Of vectors in time, windows that have fewer than others have zeros behind them.
        """
        x = self.network.from_stored(torch.from_numpy(found).to(self.device))
        with torch.inference_mode(), autocast(self.device.type, self.precision):
            if not self.own or (valid == self.cut.length).all():
                return [y.float().cpu().numpy() for y in compute(x)]
            least, parts = self.network.window_range[0], []
            for n in np.unique(valid):
                rows = np.flatnonzero(valid == n)
                results = compute(own_part(x[torch.from_numpy(rows).to(x.device)], int(n), least))
                parts.append((rows, [y.float().cpu().numpy() for y in results]))
        return [_joined([(rows, results[which]) for rows, results in parts], len(x)) for which in range(len(parts[0][1]))]

    def _take(self, track: int, windows: np.ndarray, results: list[np.ndarray], outputs: dict[int | str, list[Output]]) -> None:
        """Take what was computed of a track's next windows (their numbers in the track), per output; write the track with its last."""
        self._held = self._held or [[] for _ in outputs]
        for parts, result in zip(self._held, results):
            parts.append(result)
        if windows[-1] + 1 == len(self.cut.plan(int(self.store.lengths[self.tracks[track]]))):
            self._write(track, outputs, [np.concatenate(parts) for parts in self._held])
            self._held = []

    def _write(self, track: int, outputs: dict[int | str, list[Output]], arrays: list[np.ndarray]) -> None:
        name, windows = self.names[track], self.cut.plan(int(self.store.lengths[self.tracks[track]]))
        weights = (windows[:, 1] - windows[:, 0]).astype(np.float64)
        for group, array in zip(outputs.values(), arrays):
            for output, content in zip(group, (array, windows)):
                if name not in output.names:
                    output.write(name, content, weights)

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        was_training = self.network.training
        self.network.eval()
        try:
            yield
        finally:
            self.network.train(was_training)


def _joined(parts: Sequence[tuple[np.ndarray, np.ndarray]], n: int) -> np.ndarray:
    """Put results [b, T, ...] at their rows of [n, most T, ...]."""
    out = np.zeros((n, *np.max([one.shape[1:] for _, one in parts], axis=0)), np.float32)
    for rows, one in parts:
        out[rows, : one.shape[1]] = one
    return out
