"""From tracks to clips of the model's length: random crops for training, every window for validation, test and prediction.

A batch of clips is first planned (which frames of which track, pure functions of seed, epoch and draw) and then read. Worker processes only read:
they hold no epoch and no random state.

Conventions: M is the model's length in frames, N a track's. A clip covers frames [start, stop) of its track, stop - start <= M, and stands centred
between (M - n) // 2 frames of silence before and the rest behind.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
import torch

from models.errors import ConfigError, GroundtruthError, StoreError, listed
from models.randomness import stream
from models.windows import Tail, left_padding, plan_windows

from ..groundtruth.groundtruth import Groundtruth
from ..store.track_store import TrackStore


@dataclass(frozen=True)
class Clips:
    """A batch's plan; all int64 [B] (start and stop [B, V] where each item is V crops). index: row of the groundtruth; track: number in the
    store; start, stop: frames; draw: the clip's position in the epoch (or in the list of all windows); window, n_windows: which of the track's
    windows; counted: 0 for a repeat that only fills up a process's last batch.
    """

    index: np.ndarray
    track: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    draw: np.ndarray
    window: np.ndarray
    n_windows: np.ndarray
    counted: np.ndarray

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, which: object) -> Clips:
        return Clips(*(getattr(self, field.name)[which] for field in fields(self)))


@dataclass(frozen=True)
class WindowRule:
    """How tracks are cut into windows: length and hop in frames, and what becomes of the tail (models.windows)."""

    length: int
    hop: int
    tail: Tail = "pad"

    def plan(self, n: int) -> np.ndarray:
        """Return windows of a track of n frames, [W, 2]; not to be written to: tracks of one length share them."""
        return _plan(n, self)

    def left(self, valid: int) -> int:
        """Return how much silence stands before the `valid` frames of a window that a track does not fill."""
        return left_padding(valid, self.length)

    def attrs(self) -> dict:
        """Return it as the attributes of a store of logits or embeddings say it."""
        return {"clip_frames": self.length, "hop_frames": self.hop, "tail": self.tail}

    @staticmethod
    def of(store: TrackStore) -> WindowRule:
        """Return the rule that the windows of a store of logits or embeddings follow. Raises StoreError when it does not say."""
        said = store.attrs
        try:
            return WindowRule(int(said["clip_frames"]), int(said["hop_frames"]), said["tail"])
        except (TypeError, KeyError, ValueError):
            raise StoreError(
                f"{store.paths[0]} does not say how its windows were cut (attributes clip_frames, hop_frames, tail). Extract it again."
            ) from None


@lru_cache(maxsize=4096)
def _plan(n: int, rule: WindowRule) -> np.ndarray:
    windows = plan_windows(n, rule.length, rule.hop, rule.tail)
    windows.flags.writeable = False
    return windows


def random_crops(lengths: np.ndarray, clip_frames: int, uniform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return start and stop [B] of one crop per track, uniform over 0..max(N - M, 0), both ends included.

    lengths [B]: N of each track. uniform [B]: numbers in [0, 1) that choose the place.
    """
    places = np.maximum(lengths - clip_frames, 0) + 1
    start = np.minimum((uniform * places).astype(np.int64), places - 1)
    return start, np.minimum(start + clip_frames, lengths)


def plan_crops(
    index: np.ndarray,
    tracks: np.ndarray,
    store: TrackStore,
    clip_frames: int,
    seed: int,
    epoch: int,
    views: int | None = None,
    purpose: str = "crops",
) -> Clips:
    """Return the plan of an epoch of crops: one random crop for each draw, or `views` of them; index and tracks [n] in the order of draws.

    Where a crop lies depends on (seed, purpose, epoch, draw, view) only.
    """
    draw = np.arange(len(index), dtype=np.int64)
    uniform = stream(seed, purpose, epoch).random((views or 1, len(index)))
    start, stop = (
        np.stack(ends, axis=1) for ends in zip(*(random_crops(store.lengths[tracks], clip_frames, u) for u in uniform))
    )
    if views is None:
        start, stop = start[:, 0], stop[:, 0]
    ones = np.ones_like(draw)
    return Clips(np.asarray(index, np.int64), np.asarray(tracks, np.int64), start, stop, draw, np.zeros_like(draw), ones, ones)


