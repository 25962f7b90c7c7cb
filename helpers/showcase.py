"""What the report shows beside the scores: both networks' embeddings, and a few test tracks with what the trained one hears in them."""

from __future__ import annotations

from pathlib import Path

import torch

from datasets.groundtruth import Groundtruth, match
from datasets.store import TrackStore
from models.frontend import normalise
from models.maest import MAEST

from .extract import extract_embeddings
from .report import Example

TRAINED, UNTRAINED = "pre-trained", "untrained"


def embed_both(trained: MAEST, untrained: MAEST, store: Path, out: Path, block: int, batch_size: int) -> dict[str, Path]:
    """Embeddings of one block of both networks, for every track of the store: system name -> its store."""
    paths = {}
    for name, net in ((TRAINED, trained), (UNTRAINED, untrained)):
        done = extract_embeddings(net, store, out / name, [block], model=name, batch_size=batch_size)
        paths[name] = done.paths[block]
    return paths


def examples(network: MAEST, store: Path, truth: Groundtruth, count: int = 3) -> list[Example]:
    """The first `count` tracks of a groundtruth that the store has, with the network's own probabilities (mean over windows)."""
    tracks, out = TrackStore.open(store), []
    rows = [i for i, number in enumerate(match(truth.keys, tracks.names).numbers) if number >= 0][:count]
    for row in rows:
        name = tracks.names[int(match([truth.keys[row]], tracks.names).numbers[0])]
        mel = tracks.read(name)
        probabilities, labels = network.predict_labels(
            normalise(torch.from_numpy(mel.T.copy()).float()), melspectrogram_input=True
        )
        seconds = len(mel) * network.hop / network.sample_rate
        out.append(Example(name, mel, seconds, labels, probabilities, truth.row(row), TRAINED))
    return out
