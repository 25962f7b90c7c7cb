"""What the report shows beside the scores: a few unseen tracks with what the trained network hears in them."""

from __future__ import annotations

from pathlib import Path

from datasets.groundtruth.groundtruth import Groundtruth, match
from datasets.store.track_store import TrackStore
from models.encoder import AudioEncoder

from ..reports.report import Example
from .own_test import track_probabilities
from .study import TRAINED


def examples(network: AudioEncoder, store: Path, truth: Groundtruth, mels: Path | None, count: int = 3) -> list[Example]:
    """Return the first `count` tracks of a groundtruth that the store has, with the network's own probabilities (mean over windows).

    Args:
        network: with named classes.
        store: of what the network takes.
        truth: unseen tracks.
        mels: store of log-mels of the same tracks, for the pictures; None: there are no pictures, and so no examples.
        count: how many.
    """
    if mels is None:
        return []
    tracks, pictures, out = TrackStore.open(store), TrackStore.open(mels), []
    rate = pictures.attrs["sample_rate"] / pictures.attrs["hop"]
    rows = [i for i, number in enumerate(match(truth.keys, tracks.names).numbers) if number >= 0][:count]
    for row in rows:
        number = int(match([truth.keys[row]], tracks.names).numbers[0])
        name = tracks.names[number]
        mel = pictures.read(name)
        out.append(
            Example(
                name,
                mel,
                len(mel) / rate,
                network.label_names,
                track_probabilities(network, tracks, number),
                truth.row(row),
                TRAINED,
            )
        )
    return out