def plan_all_windows(index: np.ndarray, tracks: np.ndarray, store: TrackStore, rule: WindowRule) -> Clips:
    """Return every window of every track, in order; index and tracks [n]."""
    by_length: dict[int, np.ndarray] = {}  # most clips of a collection have a few lengths
    lengths = store.lengths[tracks].tolist()
    for n in set(lengths):
        by_length[n] = rule.plan(n)
    counts = np.array([len(by_length[n]) for n in lengths], dtype=np.int64)
    spans = np.concatenate([by_length[n] for n in lengths]) if lengths else np.zeros((0, 2), np.int64)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    draw = np.arange(len(spans), dtype=np.int64)
    return Clips(
        index=np.repeat(np.asarray(index, np.int64), counts),
        track=np.repeat(np.asarray(tracks, np.int64), counts),
        start=spans[:, 0],
        stop=spans[:, 1],
        draw=draw,
        window=draw - first,
        n_windows=np.repeat(counts, counts),
        counted=np.ones_like(draw),
    )


def closest_window(windows: np.ndarray, start: int, stop: int) -> int:
    """Return the window [W, 2] that overlaps [start, stop) most; the first of equals."""
    overlap = np.minimum(windows[:, 1], stop) - np.maximum(windows[:, 0], start)
    return int(overlap.argmax())


@dataclass
class Teacher:
    """A teacher's logits: a store of [windows, L], which of its tracks belongs to each row of the groundtruth, how its windows were cut, and
    which of its columns belongs to each label (None: they are the same).
    """

    store: TrackStore
    tracks: np.ndarray
    rule: WindowRule
    columns: np.ndarray | None = None

    def logits(self, clips: Clips, lengths: np.ndarray) -> np.ndarray:
        """Return, of each clip, the logits of the window that it overlaps most, float32 [B, L]; lengths [B]: frames of the clips' tracks.

        Raises StoreError when a track has another number of windows than the rule gives.
        """
        numbers = self.tracks[clips.index]
        rows = np.empty(len(clips), dtype=np.int64)
        for i, (n, start, stop) in enumerate(zip(lengths.tolist(), clips.start.tolist(), clips.stop.tolist())):
            windows = self.rule.plan(n)
            if len(windows) != self.store.lengths[numbers[i]]:
                name = self.store.names[numbers[i]]
                raise StoreError(
                    f"{self.store.paths[0]} has {self.store.lengths[numbers[i]]} windows for {name!r}, its {n} frames make {len(windows)}. "
                    "Extract the logits again from this store of mels."
                )
            rows[i] = closest_window(windows, start, stop)
        logits = self.store.read_windows(numbers, rows, rows + 1, 1)[:, 0].astype(np.float32)
        return logits if self.columns is None else logits[:, self.columns]


