"""What the report shows beside the scores: a few unseen tracks with what the trained network hears in them."""

from __future__ import annotations

from pathlib import Path

import torch

from datasets.groundtruth.groundtruth import Groundtruth, match
from datasets.store.track_store import TrackStore
from models.frontend import normalise
from models.maest import MAEST

from ..reports.report import Example
from .study import TRAINED


def examples(network: MAEST, store: Path, truth: Groundtruth, count: int = 3) -> list[Example]:
    """The first `count` tracks of a groundtruth that the store has, with the network's own probabilities (mean over windows)."""
    tracks, out = TrackStore.open(store), []
    rows = [i for i, number in enumerate(match(truth.keys, tracks.names).numbers) if number >= 0][:count]
    for row in rows:
        name = tracks.names[int(match([truth.keys[row]], tracks.names).numbers[0])]
        mel = tracks.read(name)
        probabilities, labels = network.predict_labels(
            normalise(torch.from_numpy(mel.T.copy()).float(), network.melspectrogram.settings), melspectrogram_input=True
        )
        seconds = len(mel) * network.hop / network.sample_rate
        out.append(Example(name, mel, seconds, labels, probabilities, truth.row(row), TRAINED))
    return out
