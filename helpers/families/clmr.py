"""CLMR for the suite: two augmented crops of unlabelled waveforms, or (supervised) one crop and its track's labels."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from datasets.groundtruth.groundtruth import Groundtruth
from datasets.loading.batching import Batching
from models.audio import find_audio
from models.audio import load as load_audio
from models.classification import ClassificationObjective
from models.clmr import SampleCNN, build
from models.clmr.augment import Augmentation
from models.clmr.examples import examples, probabilities
from models.clmr.objective import ContrastiveObjective, augmented
from models.encoder import AudioEncoder
from models.errors import AudioError, ConfigError
from models.objective import Objective
from models.weights.checkpoints import read_settings, weight_file

from ..data.find import demo_data
from ..reports.sounds_page import SoundsPage, write_sounds
from ..runtime.devices import count_processes
from .base import OF_CONFIG, RANDOM, Config, Family, Purpose, Weights
from .crop_lengths import check_crops

log = logging.getLogger(__name__)
LEFT_CHANCE = 0.05  # nats below chance from which on something was learned
SETTLED = 6  # steps before which running statistics of batches (momentum 0.1) are those of the start, and vectors all but alike
COLLAPSED = -1e-3  # uniformity above which all vectors point the same way: distances of some 0.02 on the unit sphere


def hear_augmentations(context: Any) -> list[str]:
    """Write wav files before and after each augmentation, and views as training draws them, with a page of players and spectrograms."""
    config, h = context.config, context.config.hear
    audio = h.audio
    if audio is None:
        music = demo_data(config.datamodule.demo_tracks)[1].parent / "audio"
        audio = music / find_audio(music)[0]
    net, settings = context.family.network(config, None, context.seed, RANDOM), Augmentation(**_chain(config))
    rate, crop = net.sample_rate, net.window_length
    of, wave = " ".join(context.named) or "the recipe", load_audio(audio, rate)
    if len(wave) < crop:
        raise AudioError(
            f"{audio} lasts {len(wave) / rate:.2f} s; a crop of {of} is {crop / rate:.2f} s long. Choose a longer recording (hear.audio), or shorter "
            "crops (clmr.strides)."
        )
    lead = f"Crops and chain of {of}: {crop / rate:.2f} s at {rate} Hz; {probabilities(settings)}."
    log.info("%s", lead)
    lead = f"{Path(audio).name}, before and after augmentation. {lead}"
    if not wave.any():
        log.warning("%s is silent: nothing will be heard but the noise step.", audio)
        lead += " This recording is silent."
    single, views = examples(wave, settings, rate, crop, h.examples, context.seed)
    groups = {"Each effect alone": single, "Views as training draws them": views}
    page = SoundsPage("What the network hears", lead, groups, asdict(settings))
    written = write_sounds(Path(h.out) if h.out else context.folder / "augmentations", rate, page)
    context.print(*map(str, written))
    return [str(path) for path in written]


class Clmr(Family):
    """CLMR: contrastive, or the supervised baseline."""

    name = "clmr"
    sizes = ("channels", "strides", "sample_rate", "head")
    classes = "out_dim"

    def labelled(self, config: Config) -> bool:
        """See Family."""
        return bool(config.clmr.supervised)

    def waveform_rate(self, config: Config) -> int | None:
        """Return the rate that the config's checkpoint says, where it does."""
        path = config.clmr.checkpoint
        found = {} if path is None else read_settings(path)
        return int(found.get("sample_rate", config.clmr.sample_rate))

    def network(
        self, config: Config, labels: Sequence[str] | None, seed: int, weights: Weights | str | Path = OF_CONFIG
    ) -> SampleCNN:
        """See Family. Without labels the network has a head only where a file of one is named.

        Raises ConfigError for a head that was trained behind another encoder, or on another layer than the last.
        """
        c = config.clmr
        pretrained, checkpoint, head = c.pretrained, c.checkpoint, c.head_checkpoint
        if weights is not OF_CONFIG:
            pretrained, checkpoint, head = False, None if weights is RANDOM else weights, None
        if labels is not None and not c.supervised:
            labels = None
        torch.manual_seed(seed)
        return build(
            c.arch,
            pretrained,
            checkpoint,
            head,
            out_dim=None if labels is None else len(labels),
            labels=labels,
            averaged=c.checkpoint_swa_weights,
            channels=c.channels,
            strides=c.strides,
            sample_rate=c.sample_rate,
            head=c.head,
            supervised=c.supervised,
            exclusive=bool(c.supervised and c.task == "multiclass"),
        )

    def objective(self, config: Config, net: AudioEncoder) -> Objective:
        """Return the contrastive objective, or the supervised one. Raises ConfigError for impossible settings."""
        assert isinstance(net, SampleCNN)
        c = config.clmr
        augmentation = Augmentation(**_chain(config)) if config.augment.do else None
        if c.supervised:
            augment = None if augmentation is None else partial(augmented, settings=augmentation, rate=net.sample_rate)
            return ClassificationObjective(net, task=c.task, augment=augment)
        size = config.datamodule.batch_size_train
        if size * count_processes(config.trainer) < 2:
            raise ConfigError(
                "datamodule.batch_size_train is 1: a contrastive batch of one track has no negatives. Make it 2 or more."
            )
        if not c.temperature > 0:
            raise ConfigError(
                f"clmr.temperature is {c.temperature}: it divides similarities and must be above 0 (published: 0.5)."
            )
        return ContrastiveObjective(
            net, augmentation=augmentation, group=max(size, 2), projection_dim=c.projection_dim, temperature=c.temperature
        )

    def match_classes(self, config: Config, checkpoint: str | Path | None, truth: Groundtruth) -> Groundtruth:
        """See Family. A head of its own brings the classes; the encoder's file has none."""
        if checkpoint is None and config.clmr.head_checkpoint is not None:
            return truth
        return super().match_classes(config, checkpoint, truth)

    def batching(self, config: Config, net: AudioEncoder) -> Batching:
        """See Family."""
        return Batching(
            window=net.window_length,
            require={"kind": "waveform", "sample_rate": net.sample_rate},
            draw="uniform",
            drop_last=True,
            views=None if self.labelled(config) else 2,
        )

    def check(self, config: Config, purpose: Purpose) -> None:
        """See Family. A folder that is trained on has enough files for a batch of all processes."""
        super().check(config, purpose)
        if config.clmr.head_checkpoint is not None:
            weight_file(config.clmr.head_checkpoint)
        if purpose is Purpose.TRAIN:
            _check_enough(config)
            self._check_crops(config)

    def _check_crops(self, config: Config) -> None:
        """Raise ConfigError, naming crops that fit, where a folder has too few files that fill a crop for a batch of all processes."""
        c = config.datamodule
        if self.labelled(config) or c.audio_dir is None or not Path(c.audio_dir).is_dir():
            return
        net = self.sketch(config)
        assert isinstance(net, SampleCNN)
        batch = c.batch_size_train * count_processes(config.trainer) if c.sampler.epoch_len is None else 0
        check_crops(net, Path(c.audio_dir), find_audio(c.audio_dir), max(batch, 4))

    def sketch(self, config: Config) -> AudioEncoder:
        """See Family. A supervised network is never without a head."""
        with torch.device("meta"):
            return self.network(config, ["x", "y"], 0, RANDOM)

    def before_training(self, config: Config, n_validation: int) -> None:
        """Log what a validation loss is to be compared with: chance among the tracks that are told apart at once."""
        n = _validated(config, n_validation)
        if self.labelled(config) or n < 2:
            return
        size, chance = _groups(config, n)
        log.info(
            "Validation: %d tracks, told apart in groups of %d; a loss of %.2f, ln(2 x %d - 1), is chance.", n, size, chance, size
        )
        if size < (batch := config.datamodule.batch_size_train):
            log.info(
                "A training batch is %d tracks, among which chance is %.2f: the two losses cannot be compared.",
                batch,
                math.log(2 * batch - 1),
            )

    def after_training(self, config: Config, n_validation: int, metrics: Mapping[str, float]) -> None:
        """Log where a training has not taught the network to tell tracks apart."""
        n = _validated(config, n_validation)
        if self.labelled(config) or n < 2 or "val_loss" not in metrics:
            return
        chance = _groups(config, n)[1]
        if metrics["val_uniformity"] > COLLAPSED and metrics.get("step", SETTLED) >= SETTLED:
            log.warning(
                "The network gives all tracks nearly the same vector (val_uniformity %.4f, 0 is all equal): it has collapsed. Lower "
                "module.optimizer.lr, or look for silent tracks (check_data).", metrics["val_uniformity"],
            )  # fmt: skip
        elif metrics["val_loss"] > chance - LEFT_CHANCE:
            log.warning(
                "The validation loss, %.3f, %s chance (%.3f): other views of tracks are not found yet. Train longer "
                "(trainer.max_epochs), on more tracks.",
                metrics["val_loss"], "is above" if metrics["val_loss"] > chance else "has not left", chance,
            )  # fmt: skip


