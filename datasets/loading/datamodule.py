"""TrackDataModule: stores of mels or waveforms and groundtruths as Lightning's loaders."""

from __future__ import annotations

# ruff: noqa: E402
from models._torchvision import ensure_torchvision

ensure_torchvision()  # before Lightning is imported

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pytorch_lightning as pl
import torch

from models.errors import ConfigError, GroundtruthError, StoreError, listed
from models.windows import Tail

from ..groundtruth.groundtruth import Groundtruth, match
from ..groundtruth.split_names import CHECK
from ..store.track_store import StoreSource, TrackStore
from .clips import ClipReader, Teacher, WindowRule, plan_all_windows, plan_crops
from .loaders import ClipLoader, TrainBatches, share_windows
from .sampler import WeightedDraws, sample_weights

log = logging.getLogger(__name__)
Labels = str | Path | Groundtruth
_EXTRACT = "Extract the teacher's logits first (`python ex_maest.py extract_logits`)."


class TrackDataModule(pl.LightningDataModule):
    """Batches for training (random crops), validation, test and prediction (every window, in order).

    store: path(s) of the mel store, or an opened one; store_val: another one for validation and test (none: the same).
    groundtruth_train, _val, _test, _predict: groundtruths or their files; what is None has no loader, but prediction without a
        groundtruth visits every track of the store.
    clip_frames: length of a clip in frames (of a waveform store: samples). require: attributes that the stores must have, such as
        {"front_end": "maest-essentia"}.
    batch_size_train, batch_size_test: clips per process. num_workers: processes that read; 0 reads in the training process, the fastest where
        the store is in the page cache (a plan of what to read is all that workers get: batches do not depend on their number).
    seed: with the epoch it decides every draw and crop.
    sample_weight_offset, sample_weight_sum, sampler_replace, epoch_len: see sampler.py. epoch_len None: as many draws as tracks with labels.
    draw: "labels": rare labels more often, as said above; "uniform": every track alike, labels or none. drop_last: leave an incomplete last
        training batch out, for losses that depend on the batch's size.
    views: V random crops of each track, x [B, V, ...], in training and, the same ones every time, one such item per track in validation; none: one
        crop in training, every window in validation. Tracks shorter than a clip are then left out, counted in the log.
    half_overlap: windows of validation, test and prediction overlap by half. tail: "pad", "shift" or "drop" (models.windows).
    teacher: store of a teacher's logits [windows, L]; each clip then carries those of the window that it overlaps most.

    A batch: see tracks.ClipReader. Validation on several processes: items that say valid 0 are repeats, (index, window) is the identity.

    Raises, in `setup`, StoreError and GroundtruthError for data that do not fit; tracks of a groundtruth that the store lacks are counted,
    listed in the log, and left out.
    """

    def __init__(
        self,
        store: StoreSource,
        groundtruth_train: Labels | None = None,
        groundtruth_val: Labels | None = None,
        groundtruth_test: Labels | None = None,
        groundtruth_predict: Labels | None = None,
        *,
        clip_frames: int,
        store_val: StoreSource | None = None,
        require: Mapping[str, object] | None = None,
        batch_size_train: int = 12,
        batch_size_test: int = 20,
        num_workers: int = 0,
        pin_memory: bool | None = None,
        seed: int = 0,
        sample_weight_offset: float = 100.0,
        sample_weight_sum: bool = True,
        sampler_replace: bool = False,
        epoch_len: int | None = None,
        draw: Literal["labels", "uniform"] = "labels",
        drop_last: bool = False,
        views: int | None = None,
        half_overlap: bool = False,
        tail: Tail = "pad",
        teacher: StoreSource | None = None,
    ):
        super().__init__()
        for name, value in {
            "clip_frames": clip_frames,
            "batch_size_train": batch_size_train,
            "batch_size_test": batch_size_test,
        }.items():
            if value < 1:
                raise ConfigError(f"{name} is {value}; it must be 1 or more.")
        if num_workers < 0 or seed < 0:
            raise ConfigError(f"num_workers ({num_workers}) and seed ({seed}) must be 0 or more.")
        if draw not in ("labels", "uniform") or (views is not None and views < 1):
            raise ConfigError(f"draw is '{draw}' and views {views}; choose labels or uniform, and none or 1 and more.")
        if half_overlap and clip_frames < 2:
            raise ConfigError("Windows of one frame cannot overlap by half.")
        self._sources: dict[str, StoreSource] = {"train": store, "val": store if store_val is None else store_val}
        self._labels = {
            "train": groundtruth_train,
            "val": groundtruth_val,
            "test": groundtruth_test,
            "predict": groundtruth_predict,
        }
        self._teacher_source = teacher
        self._stores: dict[str, TrackStore] = {}
        self._teacher_store: TrackStore | None = None
        self._ready: dict[str, _Split] = {}
        self._draws: WeightedDraws | None = None
        self.clip_frames = clip_frames
        self.rule = WindowRule(clip_frames, max(clip_frames // 2, 1) if half_overlap else clip_frames, tail)
        self.require = dict(require or {})
        self.batch_size_train, self.batch_size_test = batch_size_train, batch_size_test
        self.num_workers = num_workers
        self.pin_memory = torch.cuda.is_available() if pin_memory is None else pin_memory
        self.seed = seed
        self.sample_weight_offset, self.sample_weight_sum = sample_weight_offset, sample_weight_sum
        self.sampler_replace, self.epoch_len = sampler_replace, epoch_len
        self.draw, self.drop_last, self.views = draw, drop_last, views

    # -- what there is

    def setup(self, stage: str | None = None) -> None:
        """Open, match and check what `stage` ('fit', 'validate', 'test', 'predict' or None: all) needs."""
        wanted = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",), "predict": ("predict",)}
        for split in wanted.get(stage, ("train", "val", "test", "predict")):
            if split == "predict" or self._labels[split] is not None:
                self.split(split)

    def split(self, name: str) -> _Split:
        """'train', 'val', 'test' or 'predict': its store, groundtruth, and which track of the store each row is."""
        if name not in self._ready:
            self._ready[name] = self._load(name)
        return self._ready[name]

    @property
    def labels(self) -> list[str]:
        """Names of the labels, in the order of y's columns."""
        for name, source in self._labels.items():
            if source is not None:
                return self.split(name).groundtruth.labels
        raise GroundtruthError("No groundtruth was given.")

    def fingerprint(self) -> str:
        """What training and validation are on: labels, tracks with theirs and their lengths, and the teacher. Where they lie does not matter."""
        digest = hashlib.sha256()
        for name in ("train", "val"):
            if self._labels[name] is None:
                continue
            split = self.split(name)
            truth, store, teacher = split.groundtruth, split.reader.store, split.reader.teacher
            digest.update(json.dumps([name, truth.labels, [truth.keys[i] for i in split.index]]).encode())
            digest.update(np.ascontiguousarray(truth.packed[split.index]).tobytes() + store.lengths[split.tracks].tobytes())
            if teacher is not None:
                digest.update(json.dumps([name, teacher.store.attrs.get("weights_sha256")]).encode())
        return digest.hexdigest()

    def summary(self) -> dict[str, int | str]:
        """The same in figures that a person can compare: tracks, items (frames or samples), labels, and how often any label is set."""
        found: dict[str, int | str] = {}
        for name in ("train", "val"):
            if self._labels[name] is None:
                continue
            split = self.split(name)
            truth, store, teacher = split.groundtruth, split.reader.store, split.reader.teacher
            found |= {f"tracks of {name}": len(split.index), f"items of {name}": int(store.lengths[split.tracks].sum())}
            if truth.n_labels:
                counts = truth.subset(np.asarray(split.index)).counts
                found |= {f"labels of {name}": truth.n_labels, f"labels set in {name}": int(counts.sum())}
            if teacher is not None:
                found[f"teacher of {name}"] = str(teacher.store.attrs.get("weights_sha256"))
        return found

    def _store(self, name: str) -> TrackStore:
        side = "train" if name in ("train", "predict") else "val"
        source = self._sources[side]
        key = "train" if source is self._sources["train"] else side
        if key not in self._stores:
            store = TrackStore.open(source)
            store.require(**self.require)
            self._stores[key] = store
        return self._stores[key]

    def _load(self, name: str) -> _Split:
        store, source = self._store(name), self._labels[name]
        if source is None:
            if name != "predict":
                raise GroundtruthError(f"There is no groundtruth for {name}. Give groundtruth_{name}.")
            everything = np.arange(len(store), dtype=np.int64)
            return _Split(ClipReader(store, self.clip_frames), None, everything, everything)
        truth = source if isinstance(source, Groundtruth) else Groundtruth.read(source)
        other = next((split.groundtruth for split in self._ready.values() if split.groundtruth is not None), truth)
        if truth.labels != other.labels:
            raise GroundtruthError(
                f"The labels of {name} ({truth.n_labels}) are not those of the other groundtruths ({other.n_labels}), or in another order. "
                "Read them all with the same labels=."
            )
        found = match(truth.keys, store.names)
        index = np.flatnonzero(found.numbers >= 0)
        if len(index) == 0:
            raise GroundtruthError(
                f"None of the {len(truth)} tracks of the {name} groundtruth is in {store.paths[0]}: it has tracks like {store.names[0]!r}, "
                f"the groundtruth like {truth.keys[0]!r}. Paths are relative to the audio folder. {CHECK}"
            )
        if found.absent:
            log.warning("%s: %s They are left out. %s", name, found.message(str(store.paths[0])), CHECK)
        if self.views is not None:
            index = self._long_enough(name, store, index, found.numbers)
        tracks = found.numbers[index]
        return _Split(ClipReader(store, self.clip_frames, truth, self._teacher(name, truth, index)), truth, index, tracks)

    def _long_enough(self, name: str, store: TrackStore, index: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """The rows whose tracks hold a clip. Raises GroundtruthError when none does."""
        enough = store.lengths[numbers[index]] >= self.clip_frames
        if not enough.any():
            raise GroundtruthError(
                f"None of the {len(index)} {name} tracks is as long as a clip ({self.clip_frames} frames or samples)."
            )
        if not enough.all():
            log.warning("%s: %d of %d tracks are shorter than a clip and left out.", name, int((~enough).sum()), len(enough))
        return index[enough]

    def _teacher(self, name: str, truth: Groundtruth, index: np.ndarray) -> Teacher | None:
        if self._teacher_source is None:
            return None
        if self._teacher_store is None:
            try:
                self._teacher_store = TrackStore.open(self._teacher_source)
            except StoreError as error:
                raise StoreError(f"The teacher's logits cannot be read: {error} {_EXTRACT}") from None
        store = self._teacher_store
        mels = self._store(name).attrs
        same = {key: mels[key] for key in ("sample_rate", "hop") if key in mels}  # or its windows would be others
        store.require(kind="logits", cure=_EXTRACT, **same)
        columns = _teacher_columns(store, truth)
        found = match(truth.keys, store.names)
        absent = [truth.keys[i] for i in index if found.numbers[i] < 0]
        if absent and name == "train":
            raise GroundtruthError(
                f"The teacher has no logits for {len(absent)} training tracks, such as {absent[0]!r}. Extract them as well."
            )
        if absent:
            log.info("The teacher has no logits for %d tracks of %s: its batches carry none.", len(absent), name)
            return None
        return Teacher(store, found.numbers, WindowRule.of(store), columns)

    # -- loaders

    def _place(self) -> tuple[int, int]:
        """Rank of this process, and the number of processes."""
        if self.trainer is not None:
            return self.trainer.global_rank, self.trainer.world_size
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return torch.distributed.get_rank(), torch.distributed.get_world_size()
        return 0, 1

    def train_dataloader(self) -> ClipLoader:
        """One random crop per draw; `loader.set_epoch(e)` (Lightning does it) chooses the epoch."""
        split = self.split("train")
        if self._draws is None:  # once, though Lightning may ask for the loader before every epoch
            truth = split.groundtruth
            if len(split.index) < len(
                truth
            ):  # labels are counted over the tracks that are there: what is drawn decides the weights
                truth = truth.subset(split.index)
            uniform = self.draw == "uniform"
            weights = np.ones(len(truth)) if uniform else sample_weights(truth, self.sample_weight_offset, self.sample_weight_sum)
            self._draws = WeightedDraws(weights, self.epoch_len, self.sampler_replace, self.seed)
        how = (self.batch_size_train, *self._place(), self.drop_last, self.views)
        batches = TrainBatches(split.reader, self._draws, split.index, split.tracks, *how)
        return ClipLoader(split.reader, batches, self.num_workers, self.pin_memory)

    def _windows(self, name: str) -> ClipLoader:
        split = self.split(name)
        if self.views is not None and name == "val":
            clips = plan_crops(split.index, split.tracks, split.reader.store, self.clip_frames, 0, 0, self.views)
        else:
            clips = plan_all_windows(split.index, split.tracks, split.reader.store, self.rule)
        return ClipLoader(
            split.reader, share_windows(clips, self.batch_size_test, *self._place()), self.num_workers, self.pin_memory
        )

    def val_dataloader(self) -> ClipLoader | list:
        """Every window of the validation tracks (with `views`: fixed crops of each); none without a validation groundtruth."""
        return [] if self._labels["val"] is None else self._windows("val")

    def test_dataloader(self) -> ClipLoader:
        """Every window of the test tracks."""
        return self._windows("test")

    def predict_dataloader(self) -> ClipLoader:
        """Every window of the tracks to predict: those of groundtruth_predict, or all of the store."""
        return self._windows("predict")


def _teacher_columns(store: TrackStore, truth: Groundtruth) -> np.ndarray | None:
    """Which of the teacher's columns belongs to each label; None when they are the same. Raises GroundtruthError for other labels."""
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


class _Split:
    """One split made ready: index [n], its rows of the groundtruth that are in the store, and tracks [n], their numbers there."""

    def __init__(self, reader: ClipReader, groundtruth: Groundtruth | None, index: np.ndarray, tracks: np.ndarray):
        self.reader, self.groundtruth, self.index, self.tracks = reader, groundtruth, index, tracks
