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

import numpy as np
import pytorch_lightning as pl
import torch

from models.errors import ConfigError, GroundtruthError, StoreError, nearest

from ..groundtruth.groundtruth import Groundtruth, match
from ..groundtruth.split_names import CHECK
from ..prepare.failures import why_absent
from ..store.track_store import StoreSource, TrackStore
from .batching import Batching
from .clips import ClipReader, Split, Teacher, WindowRule, plan_all_windows, plan_crops, teacher_columns
from .loaders import ClipLoader, TrainBatches, ValidationCrops, share_windows
from .sampler import WeightedDraws, sample_weights, share_batches

log = logging.getLogger(__name__)
Labels = str | Path | Groundtruth
SPLITS = ("train", "val", "test", "predict")
_EXTRACT = "Extract the teacher's logits first (the command extract_logits)."


class TrackDataModule(pl.LightningDataModule):
    """Batches for training (random crops), validation, test and prediction (every window, in order).

    A batch: see clips.ClipReader. Validation on several processes: items that say valid 0 are repeats, (index, window) is the identity.

    Args:
        store: path(s) of the store of mels or waveforms, or an opened one.
        groundtruths: of "train", "val", "test" and "predict", or their files; what is absent or None has no loader, but prediction without a
            groundtruth visits every track of the store.
        batching: how tracks are cut, drawn and batched.
        store_val: another store for validation and test.
        teacher: store of a teacher's logits [windows, L]; each clip then carries those of the window that it overlaps most.
        seed: with the epoch it decides every draw and crop.

    Raises, in `setup`, StoreError and GroundtruthError for data that do not fit; tracks of a groundtruth that the store lacks are counted,
    listed in the log, and left out.
    """

    def __init__(
        self,
        store: StoreSource,
        groundtruths: Mapping[str, Labels | None],
        batching: Batching,
        *,
        store_val: StoreSource | None = None,
        teacher: StoreSource | None = None,
        seed: int = 0,
    ):
        super().__init__()
        if seed < 0:
            raise ConfigError(f"seed is {seed}; it must be 0 or more.")
        if unknown := sorted(set(groundtruths) - set(SPLITS)):
            raise ConfigError(f"Groundtruths are of {', '.join(SPLITS)}; got one of {unknown[0]!r}.{nearest(unknown[0], SPLITS)}")
        self._sources: dict[str, StoreSource] = {"train": store, "val": store if store_val is None else store_val}
        self._labels: dict[str, Labels | None] = {name: groundtruths.get(name) for name in SPLITS}
        self._teacher_source = teacher
        self._stores: dict[str, TrackStore] = {}
        self._teacher_store: TrackStore | None = None
        self._ready: dict[str, Split] = {}
        self._draws: WeightedDraws | None = None
        self.batching, self.seed = batching, seed
        self.pin_memory = torch.cuda.is_available() if batching.pin_memory is None else batching.pin_memory

    # -- what there is

    def setup(self, stage: str | None = None) -> None:
        """Open, match and check what `stage` ('fit', 'validate', 'test', 'predict' or None: all) needs."""
        wanted = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",), "predict": ("predict",)}
        for split in SPLITS if stage is None else wanted[stage]:
            if split == "predict" or self._labels[split] is not None:
                self.split(split)

    @property
    def given(self) -> tuple[str, ...]:
        """The splits that have a groundtruth."""
        return tuple(name for name in SPLITS if self._labels[name] is not None)

    def split(self, name: str) -> Split:
        """Return 'train', 'val', 'test' or 'predict': its store, groundtruth, and which track of the store each row is."""
        if name not in self._ready:
            self._ready[name] = self._load(name)
        return self._ready[name]

    @property
    def labels(self) -> list[str]:
        """Names of the labels, in the order of y's columns."""
        for name, source in self._labels.items():
            if source is not None:
                return self.split(name).truth.labels
        raise GroundtruthError("No groundtruth was given.")

    def fingerprint(self) -> str:
        """Return what training and validation are on: labels, tracks with theirs and their lengths, and the teacher. Where they lie does
        not matter.
        """
        digest = hashlib.sha256()
        for name in ("train", "val"):
            if self._labels[name] is None:
                continue
            split = self.split(name)
            truth, store, teacher = split.truth, split.reader.store, split.reader.teacher
            digest.update(json.dumps([name, truth.labels, [truth.keys[i] for i in split.index]]).encode())
            digest.update(np.ascontiguousarray(truth.packed[split.index]).tobytes() + store.lengths[split.tracks].tobytes())
            if teacher is not None:
                digest.update(json.dumps([name, teacher.store.attrs.get("weights_sha256")]).encode())
        return digest.hexdigest()

    def summary(self) -> dict[str, int | str]:
        """Return the same in figures that a person can compare: tracks, items (frames or samples), labels, and how often any label is set."""
        found: dict[str, int | str] = {}
        for name in ("train", "val"):
            if self._labels[name] is None:
                continue
            split = self.split(name)
            truth, store, teacher = split.truth, split.reader.store, split.reader.teacher
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
            store.require(self.batching.require)
            self._stores[key] = store
        return self._stores[key]

    def _load(self, name: str) -> Split:
        store, source = self._store(name), self._labels[name]
        if source is None:
            if name != "predict":
                raise GroundtruthError(f"There is no groundtruth for {name}. Give groundtruth_{name}.")
            everything = np.arange(len(store), dtype=np.int64)
            return Split(ClipReader(store, self.batching.window), None, everything, everything)
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
            why = why_absent(found.absent, Path(store.paths[0]).parent)
            log.warning("%s: %s%s They are left out. %s", name, found.message(str(store.paths[0])), why, CHECK)
        if self.batching.views is not None:
            index = self._long_enough(name, store, index, found.numbers)
        tracks = found.numbers[index]
        return Split(ClipReader(store, self.batching.window, truth, self._teacher(name, truth, index)), truth, index, tracks)

    def _long_enough(self, name: str, store: TrackStore, index: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """The rows whose tracks hold a clip. Raises GroundtruthError when none does."""
        enough = store.lengths[numbers[index]] >= self.batching.window
        if not enough.any():
            raise GroundtruthError(
                f"None of the {len(index)} {name} tracks is as long as a clip ({self.batching.window} frames or samples)."
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
        columns = teacher_columns(store, truth)
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

    def _training_draws(self) -> WeightedDraws:
        if self._draws is None:  # once, though Lightning may ask for the loader before every epoch
            split, how = self.split("train"), self.batching
            truth = split.truth
            if len(split.index) < len(
                truth
            ):  # labels are counted over the tracks that are there: what is drawn decides the weights
                truth = truth.subset(split.index)
            uniform = how.draw == "uniform"
            weights = np.ones(len(truth)) if uniform else sample_weights(truth, how.sample_weight_offset, how.sample_weight_sum)
            self._draws = WeightedDraws(weights, how.epoch_len, how.sampler_replace, self.seed)
        return self._draws

    def check_batches(self, world: int) -> None:
        """Raise ConfigError where the training tracks do not fill a batch on each of `world` processes."""
        share_batches(len(self._training_draws()), self.batching.batch_size_train, 0, world, self.batching.drop_last)

    def train_dataloader(self) -> ClipLoader:
        """Return one random crop per draw; `loader.set_epoch(e)` (Lightning does it) chooses the epoch."""
        split, how, draws = self.split("train"), self.batching, self._training_draws()
        batches = TrainBatches(split, draws, how.batch_size_train, *self._place(), drop_last=how.drop_last, views=how.views)
        return ClipLoader(split.reader, batches, how.num_workers, self.pin_memory)

    def _windows(self, name: str) -> ClipLoader:
        split, how = self.split(name), self.batching
        if how.val_crops and name == "val":
            crops = ValidationCrops(split, self.seed, how.batch_size_test, *self._place())
            return ClipLoader(split.reader, crops, how.num_workers, self.pin_memory)
        if how.views is not None and name == "val":
            clips = plan_crops(split.index, split.tracks, split.reader.store, how.window, 0, 0, how.views)
        else:
            clips = plan_all_windows(split.index, split.tracks, split.reader.store, how.rule)
        batches = share_windows(clips, how.batch_size_test, *self._place())
        return ClipLoader(split.reader, batches, how.num_workers, self.pin_memory)

    def val_dataloader(self) -> ClipLoader | list:
        """Return every window of the validation tracks, or crops of each (`views`, `val_crops`); none without a validation groundtruth."""
        return [] if self._labels["val"] is None else self._windows("val")

    def test_dataloader(self) -> ClipLoader:
        """Return every window of the test tracks."""
        return self._windows("test")

    def predict_dataloader(self) -> ClipLoader:
        """Return every window of the tracks to predict: those of groundtruth_predict, or all of the store."""
        return self._windows("predict")
