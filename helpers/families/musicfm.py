"""MusicFM for the suite: crops of unlabelled waveforms at 24 kHz, of which masked blocks are predicted as tokens of a frozen quantiser."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from datasets.loading.batching import Batching
from datasets.loading.datamodule import TrackDataModule
from datasets.utils.files import write_whole
from models.encoder import AudioEncoder
from models.errors import ConfigError
from models.musicfm import MusicFM25Hz, build
from models.musicfm.conformer import PUBLISHED
from models.musicfm.files import FEATURE, read_stats
from models.musicfm.network import RATE
from models.musicfm.objective import MaskedAudioObjective
from models.objective import Objective

from .base import OF_CONFIG, RANDOM, Config, Family, Weights
from .token_report import report_tokens, token_notes

DROPOUTS = ("hidden_dropout", "attention_dropout", "activation_dropout", "conformer_conv_dropout")
PLAIN = (
    "conv_dim", "encoder_dim", "encoder_depth", "max_seconds", "norm_mean", "norm_std", "num_codebooks", "codebook_size", "quantizer_seed",
    "mask_hop", "mask_prob",
)  # fmt: skip


def compute_mel_stats(context: Any) -> dict[str, float]:
    """Mean and deviation of all log-mel values in dB over one crop of each training track, as musicfm.stats takes them: mel_stats.json."""
    config, family = context.config, context.family
    found = context.find_tracks(("train",))
    net = family.network(config, None, context.seed, RANDOM)
    sizes = {"batch_size_train": config.datamodule.batch_size_train, "drop_last": False}
    data = TrackDataModule(found.store, found.truths, replace(family.batching(config, net), **sizes), seed=context.seed)
    limit = config.trainer.limit_train_batches
    batches = islice(data.train_dataloader(), limit if isinstance(limit, int) else None)
    stats = _statistics([net.preprocessor(batch["x"].float()) for batch in batches])
    path = context.folder / "mel_stats.json"
    write_whole(path, json.dumps(stats, indent=2) + "\n")
    context.print(f"{FEATURE}: mean {stats[f'{FEATURE}_mean']:.6f} dB, std {stats[f'{FEATURE}_std']:.6f} dB")
    context.print(f"As config: musicfm.stats={path}")
    return stats


class MusicFM(Family):
    """MusicFM: masked token prediction."""

    name = "musicfm"
    sizes = ("conv_dim", "encoder_dim", "encoder_depth", "max_seconds", "num_codebooks", "codebook_size")
    classes = "out_dim"

    def labelled(self, config: Config) -> bool:
        """See Family."""
        return False

    def waveform_rate(self, config: Config) -> int | None:
        """See Family."""
        return RATE

    def network(
        self, config: Config, labels: Sequence[str] | None, seed: int, weights: Weights | str | Path = OF_CONFIG
    ) -> MusicFM25Hz:
        """See Family. It has no classes: its vectors are scored by probes."""
        c = config.musicfm
        pretrained, checkpoint = c.pretrained, c.checkpoint
        if weights is not OF_CONFIG:
            pretrained, checkpoint = False, None if weights is RANDOM else weights
        torch.manual_seed(seed)
        published = pretrained or checkpoint is not None
        settings = {} if published else _arguments(config)
        if weights is OF_CONFIG and published and c.stats is not None:
            settings["statistics"] = c.stats  # of a file that says none: others refuse it
        return build(c.arch, pretrained, checkpoint, averaged=c.checkpoint_swa_weights, **settings)

    def objective(self, config: Config, net: AudioEncoder) -> Objective:
        """See Family."""
        assert isinstance(net, MusicFM25Hz)
        return MaskedAudioObjective(net, config.musicfm.noise_std)

    def batching(self, config: Config, net: AudioEncoder) -> Batching:
        """See Family."""
        return Batching(window=net.window_length, require=net.stored, draw="uniform", drop_last=True)

    def training_notes(self, config: Config, metrics: Mapping[str, float]) -> list[str]:
        """See Family: how many tokens are right, how evenly codes are used, and which codebooks say next to nothing."""
        return token_notes(metrics, self.sketch(config).settings["codebook_size"])

    def after_training(self, config: Config, n_validation: int, metrics: Mapping[str, float]) -> None:
        """See Family."""
        report_tokens(metrics, self.sketch(config).settings["codebook_size"])


def _arguments(config: Config) -> dict[str, Any]:
    """Return the arguments of MusicFM25Hz: the published ones, with what the section says in their place."""
    c = config.musicfm
    found: dict[str, Any] = {key: getattr(c, key) for key in PLAIN if getattr(c, key) is not None}
    if c.stats is not None:
        if c.norm_mean is not None or c.norm_std is not None:
            raise ConfigError("musicfm.stats is a file of mean and deviation: leave musicfm.norm_mean and musicfm.norm_std out.")
        found["norm_mean"], found["norm_std"] = read_stats(c.stats)
    blocks = {"num_attention_heads": c.num_heads, "intermediate_size": c.intermediate_size, **dict.fromkeys(DROPOUTS, c.dropout)}
    blocks = {key: value for key, value in blocks.items() if value is not None}
    width = found.get("encoder_dim")
    if width is not None:  # groups of a part that no pass uses
        groups = PUBLISHED["num_conv_pos_embedding_groups"]
        blocks["num_conv_pos_embedding_groups"] = next(g for g in range(groups, 0, -1) if width % g == 0)
    return {**found, "is_flash": c.is_flash, "conformer": blocks or None}


def _statistics(mels: Sequence[torch.Tensor]) -> dict[str, float]:
    """Return count, mean and deviation of all values [B, F, M], by the published keys. Raises ConfigError for none."""
    if not mels:
        raise ConfigError("There is no audio to measure.")
    count = sum(one.numel() for one in mels)
    mean = float(sum(one.double().sum() for one in mels)) / count
    square = float(sum((one.double() - mean).square().sum() for one in mels))
    return {f"{FEATURE}_cnt": count, f"{FEATURE}_mean": mean, f"{FEATURE}_std": (square / count) ** 0.5}


FAMILY = MusicFM()
