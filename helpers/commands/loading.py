"""Found tracks as batches."""

from __future__ import annotations

from dataclasses import replace

from datasets.groundtruth.groundtruth import Groundtruth
from datasets.loading.datamodule import TrackDataModule
from models.encoder import AudioEncoder

from ..data.find import Tracks
from ..families.base import Config, Family


def make_data_module(family: Family, config: Config, net: AudioEncoder, found: Tracks, seed: int) -> TrackDataModule:
    """Return the found tracks as a data module: windows and draws as the family says, sizes as the config does."""
    c = config.datamodule
    batching = replace(
        family.batching(config, net),
        batch_size_train=c.batch_size_train,
        batch_size_test=c.batch_size_test,
        num_workers=c.num_workers,
        sampler_replace=c.sampler.sampler_replace,
        epoch_len=c.sampler.epoch_len,
        half_overlap=config.dataset.half_overlapped_inference,
        tail=c.tail,
    )
    teacher, truths = family.teacher(config), found.truths
    if teacher is not None and not family.labelled(config):  # the teacher's classes are not those of the data
        truths = {split: Groundtruth.unlabelled(truth.keys, truth.split) for split, truth in truths.items()}
    return TrackDataModule(found.store, truths, batching, store_val=found.store_val, teacher=teacher, seed=seed)
