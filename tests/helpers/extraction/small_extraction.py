"""A small network and a store of mels, and what an extraction wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from datasets.store.track_store import TrackStore
from models.maest import MAEST

LENGTH, WIDTH, CLASSES = 48, 16, 5
ATTRS = {"kind": "mel", "front_end": "maest-essentia", "sample_rate": 16000, "hop": 256}
FRAMES = (48, 100, 20, 53, 240, 3, 96, 49)  # one window, several, short ones, with and without a tail worth a window


def network(seed: int = 0, **more) -> MAEST:
    torch.manual_seed(seed)
    settings = {"input_t": LENGTH, "n_classes": CLASSES, "embed_dim": WIDTH, "depth": 3, "num_heads": 2, **more}
    return MAEST(**settings).eval()


def mel_store(folder: Path, frames=FRAMES, attrs=ATTRS, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    path = folder / "mels.h5"
    with TrackStore.create(path, (96,), "float16", attrs) as writer:
        for i, n in enumerate(frames):
            writer.append(f"a/{i}.flac", (4 * rng.random((n, 96))).astype(np.float16))
        writer.seal()
    return path


def content(folder: Path) -> dict[str, list]:
    stores = {path.relative_to(folder).as_posix(): TrackStore.open([path]) for path in sorted(folder.rglob("*.h5"))}
    return {key: [(name, store.read(name).tobytes()) for name in store.names] for key, store in stores.items()}
