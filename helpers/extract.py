"""Extraction: every window of every track through a network, its tokens or logits into stores.

Windows are batched across tracks on one fixed grid: batch k always holds the same windows, whatever was done before, so that a run that was killed
and resumed writes the same bits as an unbroken one. Memory does not grow with the number of tracks: a track is written once its last window is
through. Tracks follow the order of the mel store.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch

from datasets.groundtruth import listed
from datasets.progress import JobProgress
from datasets.store import TrackStore
from models.errors import ConfigError, StoreError
from models.frontend import MelSettings, normalise
from models.windows import Tail, plan_windows

from .devices import resolve_precision
from .outputs import NpyOutput, Output, Pool, StoreOutput

log = logging.getLogger(__name__)
Format = Literal["store", "npy"]
CODE_VERSION = 1  # raised when a change here, or in the network, changes the numbers: older outputs are then not resumed


@dataclass(frozen=True)
class Extraction:
    """What an extraction did: where each output stands (by block, or "logits"), tracks in it, tracks and windows computed now, seconds."""

    paths: dict[int | str, Path]
    n_tracks: int
    n_new: int
    n_windows: int
    seconds: float


@dataclass(frozen=True)
class Cut:
    """How tracks are cut into windows, in frames: models/windows.py."""

    length: int
    hop: int
    tail: Tail

    def windows(self, frames: int) -> np.ndarray:
        """Start and stop of each window of a track, [W, 2]."""
        return _plan(frames, self.length, self.hop, self.tail)


@lru_cache(maxsize=4096)
def _plan(frames: int, length: int, hop: int, tail: Tail) -> np.ndarray:
    return plan_windows(frames, length, hop, tail)


def extract_embeddings(
    network: torch.nn.Module,
    source: str | Path | TrackStore,
    out: str | Path,
    blocks: Sequence[int] = (7,),
    *,
    model: str = "maest",
    names: Sequence[str] | None = None,
    clip_frames: int | None = None,
    half_overlap: bool = False,
    tail: Tail = "pad",
    batch_size: int = 20,
    precision: str = "32",
    dtype: str = "float32",
    format: Format = "store",
    pool: Pool = "none",
    settings: MelSettings | None = None,
) -> Extraction:
    """CLS, DIST and mean token of blocks, for every window of every track; all blocks in one pass.

    Writes for each block the store `<out>/<block>/embeddings.h5`, [windows, 3, C] per track (an undistilled network: [windows, 2, C]; block -1, the
    features after the final norm: [windows, C]) and beside it `<out>/<block>/windows/windows.h5`, [windows, 2]: start and stop frame of each window.
    With format "npy": `<out>/<block>/<name>.embeddings.npy`.

    network: a MAEST, on the device that shall compute. model: its name, kept with the output.
    source: mel TrackStore (opened, or path). names: tracks of it (default: all).
    blocks: 0-based outputs of blocks; -1: the features.
    clip_frames: length of a window (default: the network's); half_overlap: windows every half of it; tail: models/windows.py.
    batch_size: windows at once. precision: "32", or "bf16-mixed" / "16-mixed" for autocast; "auto" as in training.
    dtype: of the stored values, float32 (as computed) or float16 (half the disk, 3 digits).
    pool: of format "npy": "none", or "mean" over windows weighted by valid frames, [3, C].
    settings: the front end that the network takes, whose mean and divisor normalise the raw mel; None: the network's own.

    Raises StoreError for a store of another front end, output of other settings or weights, a full disk; ConfigError for settings that the network
    or format does not have. Run again, it goes on where it was stopped, and does nothing when all is there.
    """
    chosen = list(dict.fromkeys(int(block) for block in blocks))
    depth = int(network.depth)
    wrong = [block for block in chosen if not -1 <= block < depth]
    if wrong or not chosen:
        raise ConfigError(f"Blocks {wrong or 'none'} asked for: this network has 0 to {depth - 1}, and -1 for the features.")
    tokens = _tokens_of(network, chosen)
    width = int(network.embed_dim)
    shapes = {block: (width,) if block == -1 else (int(network.n_extra) + 1, width) for block in chosen}
    job = _Job(network, source, model, names, clip_frames, half_overlap, tail, batch_size, precision, settings)

    def outputs(stack: ExitStack) -> dict[int | str, list[Output]]:
        return {
            block: job.outputs(stack, Path(out) / str(block), "embeddings", shapes[block], dtype, format, pool, {"block": block})
            for block in chosen
        }

    return job.run(outputs, tokens)


def extract_logits(
    network: torch.nn.Module,
    source: str | Path | TrackStore,
    out: str | Path,
    *,
    model: str = "maest",
    names: Sequence[str] | None = None,
    clip_frames: int | None = None,
    half_overlap: bool = False,
    tail: Tail = "pad",
    batch_size: int = 20,
    precision: str = "32",
    dtype: str = "float32",
    format: Format = "store",
    settings: MelSettings | None = None,
) -> Extraction:
    """Logits of every window of every track: store `<out>/logits.h5`, [windows, L] per track, or `<out>/<name>.logits.npy`.

    A network with separated heads gives the logits of the mean of both heads' probabilities. Everything else as `extract_embeddings`.
    """
    job = _Job(network, source, model, names, clip_frames, half_overlap, tail, batch_size, precision, settings)
    labels = getattr(network, "label_names", None)

    def outputs(stack: ExitStack) -> dict[int | str, list[Output]]:
        more = {"labels": list(labels)} if labels else {}
        return {"logits": job.outputs(stack, Path(out), "logits", (int(network.n_classes),), dtype, format, "none", more)}

    def logits(mel: torch.Tensor) -> list[torch.Tensor]:
        *heads, _ = network(mel)
        if len(heads) == 1:
            return heads
        return [torch.stack([head.float().sigmoid() for head in heads]).mean(dim=0).logit(eps=1e-7)]

    return job.run(outputs, logits)


def weights_sha256(network: torch.nn.Module) -> str:
    """SHA-256 over names, types, shapes and bytes of all parameters and buffers that the network saves: one checkpoint, one hash."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        array = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {array.dtype} {tuple(array.shape)}\n".encode())
        digest.update(
            array.view(torch.uint8).numpy().tobytes() if array.ndim else array[None].view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()


def _tokens_of(network: Any, blocks: list[int]) -> Callable[[torch.Tensor], list[torch.Tensor]]:
    """One pass: normalised mel [B, F, M] -> one [B, 3, C] (block -1: [B, C]) for each of `blocks`, in their order."""
    inner = sorted({block for block in blocks if block >= 0})
    if blocks == [-1]:
        return lambda mel: [network(mel)[-1]]
    deepest = [*inner, network.depth - 1] if -1 in blocks and network.depth - 1 not in inner else inner

    def tokens(mel: torch.Tensor) -> list[torch.Tensor]:
        pooled = dict(zip(deepest, network.embed_blocks(mel, deepest)))
        if -1 in blocks:  # the head reads CLS and DIST only, which the pooled tokens hold
            pooled[-1] = network.classify(pooled[network.depth - 1])[-1]
        return [pooled[block] for block in blocks]

    return tokens


class _Job:
    """One extraction: the checked settings, the fixed grid of batches, and the loop."""

    def __init__(
        self,
        network: Any,
        source: str | Path | TrackStore,
        model: str,
        names: Sequence[str] | None,
        clip_frames: int | None,
        half_overlap: bool,
        tail: Tail,
        batch_size: int,
        precision: str,
        settings: MelSettings | None,
    ):
        settings = settings or network.melspectrogram.settings
        self.network, self.settings, self.batch_size = network, settings, batch_size
        self.store = source if isinstance(source, TrackStore) else TrackStore.open(source)
        front_end = {"front_end": settings.name, "sample_rate": settings.sample_rate, "hop": settings.hop}
        self.store.require(kind="mel", **front_end)
        if self.store.item_shape != (int(network.input_f),):
            raise StoreError(
                f"The store holds frames of {list(self.store.item_shape)}; the network takes {network.input_f} bands."
            )
        length = int(network.input_t) if clip_frames is None else clip_frames
        if not 1 <= length <= int(network.max_frames):
            raise ConfigError(f"Windows of {length} frames: this network takes 1 to {network.max_frames}.")
        if tail not in get_args(Tail):
            raise ConfigError(f"tail is '{tail}'; choose one of {', '.join(get_args(Tail))}.")
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}; it must be 1 or more.")
        self.cut = Cut(length, max(length // 2, 1) if half_overlap else length, tail)
        self.device = next(network.parameters()).device
        self.precision = resolve_precision(precision, "cpu" if self.device.type == "cpu" else "gpu")
        if self.precision not in ("32-true", "bf16-mixed", "16-mixed"):
            raise ConfigError(f"Extraction computes in 32, bf16-mixed or 16-mixed, not in {precision}.")
        self.tracks = np.arange(len(self.store)) if names is None else self._numbers(names)
        self.names = [self.store.names[i] for i in self.tracks]
        self.attrs = {
            **front_end,
            "model": model,
            "weights_sha256": weights_sha256(network),
            "network": {
                key: getattr(network, key)
                for key in ("embed_dim", "depth", "num_heads", "distilled_type")
                if hasattr(network, key)
            },
            "patchout": str(getattr(network, "patchout", "")),
            "clip_frames": self.cut.length,
            "hop_frames": self.cut.hop,
            "tail": tail,
            "precision": self.precision,
            "norm_mean": settings.mean,
            "norm_divisor": settings.std_divisor,
            "code_version": CODE_VERSION,
        }

    def _numbers(self, names: Sequence[str]) -> np.ndarray:
        absent = [name for name in names if name not in self.store]
        if absent:
            raise StoreError(f"{len(absent)} of {len(names)} tracks are not in {self.store.paths[0]}: {listed(absent)}.")
        return np.unique([self.store.index(name) for name in names])

    def outputs(
        self,
        stack: ExitStack,
        folder: Path,
        kind: str,
        item_shape: tuple[int, ...],
        dtype: str,
        format: str,
        pool: str,
        more: dict[str, Any],
    ) -> list[Output]:
        """Open one output and the windows beside it; `stack` closes them."""
        if dtype not in ("float32", "float16"):
            raise ConfigError(f"dtype is '{dtype}'; choose float32 or float16.")
        attrs = {"kind": kind, **self.attrs, **more}
        if format == "npy":
            if pool not in get_args(Pool):
                raise ConfigError(f"pool is '{pool}'; choose one of {', '.join(get_args(Pool))}.")
            made: list[Output] = [NpyOutput(folder, kind, dtype, attrs, self.names, pool)]
        elif format == "store":
            if pool != "none":
                raise ConfigError("pool is for format npy: a store keeps every window, and readers average.")
            made = [StoreOutput(folder / f"{kind}.h5", item_shape, dtype, attrs, self.names)]
            stack.callback(made[0].close)
            about = {
                "kind": "windows",
                "of": kind,
                **{key: self.attrs[key] for key in ("hop", "clip_frames", "hop_frames", "tail")},
            }
            made.append(StoreOutput(folder / "windows" / "windows.h5", (2,), "int64", about, self.names))
        else:
            raise ConfigError(f"format is '{format}'; choose one of {', '.join(get_args(Format))}.")
        stack.callback(made[-1].close)
        return made

    def run(
        self,
        open_outputs: Callable[[ExitStack], dict[int | str, list[Output]]],
        compute: Callable[[torch.Tensor], list[torch.Tensor]],
    ) -> Extraction:
        """Compute what the outputs lack, in the order of the grid, and finish them."""
        started = time.monotonic()
        with ExitStack() as stack:
            outputs = open_outputs(stack)
            every = [output for group in outputs.values() for output in group]
            lacking = np.array([any(name not in output.names for output in every) for name in self.names])
            counts = np.array([len(self.cut.windows(int(n))) for n in self.store.lengths[self.tracks]])
            n_windows = self._compute(outputs, lacking, counts, compute) if lacking.any() else 0
            finished = {key: [output.finish() for output in group] for key, group in outputs.items()}
            paths = {key: written[0] for key, written in finished.items()}
        return Extraction(paths, len(self.names), int(lacking.sum()), n_windows, time.monotonic() - started)

    def _compute(
        self,
        outputs: dict[int | str, list[Output]],
        lacking: np.ndarray,
        counts: np.ndarray,
        compute: Callable[[torch.Tensor], list[torch.Tensor]],
    ) -> int:
        first = np.concatenate([[0], np.cumsum(counts)])  # number of each track's first window on the grid
        batches = self._batches(lacking, first)
        held: list[list[np.ndarray]] = [[] for _ in outputs]  # of the track that is under way, per output
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
                (tracks, mel), upcoming = read.result(), next(batches, None)
                read = reader.submit(self._read, upcoming, first) if upcoming is not None else None  # while this one computes
                results = self._forward(mel, compute)
                n_computed += len(tracks)
                for track in np.unique(tracks):
                    rows = np.flatnonzero(tracks == track)
                    if lacking[track]:
                        for parts, result in zip(held, results):
                            parts.append(result[rows])
                        progress.advance(len(rows))
                        if sum(map(len, held[0])) == counts[track]:
                            self._write(int(track), outputs, [np.concatenate(parts) for parts in held])
                            held = [[] for _ in outputs]
        return n_computed

    def _batches(self, lacking: np.ndarray, first: np.ndarray) -> Iterator[np.ndarray]:
        """Numbers of the windows of each batch of the grid that holds a lacking track."""
        total = int(first[-1])
        for start in range(0, total, self.batch_size):
            stop = min(start + self.batch_size, total)
            begin, end = np.searchsorted(first, [start, stop - 1], side="right") - 1
            if lacking[begin : end + 1].any():
                yield np.arange(start, stop)

    def _read(self, windows: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The track (row of `names`) of each window, [B], and their raw mels, padded with silence, [B, length, F]."""
        tracks = np.searchsorted(first, windows, side="right") - 1
        numbers = self.tracks[tracks]
        spans = np.stack(
            [self.cut.windows(int(self.store.lengths[n]))[w - first[t]] for n, w, t in zip(numbers, windows, tracks)]
        )
        return tracks, self.store.read_windows(numbers, spans[:, 0], spans[:, 1], self.cut.length)

    def _forward(self, mel: np.ndarray, compute: Callable[[torch.Tensor], list[torch.Tensor]]) -> list[np.ndarray]:
        x = torch.from_numpy(mel).to(self.device).float().transpose(1, 2)
        with torch.inference_mode(), self._autocast():
            return [y.float().cpu().numpy() for y in compute(normalise(x, self.settings))]

    def _write(self, track: int, outputs: dict[int | str, list[Output]], arrays: list[np.ndarray]) -> None:
        name, windows = self.names[track], self.cut.windows(int(self.store.lengths[self.tracks[track]]))
        weights = (windows[:, 1] - windows[:, 0]).astype(np.float64)
        for group, array in zip(outputs.values(), arrays):
            for output, content in zip(group, (array, windows)):
                if name not in output.names:
                    output.write(name, content, weights)

    def _autocast(self) -> AbstractContextManager:
        if self.precision == "32-true":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16 if self.precision == "bf16-mixed" else torch.float16)

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        was_training = self.network.training
        self.network.eval()
        try:
            yield
        finally:
            self.network.train(was_training)
