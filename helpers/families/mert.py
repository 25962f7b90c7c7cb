"""MERT for the suite: published encoders to extract from, to probe and to fine-tune. Their pre-training is not part of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from datasets.loading.batching import Batching
from models.encoder import AudioEncoder
from models.errors import ConfigError
from models.mert import MERT, build
from models.objective import Objective
from models.weights.cards import get_card
from models.weights.checkpoints import own_settings

from .base import OF_CONFIG, RANDOM, Config, Family, Sizes, Weights

PLAIN = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "conv_dim", "max_seconds")


class Mert(Family):
    """MERT: no training of its own."""

    name = "mert"
    sizes = PLAIN
    classes = "out_dim"

    def labelled(self, config: Config) -> bool:
        """See Family."""
        return False

    def waveform_rate(self, config: Config) -> int | None:
        """See Family: the checkpoint's, else the one of arch."""
        said = self.settings_of(config.mert.checkpoint)
        return int(said.get("sample_rate") or get_card(config.mert.arch, "mert").sample_rate)

    def network(self, config: Config, labels: Sequence[str] | None, seed: int, weights: Weights | str | Path = OF_CONFIG) -> MERT:
        """See Family. It has no classes: its vectors are scored by probes."""
        c = config.mert
        pretrained, checkpoint = c.pretrained, c.checkpoint
        if weights is not OF_CONFIG:
            pretrained, checkpoint = False, None if weights is RANDOM else weights
        torch.manual_seed(seed)
        known = PLAIN if not pretrained and checkpoint is None else ("max_seconds",)
        settings = {"sdpa": c.sdpa, **{key: getattr(c, key) for key in known if getattr(c, key) is not None}}
        if weights is RANDOM and c.checkpoint is not None:  # the network of the file, without its numbers
            settings = {**_shape_of(self.settings_of(c.checkpoint)), **settings}
        return build(c.arch, pretrained, checkpoint, averaged=c.checkpoint_swa_weights, **settings)

    def objective(self, config: Config, net: AudioEncoder) -> Objective:
        """Raises ConfigError: its pre-training is not built here."""
        raise ConfigError(
            "MERT is not pre-trained by this suite: extract with it (extract_embeddings), probe its vectors (ex_tl.py), or fine-tune it "
            "(ex_tl.py finetune). musicfm, omar_rq and music2vec pre-train."
        )

    def batching(self, config: Config, net: AudioEncoder) -> Batching:
        """See Family."""
        return Batching(window=net.window_length, require=net.stored, draw="uniform", drop_last=True)


def _shape_of(settings: Sizes) -> dict[str, Any]:
    return {name: value for name, value in own_settings(settings).items() if name not in ("out_dim", "labels", "exclusive")}


FAMILY = Mert()
