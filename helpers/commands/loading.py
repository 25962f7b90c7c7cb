"""Found tracks as batches."""

from __future__ import annotations

from datasets.loading.batching import Batching
from datasets.loading.datamodule import TrackDataModule

from ..data.find import Tracks
from ..families.base import Config


def make_data_module(found: Tracks, batching: Batching, config: Config, seed: int) -> TrackDataModule:
    """Return the found tracks as a data module: windows and draws as the family says, sizes as the config does."""
    c, b = config.datamodule, batching
    return TrackDataModule(
        found.store,
        **{f"groundtruth_{split}": truth for split, truth in found.truths.items()},
        store_val=found.store_val,
        clip_frames=b.window,
        require=b.require,
        batch_size_train=c.batch_size_train,
        batch_size_test=c.batch_size_test,
        num_workers=c.num_workers,
        seed=seed,
        sample_weight_offset=b.sample_weight_offset,
        sample_weight_sum=b.sample_weight_sum,
        sampler_replace=c.sampler.sampler_replace,
        epoch_len=c.sampler.epoch_len,
        draw=b.draw,
        drop_last=b.drop_last,
        views=b.views,
        half_overlap=config.dataset.half_overlapped_inference,
        tail=c.tail,
        teacher=b.teacher,
    )
