"""music2vec for the suite: crops of unlabelled waveforms at 16 kHz, of which a moving average of the network itself makes the targets."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from datasets.loading.batching import Batching
from models.encoder import AudioEncoder
from models.music2vec import Music2Vec, build
from models.music2vec.objective import Data2Vec
from models.music2vec.recipe import FLAT, Recipe
from models.music2vec.settings import RATE
from models.objective import Objective

from ..training.lightning_module import Optimization
from .base import OF_CONFIG, RANDOM, Config, Family, Weights

log = logging.getLogger(__name__)
PLAIN = (
    "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "conv_dim", "conv_kernel", "conv_stride",
    "num_conv_pos_embeddings", "conv_pos_kernel_size", "max_seconds",
)  # fmt: skip
DROPOUTS = ("hidden_dropout", "attention_dropout")
ADAM_BETA1 = 0.9


class Music2VecFamily(Family):
    """music2vec: targets of a teacher that follows the network."""

    name = "music2vec"
    sizes = PLAIN
    classes = "out_dim"

    def labelled(self, config: Config) -> bool:
        """See Family."""
        return False

    def waveform_rate(self, config: Config) -> int | None:
        """See Family."""
        return RATE

    def network(
        self, config: Config, labels: Sequence[str] | None, seed: int, weights: Weights | str | Path = OF_CONFIG
    ) -> Music2Vec:
        """See Family. It has no classes: its vectors are scored by probes."""
        c = config.music2vec
        pretrained, checkpoint = c.pretrained, c.checkpoint
        if weights is not OF_CONFIG:
            pretrained, checkpoint = False, None if weights is RANDOM else weights
        torch.manual_seed(seed)
        settings: dict[str, Any] = {"sdpa": c.sdpa}
        if not pretrained and checkpoint is None:
            settings |= {key: getattr(c, key) for key in PLAIN} | dict.fromkeys(DROPOUTS, c.dropout)
        settings = {key: value for key, value in settings.items() if value is not None}
        return build(c.arch, pretrained, checkpoint, averaged=c.checkpoint_swa_weights, **settings)

    def objective(self, config: Config, net: AudioEncoder) -> Objective:
        """See Family."""
        assert isinstance(net, Music2Vec)
        return Data2Vec(net, Recipe(**{field.name: getattr(config.music2vec, field.name) for field in fields(Recipe)}))

    def batching(self, config: Config, net: AudioEncoder) -> Batching:
        """See Family."""
        return Batching(window=net.window_length, require=net.stored, draw="uniform", drop_last=True)

    def optimization(self, config: Config) -> Optimization:
        """See Family."""
        c = config.music2vec
        return replace(super().optimization(config), betas=(ADAM_BETA1, c.adam_beta2), eps=c.adam_eps)

    def training_notes(self, config: Config, metrics: Mapping[str, float]) -> list[str]:
        """See Family: how far targets and predictions spread, and where they have become the same everywhere."""
        if "val_target_std" not in metrics:
            return []
        spreads = {name: metrics[f"val_{name}_std"] for name in FLAT}
        flat = [name for name, least in FLAT.items() if spreads[name] < least]
        return [
            f"Masked vectors of the validation: targets spread {spreads['target']:.3f}, predictions {spreads['prediction']:.3f}.",
            *(f"Every {name} is nearly the same: the training has collapsed." for name in flat),
        ]

    def after_training(self, config: Config, n_validation: int, metrics: Mapping[str, float]) -> None:
        """See Family."""
        for number, note in enumerate(self.training_notes(config, metrics)):
            log.log(logging.INFO if number == 0 else logging.WARNING, "%s", note)


FAMILY = Music2VecFamily()
