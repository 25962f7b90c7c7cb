"""A small store with a groundtruth, and data modules over it."""

from __future__ import annotations

import numpy as np
import torch

from datasets.groundtruth.groundtruth import Groundtruth
from datasets.loading.batching import Batching
from datasets.loading.datamodule import SPLITS, TrackDataModule  # Lightning through it: it makes Lightning importable first
from datasets.store.track_store import TrackStore

M = 20
ATTRS = {"kind": "mel", "front_end": "maest-essentia", "sample_rate": 16000}


def make_data(folder):
    """24 tracks of 5 to 120 frames; value = track * 1000 + frame; three labels; the last two tracks without any."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(5, 120, 24)
    with TrackStore.create(folder / "mel.h5", (4,), np.float32, ATTRS) as writer:
        for i, n in enumerate(lengths):
            writer.append(f"{i:02d}.flac", np.repeat(i * 1000.0 + np.arange(1, n + 1)[:, None], 4, 1).astype(np.float32))
        writer.seal()
    rows = (rng.random((24, 3)) < 0.5).astype(int)
    rows[:, 0] |= ~rows.any(1)
    rows[-2:] = 0
    truth = Groundtruth.from_rows([f"{i:02d}.mp3" for i in range(24)], list(rows), ["a", "b", "c"])
    return folder, lengths, truth


def module(data, **options):
    folder, _, truth = data
    options = {"train": truth, "val": truth, "window": M, "batch_size_train": 4, "batch_size_test": 5, **options}
    truths = {name: options.pop(name, None) for name in SPLITS}
    others = {name: options.pop(name) for name in ("teacher", "seed", "store_val") if name in options}
    return TrackDataModule(options.pop("store", folder / "mel.h5"), truths, Batching(**options), **others)


def flat(batches, name):
    return np.concatenate([np.asarray(batch[name]) for batch in batches])


def as_numbers(batches):
    return [
        {name: value.numpy().tolist() if isinstance(value, torch.Tensor) else value for name, value in batch.items()}
        for batch in batches
    ]
