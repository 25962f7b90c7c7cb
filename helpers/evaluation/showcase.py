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
        name = tracks.names[int(match([truth.keys[row]], tracks.names).numbers[0])]
        mel = pictures.read(name)
        out.append(
            Example(name, mel, len(mel) / rate, network.label_names, _hear(network, tracks, name), truth.row(row), TRAINED)
        )
    return out


@torch.no_grad()
def _hear(network: AudioEncoder, tracks: TrackStore, name: str) -> np.ndarray:
    """Return the mean probability [L] of each class over a stored track's windows, weighted by their valid frames."""
    track = tracks.read(name)
    track = samples_of(track, tracks) if track.ndim == 1 else track.astype(np.float32)
    plan = WindowRule(network.window_length, network.window_length, "pad").plan(len(track))
    windows = np.zeros((len(plan), network.window_length, *track.shape[1:]), np.float32)
    for window, (start, stop) in zip(windows, plan):
        window[: stop - start] = track[start:stop]
    network.eval()
    probabilities = network.window_probabilities(network.from_stored(torch.from_numpy(windows).to(network.device)))
    weights = (plan[:, 1] - plan[:, 0]) / (plan[:, 1] - plan[:, 0]).sum()
    mean: np.ndarray = (weights[:, None] * probabilities.float().cpu().numpy()).sum(axis=0)
    return mean
