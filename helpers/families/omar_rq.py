"""OMAR-RQ for the suite: crops of unlabelled waveforms, of which masked spans are predicted as tokens of frozen quantisers."""

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
from models.errors import ConfigError, nearest
from models.objective import Objective
from models.omar_rq import OmarRQ, build, read_gin
from models.omar_rq.archs import ARCHS, CQT_24, ENCODEC, MEL_24, PRETRAINING
from models.omar_rq.objective import MaskedTokenObjective
from models.omar_rq.settings import FSQ, Masking, OmarSettings, settings_of
from models.omar_rq.statistics import feature_statistics, read_statistics
from models.omar_rq.targets import make_targets
from models.weights.cards import get_card
from models.weights.checkpoints import network_settings

from .base import OF_CONFIG, RANDOM, Config, Family, Purpose, Weights
from .token_report import report_tokens

TARGETS: dict[str, Mapping[str, Any]] = {"mel": MEL_24, "cqt": CQT_24, "encodec": ENCODEC}
ROWS = {"mel": 96, "cqt": 188, "encodec": 128, "waveform": 1}


def compute_norm_stats(context: Any) -> dict[str, dict[str, float]]:
    """Mean and deviation of input and targets over one crop of each training track, as omar_rq.statistics takes them: statistics.json."""
    config, family = context.config, context.family
    found = context.find_tracks(("train",))
    net = family.network(config, None, context.seed, RANDOM)
    targets, _ = make_targets(_targets(config, net), _masking(config))
    representations = {type(one).__name__: one for one in (net.representation, *targets)}
    sizes = {"batch_size_train": config.datamodule.batch_size_train, "drop_last": False}
    data = TrackDataModule(found.store, found.truths, replace(family.batching(config, net), **sizes), seed=context.seed)
    limit = config.trainer.limit_train_batches
    batches = islice(data.train_dataloader(), limit if isinstance(limit, int) else None)
    stats = feature_statistics(representations, (net.wave(batch["x"].float()) for batch in batches))
    path = context.folder / "statistics.json"
    write_whole(path, json.dumps(stats, indent=2) + "\n")
    context.print(*(f"{name}: mean {one['mean']:.6f}, std {one['std']:.6f}" for name, one in stats.items()))
    context.print(f"As config: omar_rq.statistics={path}")
    return stats


class OmarRq(Family):
    """OMAR-RQ: masked token prediction."""

    name = "omar_rq"
    sizes = ("embed_dim", "depth", "num_heads", "max_seconds", "audio_rate")
    classes = "out_dim"

    def labelled(self, config: Config) -> bool:
        """See Family."""
        return False

    def waveform_rate(self, config: Config) -> int | None:
        """Return the rate of the network's audio, which its checkpoint says where it is one of this suite."""
        path = config.omar_rq.checkpoint
        said = {} if path is None else network_settings(path)
        found = said or _arguments(config)
        return int(found.get("audio_rate") or found["input"].get("sr", 16000))

    def network(
        self, config: Config, labels: Sequence[str] | None, seed: int, weights: Weights | str | Path = OF_CONFIG
    ) -> OmarRQ:
        """See Family. It has no classes: its vectors are scored by probes."""
        c = config.omar_rq
        pretrained, checkpoint = c.pretrained, c.checkpoint
        if weights is not OF_CONFIG:
            pretrained, checkpoint = False, None if weights is RANDOM else weights
        torch.manual_seed(seed)
        settings = {} if pretrained or checkpoint is not None else _arguments(config)
        return build(c.arch, pretrained, checkpoint, averaged=c.checkpoint_swa_weights, **settings)

    def objective(self, config: Config, net: AudioEncoder) -> Objective:
        """See Family."""
        assert isinstance(net, OmarRQ)
        return MaskedTokenObjective(net, _targets(config, net), _masking(config))

    def batching(self, config: Config, net: AudioEncoder) -> Batching:
        """See Family."""
        return Batching(window=net.window_length, require=net.stored, draw="uniform", drop_last=True)

    def check(self, config: Config, purpose: Purpose) -> None:
        """See Family. Targets and quantisers are built before a training, so that absent weights of EnCodec are found."""
        if purpose is Purpose.TRAIN:
            net = self.sketch(config)
            assert isinstance(net, OmarRQ)
            with torch.device("cpu"):
                make_targets(_targets(config, net), _masking(config))
        super().check(config, purpose)

    def after_training(self, config: Config, n_validation: int, metrics: Mapping[str, float]) -> None:
        """See Family."""
        report_tokens(metrics, _masking(config).codebook_size)


