"""What the report shows beside the scores: a few unseen tracks with what the trained network hears in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from datasets.groundtruth.groundtruth import Groundtruth, match
from datasets.loading.clips import WindowRule, samples_of
from datasets.store.track_store import TrackStore
from models.encoder import AudioEncoder

from ..reports.report import Example
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
                _mean_probabilities(network, tracks, number),
                truth.row(row),
                TRAINED,
            )
        )
    return out


@torch.no_grad()
def _mean_probabilities(network: AudioEncoder, tracks: TrackStore, number: int, batch_size: int = 8) -> np.ndarray:
    """Return the mean probability [L] of each class over a stored track's windows, weighted by their valid frames."""
    length = network.window_length
    plan = WindowRule(length, length, "pad").plan(int(tracks.lengths[number]))
    network.eval()
    found = []
    for part in np.array_split(plan, -(-len(plan) // batch_size)):
        windows = tracks.read_windows(np.full(len(part), number), part[:, 0], part[:, 1], length)
        windows = samples_of(windows, tracks) if windows.ndim == 2 else windows.astype(np.float32)
        batch = network.from_stored(torch.from_numpy(windows).to(network.device))
        found.append(network.window_probabilities(batch).float().cpu().numpy())
    valid = plan[:, 1] - plan[:, 0]
    mean: np.ndarray = (np.concatenate(found) * (valid / valid.sum())[:, None]).sum(axis=0)
    return mean
