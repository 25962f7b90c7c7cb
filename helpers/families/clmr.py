"""CLMR for ex_ssl.py: two augmented crops of unlabelled waveforms, or (supervised) one crop and its track's labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from models.cards import find_weights, get_card
from models.checkpoints import weight_file
from models.clmr import SampleCNN, build
from models.clmr.augment import Augmentation
from models.clmr.objective import ContrastiveObjective, WaveformSupervised
from models.errors import ConfigError
from models.objective import Objective

Config = Mapping[str, Any]


def rate(config: Config) -> int | None:
    """Hz of the waveforms that the family trains on (a family of mels: None)."""
    return int(config["clmr"]["sample_rate"])


def labelled(config: Config) -> bool:
    """Whether training needs labels."""
    return bool(config["clmr"]["supervised"])


def check(config: Config) -> None:
    """Raise what building network and objective would raise, before hours of preparation: impossible settings, absent weights."""
    c = config["clmr"]
    with torch.device("meta"):
        objective(config, network(config, ["x", "y"], 0, pretrained=False, checkpoint=None, head_checkpoint=None))
    for path in (c["checkpoint"], c["head_checkpoint"]):
        if path is not None:
            weight_file(path)
    if c["pretrained"] and c["checkpoint"] is None:
        find_weights(get_card(c["arch"]))


def network(config: Config, labels: Sequence[str] | None, seed: int, **changes: Any) -> SampleCNN:
    """The config's network, with `changes` of its section; random weights are drawn from `seed`.

    labels: of a supervised network. Without labels it has a head only where a file of one is named.
    """
    c = {**config["clmr"], **changes}
    if labels is not None and not c["supervised"]:
        labels = None
    torch.manual_seed(seed)
    return build(
        c["arch"],
        c["pretrained"],
        c["checkpoint"],
        c["head_checkpoint"],
        out_dim=None if labels is None else len(labels),
        labels=labels,
        averaged=c["checkpoint_swa_weights"],
        channels=c["channels"],
        strides=c["strides"],
        sample_rate=c["sample_rate"],
        head=c["head"],
        supervised=c["supervised"],
    )


def objective(config: Config, net: SampleCNN) -> Objective:
    """Contrastive, or supervised. Raises ConfigError for impossible settings."""
    c, chain = config["clmr"], dict(config["augment"])
    augmentation = Augmentation(**chain) if chain.pop("do") else None
    if c["supervised"]:
        return WaveformSupervised(net, task=c["task"], augmentation=augmentation)
    size = config["datamodule"]["batch_size_train"]
    if size * _processes(config) < 2:
        raise ConfigError(
            "datamodule.batch_size_train is 1: a contrastive batch of one track has no negatives. Make it 2 or more."
        )
    settings = {name: c[name] for name in ("projection_dim", "temperature")}
    return ContrastiveObjective(net, augmentation=augmentation, group=max(size, 2), **settings)


def _processes(config: Config) -> int:
    t = config["trainer"]
    return t["num_nodes"] * (t["devices"] if isinstance(t["devices"], int) else 1)


def batches(config: Config, net: SampleCNN) -> dict[str, Any]:
    """How TrackDataModule cuts and draws for this family."""
    common = {
        "clip_frames": net.window_length,
        "require": {"kind": "waveform", "sample_rate": net.sample_rate},
        "draw": "uniform",
        "drop_last": True,
    }
    return common if labelled(config) else {**common, "views": 2}
