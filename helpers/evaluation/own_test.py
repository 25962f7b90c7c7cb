"""The test of a trained tagger by its own head: no probe, the mean probability of each class over a track's windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from datasets.groundtruth.groundtruth import match
from datasets.loading.clips import WindowRule, samples_of
from datasets.store.track_store import TrackStore
from models.encoder import AudioEncoder

from ..metrics.scores import SystemScores

ITSELF = "the tagger itself"


def can_be_tested(network: AudioEncoder, labels: Sequence[str]) -> bool:
    """Whether the network names exactly these classes."""
    return isinstance(network, AudioEncoder) and network.has_classes and sorted(network.label_names) == sorted(labels)


def tagger_predictions(network: AudioEncoder, store: Path, keys: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    """Return the mean probability of each label, [N, L] float64, of stored tracks by the network's own head."""
    tracks = TrackStore.open(store)
    columns = [network.label_names.index(label) for label in labels]
    numbers = match(keys, tracks.names).numbers
    return np.stack([track_probabilities(network, tracks, int(number)) for number in numbers])[:, columns].astype(np.float64)


def own_scores(network: AudioEncoder, store: Path, probed: SystemScores) -> SystemScores:
    """Return the scores of the tagger itself on the tracks that a probe of it was scored on."""
    found = tagger_predictions(network, store, probed.keys, probed.labels)
    about = {"head": "the network's own", "aggregate": "mean_prob", "deterministic": True}
    empty: dict[str, object] = {"validation": {}, "history": {}, "windows": {}}
    return replace(probed, name=ITSELF, predictions=found[None], seeds=[0], settings=about, **empty)  # type: ignore[arg-type]


@torch.no_grad()
def track_probabilities(network: AudioEncoder, tracks: TrackStore, number: int, batch_size: int = 8) -> np.ndarray:
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