class ClipReader(torch.utils.data.Dataset):
    """Reads planned batches: `reader[clips]` is the batch. Picklable; holds no data, only where they are.

    store: mels [frames, bands], or waveforms [samples], whose frames are samples. groundtruth: labels by row, or none for prediction.
    """

    def __init__(
        self, store: TrackStore, clip_frames: int, groundtruth: Groundtruth | None = None, teacher: Teacher | None = None
    ):
        if clip_frames < 1:
            raise ConfigError(f"A clip has {clip_frames} frames; 1 or more are needed.")
        if len(store.item_shape) > 1:
            raise StoreError(
                f"{store.paths[0]} holds items of shape {list(store.item_shape)}; mel frames [bands] or samples [] are wanted."
            )
        self.store = store
        self.clip_frames = clip_frames
        self.groundtruth = groundtruth
        self.teacher = teacher

    def __getitem__(self, clips: Clips) -> dict:
        """Batch: x [B, bands, T] as stored (raw log-mel, zeros where padded), or of waveforms [B, T] float32 in [-1, 1] (with an axis V of crops
        behind B where the plan has one), y float32 [B, L] (with a groundtruth), key, and int64 [B]: index,
        draw, window, n_windows, valid (frames that are not padding, of the first crop; 0 for a repeat that is to be counted nowhere); teacher
        float32 [B, L].
        """
        batch = {
            "x": self._read(clips),
            "index": torch.from_numpy(clips.index),
            "draw": torch.from_numpy(clips.draw),
            "key": [self.store.names[i] for i in clips.track.tolist()],
            "window": torch.from_numpy(clips.window),
            "n_windows": torch.from_numpy(clips.n_windows),
            "valid": torch.from_numpy((clips.stop - clips.start).reshape(len(clips), -1)[:, 0] * clips.counted),
        }
        if self.groundtruth is not None:
            if self.groundtruth.n_labels:
                batch["y"] = torch.from_numpy(self.groundtruth.targets(clips.index))
            batch["key"] = [self.groundtruth.keys[i] for i in clips.index.tolist()]
        if self.teacher is not None:
            batch["teacher"] = torch.from_numpy(self.teacher.logits(clips, self.store.lengths[clips.track]))
        return batch

    def _read(self, clips: Clips) -> torch.Tensor:
        views = clips.start.shape[1:]  # () or (V,)
        track = np.repeat(clips.track, *views) if views else clips.track
        frames = self.store.read_windows(track, clips.start.ravel(), clips.stop.ravel(), self.clip_frames)
        if self.store.item_shape:
            # bands before time is a matter of strides: turning the frames around in memory would cost as much as reading them
            x = torch.from_numpy(frames).transpose(1, 2)
        else:
            x = torch.from_numpy(samples_of(frames, self.store))
        return x.unflatten(0, (len(clips), *views)) if views else x


def samples_of(stored: np.ndarray, store: TrackStore) -> np.ndarray:
    """Return samples as a waveform store holds them -> float32 in [-1, 1].

    Raises StoreError for integers in a store that does not say what full scale is (attribute full_scale).
    """
    if stored.dtype.kind == "f":
        return stored.astype(np.float32, copy=False)
    scale = store.attrs.get("full_scale")
    if not scale:
        raise StoreError(
            f"{store.paths[0]} holds samples as {stored.dtype} and does not say what full scale is (attribute full_scale)."
        )
    return stored.astype(np.float32) * np.float32(1 / scale)


@dataclass(frozen=True)
class Split:
    """One split made ready: index [n], its rows of the groundtruth that are in the store, and tracks [n], their numbers there."""

    reader: ClipReader
    groundtruth: Groundtruth | None
    index: np.ndarray
    tracks: np.ndarray

    @property
    def truth(self) -> Groundtruth:
        """The groundtruth. Raises GroundtruthError where there is none (prediction without one)."""
        if self.groundtruth is None:
            raise GroundtruthError("These tracks have no groundtruth.")
        return self.groundtruth


def teacher_columns(store: TrackStore, truth: Groundtruth) -> np.ndarray | None:
    """Return which of the teacher's columns belongs to each label; None when they are the same, and without labels.

    Raises GroundtruthError for other labels.
    """
    if not truth.n_labels:
        return None
    if store.item_shape != (truth.n_labels,):
        raise GroundtruthError(
            f"The teacher's logits have {list(store.item_shape)} labels, the groundtruth has {truth.n_labels}."
        )
    named = store.attrs.get("labels")
    if (
        named is None or named == truth.labels or all(label.isdigit() for label in truth.labels)
    ):  # unnamed on one side: taken as they stand
        return None
    if sorted(named) != sorted(truth.labels):
        other = sorted(set(truth.labels) - set(named))
        raise GroundtruthError(
            f"The teacher has other labels: it lacks {listed(other)}. Train on the teacher's labels, or teach these."
        )
    return np.array([named.index(label) for label in truth.labels])
