"""CLMR for ex_ssl.py: two augmented crops of unlabelled waveforms, or (supervised) one crop and its track's labels."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from models.audio import find_audio
from models.clmr import SampleCNN, build
from models.clmr.augment import Augmentation
from models.clmr.objective import ContrastiveObjective, WaveformSupervised
from models.errors import ConfigError, WeightsError
from models.objective import Objective
from models.registry import get_card
from models.weights.checkpoints import read_settings, weight_file
from models.weights.locate import find_weights

log = logging.getLogger(__name__)
Config = Mapping[str, Any]
LEFT_CHANCE = 0.05  # nats below chance from which on something was learned
COLLAPSED = -1e-3  # uniformity above which all vectors point the same way: distances of some 0.02 on the unit sphere
SIZES = ("channels", "strides", "sample_rate", "head")  # of a network, that its file says


def rate(config: Config) -> int | None:
    """Hz of the waveforms that the family takes (a family of mels: None): as the config's checkpoint says, where it does."""
    path = config["clmr"]["checkpoint"]
    found = {} if path is None else read_settings(path)
    return int(found.get("sample_rate", config["clmr"]["sample_rate"]))


def sized_by_checkpoint(config: Config, path: str | Path | None) -> Config:
    """The config with the sizes of the network in `path`, where that file says them (own training checkpoints do).

    Raises WeightsError for another family's file, or one that cannot be read.
    """
    found = {} if path is None else read_settings(path)
    if found.get("family", "clmr" if not found else "maest") != "clmr":
        raise WeightsError(f"{path} holds a network of the family {found.get('family', 'maest')}: use ex_maest.py.")
    sizes = {name: found[name] for name in SIZES if name in found}
    for name in (name for name, size in sizes.items() if config["clmr"][name] != size):
        log.info("%s: clmr.%s as the file says, %s.", path, name, sizes[name])
    return {**config, "clmr": {**config["clmr"], **sizes}}


def check_classes(path: str | Path | None, labels: Sequence[str]) -> None:
    """Raise ConfigError where the network in `path` was trained on other classes than `labels`."""
    found = {} if path is None else read_settings(path)
    n, names = found.get("out_dim"), found.get("labels")
    if found and n is None:
        raise ConfigError(
            f"{path} was trained without labels: it has no classes to score. Its embeddings are scored by ex_tl.py."
        )
    if found and (n != len(labels) or (names is not None and list(names) != list(labels))):
        other = sorted(set(names or ()) ^ set(labels))[:5]
        raise ConfigError(
            f"{path} was trained on {n} classes, the groundtruth has {len(labels)}"
            + (f"; only one of the two has {', '.join(other)}" if other else "")
            + ". Name the groundtruth that it was trained with."
        )


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


def check_enough(config: Config) -> None:
    """Raise ConfigError where a folder has fewer files than a batch of all processes takes: before they are prepared."""
    c, world = config["datamodule"], _processes(config)
    if c["audio_dir"] is None or c["epoch_len"] is not None or not Path(c["audio_dir"]).is_dir():
        return
    n, size = len(find_audio(c["audio_dir"])), c["batch_size_train"]
    if 0 < n < size * world:
        most = 3 * n // 4 // world  # a share validates, and some may be too short
        fits = f"datamodule.batch_size_train={most} or less" if most > 1 and n >= 4 else "more files, four at least"
        raise ConfigError(
            f"The {n} files of {c['audio_dir']} do not fill one batch of {size}{f' on each of {world} devices' if world > 1 else ''}: "
            f"{fits}; the share that validates is not trained on."
        )


def network(config: Config, labels: Sequence[str] | None, seed: int, **changes: Any) -> SampleCNN:
    """The config's network, with `changes` of its section; random weights are drawn from `seed`.

    labels: of a supervised network. Without labels it has a head only where a file of one is named. Raises ConfigError for a head that was trained
    behind another encoder, or on another layer than the last (models/head_origin.py).
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
        exclusive=bool(c["supervised"] and c["task"] == "multiclass"),
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
    if not c["temperature"] > 0:
        raise ConfigError(
            f"clmr.temperature is {c['temperature']}: it divides similarities and must be above 0 (published: 0.5)."
        )
    settings = {name: c[name] for name in ("projection_dim", "temperature")}
    return ContrastiveObjective(net, augmentation=augmentation, group=max(size, 2), **settings)


def _validated(config: Config, n: int) -> int:
    """How many of n validation tracks trainer.limit_val_batches leaves."""
    limit, size = config["trainer"]["limit_val_batches"], config["datamodule"]["batch_size_test"] * _processes(config)
    if limit is None:
        return n
    return min(n, size * (limit if isinstance(limit, int) else int(limit * -(-n // size))))


def _groups(config: Config, n: int) -> tuple[int, float]:
    """Of n validation tracks: how many are told apart at once, and the loss of chance among them, ln(2 size - 1)."""
    size = min(max(config["datamodule"]["batch_size_train"], 2), n)
    return size, math.log(2 * size - 1) if size > 1 else math.nan


def say_validation(config: Config, n: int) -> None:
    """Log what a validation loss is to be compared with. n: validation tracks."""
    n = _validated(config, n)
    if labelled(config) or n < 2:
        return
    size, chance = _groups(config, n)
    log.info(
        "Validation: %d tracks, told apart in groups of %d; a loss of %.2f, ln(2 x %d - 1), is chance.", n, size, chance, size
    )
    if size < (batch := config["datamodule"]["batch_size_train"]):
        log.info(
            "A training batch is %d tracks, among which chance is %.2f: the two losses cannot be compared.",
            batch,
            math.log(2 * batch - 1),
        )


def warn_of_chance(config: Config, n: int, metrics: Mapping[str, float]) -> None:
    """Log where a training has not taught the network to tell tracks apart. n: validation tracks; metrics: of the last epoch."""
    n = _validated(config, n)
    if labelled(config) or n < 2 or "val_loss" not in metrics:
        return
    chance = _groups(config, n)[1]
    if metrics["val_uniformity"] > COLLAPSED:
        log.warning(
            "The network gives all tracks nearly the same vector (val_uniformity %.4f, 0 is all equal): it has collapsed. Lower optimizer.lr, or "
            "look for silent tracks (check_data).", metrics["val_uniformity"],
        )  # fmt: skip
    elif metrics["val_loss"] > chance - LEFT_CHANCE:
        log.warning(
            "The validation loss, %.3f, has not left chance (%.3f): other views of tracks are not found yet. Train longer (trainer.max_epochs), on "
            "more tracks.", metrics["val_loss"], chance,
        )  # fmt: skip


def _processes(config: Config) -> int:
    t = config["trainer"]
    return t["num_nodes"] * (t["devices"] if isinstance(t["devices"], int) else 1)


def batches(config: Config, net: SampleCNN) -> dict[str, Any]:
    """How TrackDataModule cuts and draws for this family."""
    common = {
        "window": net.window_length,
        "require": {"kind": "waveform", "sample_rate": net.sample_rate},
        "draw": "uniform",
        "drop_last": True,
    }
    return common if labelled(config) else {**common, "views": 2}
