"""musicnn for the suite: log-mels in, labels to learn from; the published networks tag and embed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from datasets.groundtruth.groundtruth import Groundtruth
from datasets.loading.batching import Batching
from models.classification import ClassificationObjective
from models.encoder import AudioEncoder
from models.musicnn import MusiCNN, build
from models.musicnn.archs import WHEEL
from models.musicnn.convert import check_wheel
from models.objective import Objective

from .base import OF_CONFIG, RANDOM, Config, Family, Purpose, Sizes, Weights

SIZES = ("input_t", "timbral", "temporal", "middle", "hidden")

PUBLISHED_LAYERS = ("timbral and temporal", "cnn1", "cnn2", "cnn3", "max_pool and mean_pool", "penultimate")


class Musicnn(Family):
    """musicnn: supervised."""

    name = "musicnn"
    sizes = SIZES

    def labelled(self, config: Config) -> bool:
        """See Family."""
        return True

    def waveform_rate(self, config: Config) -> int | None:
        """See Family."""
        return None

    def network(
        self, config: Config, labels: Sequence[str] | None, seed: int, weights: Weights | str | Path = OF_CONFIG
    ) -> MusiCNN:
        """See Family. Labels of the data that are not the weights' own have a fresh last layer."""
        c = config.musicnn
        pretrained, checkpoint = c.pretrained, c.checkpoint
        if weights is not OF_CONFIG:
            pretrained, checkpoint = False, None if weights is RANDOM else weights
        torch.manual_seed(seed)
        sizes = {name: getattr(c, name) for name in SIZES}
        return build(
            c.arch, pretrained, checkpoint, labels, c.checkpoint_swa_weights, exclusive=c.task == "multiclass", **sizes
        )  # fmt: skip

    def objective(self, config: Config, net: AudioEncoder) -> Objective:
        """See Family."""
        return ClassificationObjective(net, task=config.musicnn.task)

    def batching(self, config: Config, net: AudioEncoder) -> Batching:
        """See Family."""
        return Batching(window=net.window_length, require=net.stored, draw="uniform")

    def published_layer(self, layer: int) -> str:
        """See Family. The published tool has names for them."""
        return f"the published tool calls it {PUBLISHED_LAYERS[layer]}"

    def output_folder(self, config: Config) -> Path:
        """Return <out_dir>/<arch>."""
        return Path(config.predict.out_dir) / config.musicnn.arch

    def settings_of(self, path: str | Path | None) -> Sizes:
        """See Family. The wheel says nothing: its networks have the published sizes."""
        return {} if _is_wheel(path) else super().settings_of(path)

    def match_classes(self, config: Config, checkpoint: str | Path | None, truth: Groundtruth) -> Groundtruth:
        """See Family. A wheel's classes are those of the network that musicnn.arch names."""
        if checkpoint is None and _is_wheel(config.musicnn.checkpoint):
            return self.match_card(config.musicnn.arch, truth)
        return super().match_classes(config, checkpoint, truth)

    def check(self, config: Config, purpose: Purpose) -> None:
        """See Family. A wheel is the published one."""
        super().check(config, purpose)
        if _is_wheel(config.musicnn.checkpoint):
            check_wheel(Path(config.musicnn.checkpoint))


def _is_wheel(path: str | Path | None) -> bool:
    return path is not None and Path(path).suffix == WHEEL


FAMILY = Musicnn()
