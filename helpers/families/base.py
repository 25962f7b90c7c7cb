"""Family: all that the suite asks of a family of models in order to train, test, run, probe and publish it.

A family is a folder of models/ (network, objective, conversion of weights), a module of configs/ (its section and named configs) and a module here
with one class; nothing else names it. Commands that only it has are functions of its module here, named in its module of configs/.
docs/new_family.md adds a family step by step.

Configs are instances of a script's schema (configs/): `config.trainer`, `config.datamodule`, ... and the section of the family's name.
"""

from __future__ import annotations

import abc
import enum
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from datasets.groundtruth.groundtruth import Groundtruth, listed
from datasets.loading.batching import Batching
from datasets.loading.clips import WindowRule
from models.encoder import AudioEncoder
from models.errors import ConfigError, WeightsError
from models.objective import Objective
from models.registry import family_of, get_card
from models.weights.cards import load_labels
from models.weights.checkpoints import FAMILY, HEAD, check_own_settings, is_untrained, read_settings, weight_file
from models.weights.foreign import another_family
from models.weights.locate import find_weights
from models.weights.saved_head import with_saved_head

from ..runtime.devices import resolve_accelerator
from ..training.optimization import Optimization
from .optimization import averaging, optimization

if TYPE_CHECKING:
    from ..training.averaging import AveragedWeights

log = logging.getLogger(__name__)
Config = Any  # an instance of a script's schema: helpers/ knows its attributes, configs/ its class
Sizes = Mapping[str, Any]


class Purpose(enum.Enum):
    """What a config is about to be used for."""

    TRAIN = "train"
    TEST = "test"
    USE = "use"


class Weights(enum.Enum):
    """Where a network's numbers come from, when not from a file that is named."""

    OF_CONFIG = "of the config"
    RANDOM = "random"


OF_CONFIG, RANDOM = Weights.OF_CONFIG, Weights.RANDOM


@dataclass(frozen=True)
class ProbeInputs:
    """What of stored vectors a probe sees: tokens, how several are joined, their width, and which windows of a track."""

    types: str
    reduce: Literal["mean", "stack"]
    token_size: int
    train: Literal["mean", "each", "random", "random_once"] = "mean"
    val: Literal["mean", "each", "random", "first"] = "mean"
    test: Literal["mean", "each", "first"] = "mean"


