"""Found tracks as batches."""

from __future__ import annotations

from datasets.loading.batching import Batching
from datasets.loading.datamodule import TrackDataModule

from ..data.find import Tracks
from ..families.base import Config


def make_data_module(found: Tracks, batching: Batching, config: Config, seed: int) -> TrackDataModule:
    """Return the found tracks as a data module: windows and draws as the family says, sizes as the config does."""
    raise NotImplementedError