def _gin(config: Config) -> OmarSettings | None:
    path = config.omar_rq.gin
    return None if path is None else settings_of(read_gin(path))


def _arch(config: Config) -> str:
    return get_card(config.omar_rq.arch, "omar_rq").name


def _arguments(config: Config) -> dict[str, Any]:
    """Return the arguments of OmarRQ: of the gin file or the arch, with what the section says in their place."""
    c, gin = config.omar_rq, _gin(config)
    if gin is None:
        found = dict(ARCHS[_arch(config)])
    else:
        found = {**gin.conformer, "input": dict(gin.input), "max_seconds": gin.seconds}
    said = {key: getattr(c, key) for key in ("embed_dim", "depth", "num_heads", "dropout", "max_seconds", "audio_rate")}
    found |= {key: value for key, value in said.items() if value is not None}
    stats = {} if c.statistics is None else read_statistics(c.statistics)
    found["input"] = _normalised(dict(found["input"]), stats)
    norms = {"norm_mean": c.norm_mean, "norm_std": c.norm_std}
    found["input"] |= {key: value for key, value in norms.items() if value is not None}
    if c.depth is not None and gin is None:  # DeepNorm's constants go with the depth
        found |= {"alpha_deepnorm": None, "beta_deepnorm": None}
    if not c.deepnorm:
        found["use_deepnorm"] = False
    return found


def _normalised(settings: dict[str, Any], stats: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Return a representation's settings with the measured statistics, where there are any of it."""
    one = stats.get(settings["name"])
    return settings if one is None else {**settings, "norm_mean": one["mean"], "norm_std": one["std"]}


def _targets(config: Config, net: OmarRQ) -> list[dict[str, Any]]:
    """Return the settings of the target representations."""
    c, gin, own = config.omar_rq, _gin(config), net.settings["input"]
    if c.targets is None:
        chosen = gin.targets if gin is not None else PRETRAINING[_arch(config)][0]
        found = [dict(one) for one in chosen]
    else:
        found = [_target(name, net) for name in c.targets]
        if not found:
            raise ConfigError("omar_rq.targets is an empty list: there is nothing to predict.")
    for one in found:
        if one["name"] == "EnCodec" and c.encodec is not None:
            one["weights_path"] = c.encodec
    stats = {} if c.statistics is None else read_statistics(c.statistics)
    return [dict(own) if _same(one, own) else _normalised(one, stats) for one in found]


def _same(one: Mapping[str, Any], own: Mapping[str, Any]) -> bool:
    """Return whether a target is the input itself: of its class, and as fine."""
    sizes = ("name", "sr", "hop_len", "patch_size")
    return [one.get(key) for key in sizes] == [own.get(key) for key in sizes]


def _target(name: str, net: OmarRQ) -> dict[str, Any]:
    own = net.settings["input"]
    if name not in ROWS:
        raise ConfigError(f"omar_rq.targets names '{name}'; choose {', '.join(ROWS)}.{nearest(name, ROWS)}")
    if name == {"MelSpectrogram": "mel", "Waveform": "waveform"}.get(own["name"]):
        return dict(own)
    if own["name"] != "Waveform" or name == "waveform":
        raise ConfigError(
            f"A network that reads {own['name']} predicts its own tokens here, not {name}: leave omar_rq.targets out."
        )
    frames = net.representation.patch_size[1] / TARGETS[name].get("hop_len", 320)
    if frames != int(frames):
        raise ConfigError(f"A patch of {net.representation.patch_size[1]} samples is no whole number of frames of {name}.")
    return {**TARGETS[name], "patch_size": [ROWS[name], int(frames)]}


def _masking(config: Config) -> Masking:
    """Return what is masked and predicted: of the gin file or the arch, with what the section says in their place."""
    c, gin = config.omar_rq, _gin(config)
    base = gin.masking if gin is not None else Masking(**PRETRAINING[_arch(config)][1])
    said = {
        "num_codebooks": c.num_codebooks,
        "codebook_size": c.codebook_size,
        "quantizer_type": c.quantizer,
        "levels": c.levels,
        "mask_seconds": c.mask_seconds,
        "mask_prob": c.mask_prob,
        "masking_noise_type": c.noise,
        "seed": c.quantizer_seed or None,
    }
    changed = {key: value for key, value in said.items() if value is not None}
    if changed.get("quantizer_type", base.quantizer_type) != FSQ and "levels" in changed:
        raise ConfigError("omar_rq.levels belongs to the finite_scalar_quantizer: set omar_rq.quantizer.")
    return replace(base, **changed)


FAMILY = OmarRq()