class Family(abc.ABC):
    """One family of models. The methods read configs and files; they never change either.

    Attributes:
        name: folder of models/, section of the config, and `family` of every checkpoint and export.
        sizes: keys of the section that a weight file says of itself.
        classes: the key of a weight file's settings that holds the number of classes.
    """

    name: str
    sizes: tuple[str, ...] = ()
    classes: str = "n_classes"

    # ---- what it needs
    def section(self, config: Config) -> Any:
        """The family's section of a config. Raises ConfigError where the config has none."""
        if not hasattr(config, self.name):
            raise ConfigError(
                f"The family's name is {self.name}, and this config has no section of that name (configs/{self.name}.py)."
            )
        return getattr(config, self.name)

    @abc.abstractmethod
    def labelled(self, config: Config) -> bool:
        """Return whether training needs labels."""

    @abc.abstractmethod
    def waveform_rate(self, config: Config) -> int | None:
        """Return the rate of the waveforms that the family reads in Hz; None: it reads mels."""

    # ---- from the config to objects
    @abc.abstractmethod
    def network(
        self, config: Config, labels: Sequence[str] | None, seed: int, weights: Weights | str | Path = OF_CONFIG
    ) -> AudioEncoder:
        """Return the config's network; random numbers are drawn from `seed`.

        Args:
            config: of the experiment.
            labels: names of the classes of the data; None: those of the weights, or of the config.
            seed: of random weights.
            weights: those that the config names, random ones, or those of a file.
        """

    def in_use(self, config: Config, seed: int) -> AudioEncoder:
        """Return the config's network as commands use it: with the head of its checkpoint's fine-tuning.

        Without it where another head, or a fresh one, is asked for.
        """
        build, section = partial(self.network, config, None, seed), self.section(config)
        another = getattr(section, "head_checkpoint", None) is not None or getattr(section, "checkpoint_discard_head", False)
        if section.checkpoint is None or another:
            return build()
        return with_saved_head(build, section.checkpoint, getattr(section, "checkpoint_swa_weights", True))

    @abc.abstractmethod
    def objective(self, config: Config, net: AudioEncoder) -> Objective:
        """Return what the network learns by. Raises ConfigError for impossible settings."""

    @abc.abstractmethod
    def batching(self, config: Config, net: AudioEncoder) -> Batching:
        """Return how tracks become the network's batches; sizes, and what the sections datamodule and dataset say, are filled in later."""

    def extraction_rule(self, config: Config, net: AudioEncoder) -> WindowRule | None:
        """Return how extraction cuts tracks into windows; None: as the sections dataset and datamodule say, like every family."""
        return None

    def teacher(self, config: Config) -> str | None:
        """Return the store of a teacher's logits that batches carry; None: there is none."""
        return None

    def optimization(self, config: Config) -> Optimization:
        """Return optimiser and schedule."""
        return optimization(config.module.optimizer, config.trainer, config.datamodule.batch_size_train)

    def averaging(self, config: Config) -> AveragedWeights | None:
        """Return the averaging of weights, or None."""
        return averaging(config.module)

    def layers(self, config: Config, net: AudioEncoder) -> tuple[int, ...]:
        """Return predict.transformer_block as layers of the network: 0-based blocks; -1, as published: what stands behind the last one.

        Raises ConfigError for a block that the network has not.
        """
        chosen = config.predict.transformer_block
        asked = [chosen] if isinstance(chosen, int) else list(chosen)
        if wrong := [block for block in asked if not -1 <= block < net.depth]:
            raise ConfigError(
                f"predict.transformer_block asks for {wrong}: this network has blocks 0..{net.depth - 1}, and -1 for what stands behind the last."
            )
        if not asked:
            raise ConfigError("predict.transformer_block is an empty list: name at least one block.")
        return tuple(dict.fromkeys(self.behind_last(net) if block == -1 else block for block in asked))

    def published_layer(self, layer: int) -> str:
        """Return what publications call a layer: of most, a block that some of them count from 1."""
        return f"published pages that count from 1 call it layer {layer + 1}"

    def behind_last(self, net: AudioEncoder) -> int:
        """Return the layer that -1 stands for: the last block, unless a family keeps something else behind it."""
        return net.depth - 1

    def output_folder(self, config: Config) -> Path:
        """Return where extraction writes."""
        return Path(config.predict.out_dir)

    def tokens(self, config: Config) -> tuple[str, Literal["mean", "stack"]]:
        """Return which tokens of a stored vector `similar` compares, and how several are joined: of a single vector there is nothing to choose."""
        return "t", "mean"

    def probe_inputs(self, config: Config, net: AudioEncoder, layer: int) -> ProbeInputs:
        """Return what of a layer's stored vectors the report's probe sees: the windows that report.data names, and of each all of its vector."""
        r = config.report.data
        width = net.summary_shapes([layer])[layer][-1]
        return ProbeInputs("t", "mean", width, r.train_windows, r.val_windows, r.test_windows)

    # ---- weights
    def weights_name(self, config: Config) -> str | None:
        """Return where the config's weights come from; None: they are random (of a file too, that says so)."""
        section = self.section(config)
        if section.checkpoint is not None and is_untrained(section.checkpoint):
            return None
        return section.checkpoint or (section.arch if section.pretrained else None)

    def settings_of(self, path: str | Path | None) -> Sizes:
        """Return what the network in a weight file was built with; {} for no file, and for one that does not say.

        Raises WeightsError for a file of another family.
        """
        if path is None:
            return {}
        settings = read_settings(path)
        # a file that says nothing is judged by who builds a network of it
        found = settings.get(FAMILY) or (family_of(path) if settings else self.name)
        check_own_settings(settings, found, str(path))
        if found != self.name:
            raise WeightsError(another_family(path, found, self.name))
        return settings

    def like_checkpoint(self, config: Config, path: str | Path | None) -> Config:
        """Return the config with the sizes of the network in a weight file, where that says them (own checkpoints and exports do).

        Raises ConfigError for sizes that the config changes to others than the file's, WeightsError for another family's file.
        """
        found = self.settings_of(path)
        sizes = {key: found[key] for key in self.sizes if key in found}
        return self._with_sizes(config, path, sizes) if sizes else config

    def _with_sizes(self, config: Config, path: str | Path | None, sizes: Sizes) -> Config:
        section, default = self.section(config), self.section(type(config)())
        wrong = [key for key, size in sizes.items() if getattr(section, key) not in (size, getattr(default, key))]
        if wrong:
            raise ConfigError(
                f"{path} holds another network than the config asks for: "
                + ", ".join(
                    f"{self.name}.{key} is {sizes[key]!r} in the file, {getattr(section, key)!r} in the config" for key in wrong
                )
                + ". Leave these (or the named config that sets them) out: the file says what it holds."
            )
        changed = [key for key, size in sizes.items() if getattr(section, key) != size]
        for key in changed:
            log.info("%s: %s.%s is %s, as the file says.", path, self.name, key, sizes[key])
        return replace(config, **{self.name: replace(section, **sizes)})

    def match_classes(self, config: Config, checkpoint: str | Path | None, truth: Groundtruth) -> Groundtruth:
        """Return the groundtruth with its labels in the order of the classes of the network that is tested.

        Args:
            config: names the weights, where no checkpoint is given.
            checkpoint: that is tested.
            truth: of the test tracks.

        Raises ConfigError where the network was trained on other classes, naming up to five of them, or on none.
        """
        section = self.section(config)
        path = checkpoint or section.checkpoint
        found = dict(self.settings_of(path))
        if HEAD in found:
            raise ConfigError(
                f"{path} was fine-tuned (ex_tl.py finetune), which has tested it: scores.json of its run. What it says of recordings is given by "
                "predict and extract_logits."
            )
        if not found and path is None and section.pretrained:
            return self.match_card(section.arch, truth)
        if not found:
            return truth
        names = found.get("labels")
        n = found.get(self.classes, None if names is None else len(names))
        if n is None:
            raise ConfigError(
                f"{path} was trained without labels: it has no classes to score. Its embeddings are scored by a probe."
            )
        return _match_names(str(path), names, n, truth)

    def match_card(self, name: str, truth: Groundtruth) -> Groundtruth:
        """Return the groundtruth with its labels in the order of a published model's classes, where its card names them.

        Raises ConfigError for other labels.
        """
        labels = get_card(name).labels
        if labels is None:
            return truth
        return _match_names(name, load_labels(labels), len(load_labels(labels)), truth)

    # ---- what can be refused before hours of work
    def check(self, config: Config, purpose: Purpose) -> None:
        """Raise what building and placing the network would raise: impossible settings, absent weights, a GPU that is not there.

        With Purpose.TRAIN also what its objective, optimiser and averaging would raise.
        """
        if purpose is Purpose.TEST and not self.labelled(config):
            raise ConfigError(
                "test scores a network that was trained on labels: this config trains without. Its embeddings are scored by a probe."
            )
        resolve_accelerator(config.trainer.accelerator, config.trainer.devices)
        net = self.sketch(config)
        if purpose is Purpose.TRAIN:
            with torch.device("meta"):
                self.objective(config, net)
            self.optimization(config)
            self.averaging(config)
        section = self.section(config)
        if section.checkpoint is not None:
            weight_file(section.checkpoint)
            self.settings_of(section.checkpoint)
        elif section.pretrained:
            find_weights(get_card(section.arch))

    def sketch(self, config: Config) -> AudioEncoder:
        """Return the config's network on the meta device: its sizes, without numbers."""
        with torch.device("meta"):
            return self.network(config, None, 0, RANDOM)

    # ---- around a training
    def before_training(self, config: Config, n_validation: int) -> None:  # noqa: B027 (most families have nothing to say)
        """Log what the curves are to be compared with. n_validation: tracks that validate."""

    def training_notes(self, config: Config, metrics: Mapping[str, float]) -> list[str]:
        """Return sentences on what a training has learned, for its report. metrics: of the last epoch."""
        return []

    def after_training(self, config: Config, n_validation: int, metrics: Mapping[str, float]) -> None:  # noqa: B027
        """Log where the training has not taught anything. metrics: of the last epoch, with `step`, the optimiser steps taken."""


def _match_names(source: str, names: Sequence[str] | None, n: int, truth: Groundtruth) -> Groundtruth:
    """Return the groundtruth in the order of a network's n classes. Raises ConfigError where they are not the data's."""
    if names is not None and sorted(names) == sorted(truth.labels):
        return truth.with_labels(list(names))
    unnamed = names is None or all(label.isdigit() for label in truth.labels)
    if n == truth.n_labels and unnamed:
        return truth
    other = sorted(set(names or ()) ^ set(truth.labels))
    raise ConfigError(
        f"{source} was trained on {n} classes, the groundtruth has {truth.n_labels}"
        + (f"; only one of the two has {listed(other, 5)}" if other and names is not None else "")
        + ". Name the groundtruth that it was trained with."
    )