def _chain(config: Config) -> dict[str, Any]:
    """Return the arguments of the augmentation."""
    return {key: value for key, value in vars(config.augment).items() if key != "do"}


def _check_enough(config: Config) -> None:
    """Raise ConfigError where a folder has fewer files than a batch of all processes takes: before they are prepared."""
    c, world = config.datamodule, count_processes(config.trainer)
    if c.audio_dir is None or c.sampler.epoch_len is not None or not Path(c.audio_dir).is_dir():
        return
    n, size = len(find_audio(c.audio_dir)), c.batch_size_train
    if 0 < n < size * world:
        most = 3 * n // 4 // world  # a share validates, and some may be too short
        fits = f"datamodule.batch_size_train={most} or less" if most > 1 and n >= 4 else "more files, four at least"
        raise ConfigError(
            f"The {n} files of {c.audio_dir} do not fill one batch of {size}{f' on each of {world} devices' if world > 1 else ''}: "
            f"{fits}; the share that validates is not trained on."
        )


def _validated(config: Config, n: int) -> int:
    """Return how many of n validation tracks trainer.limit_val_batches leaves."""
    limit, size = config.trainer.limit_val_batches, config.datamodule.batch_size_test * count_processes(config.trainer)
    if limit is None:
        return n
    return min(n, size * (limit if isinstance(limit, int) else int(limit * -(-n // size))))


def _groups(config: Config, n: int) -> tuple[int, float]:
    """Return, of n validation tracks, how many are told apart at once, and the loss of chance among them, ln(2 size - 1)."""
    size = min(max(config.datamodule.batch_size_train, 2), n)
    return size, math.log(2 * size - 1) if size > 1 else math.nan


FAMILY = Clmr()
