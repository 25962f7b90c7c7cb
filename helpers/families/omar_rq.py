"""OMAR-RQ for the suite: crops of unlabelled waveforms, of which masked spans are predicted as tokens of frozen quantisers."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datasets.loading.batching import Batching
from datasets.loading.clips import WindowRule
from datasets.loading.datamodule import TrackDataModule
from datasets.utils.files import write_whole
from models.encoder import AudioEncoder
from models.errors import ConfigError, nearest
from models.objective import Objective
from models.omar_rq import OmarRQ, build, read_gin
from models.omar_rq.archs import ARCHS, CQT_24, ENCODEC, MEL_24, PRETRAINING
from models.omar_rq.chunks import chunk_lengths, chunk_offsets
from models.omar_rq.objective import MaskedTokenObjective
from models.omar_rq.settings import FSQ, Masking, OmarSettings, settings_of
from models.omar_rq.statistics import feature_statistics, normalised, read_statistics
from models.omar_rq.targets import make_targets
from models.weights.cards import get_card
from models.weights.foreign import network_settings

from ..training.optimization import Optimization
from .base import OF_CONFIG, RANDOM, Config, Family, Purpose, Weights
from .token_report import report_tokens, token_notes

log = logging.getLogger(__name__)
TARGETS: dict[str, Mapping[str, Any]] = {"mel": MEL_24, "cqt": CQT_24, "encodec": ENCODEC}
OVERLAP, LAST_CHUNK = 0.5, 0.1  # of the published extraction
WARM_UP, STEPS, ETA_MIN = 30_000, 400_000, 1e-7  # of the published schedule, where a gin file does not say
DATA = ("AudioDataset", "AudioDataModule", "DiscotubeAudioDataModule", "train")  # bindings that are about data and trainer
ROWS = {"mel": 96, "cqt": 188, "encodec": 128, "waveform": 1}


@dataclass(frozen=True)
class ChunkRule(WindowRule):
    """The published extraction's chunks: what is left behind the last full one is one more, padded behind, where it is more than `ratio` of one."""

    rate: int = 16000
    seconds: float = 30.0
    overlap: float = OVERLAP
    ratio: float = LAST_CHUNK

    @classmethod
    def of_seconds(cls, rate: int, seconds: float, overlap: float = OVERLAP, ratio: float = LAST_CHUNK) -> ChunkRule:
        """Return the rule of chunks of `seconds` at `rate` Hz. Raises ConfigError for what makes no chunks."""
        return cls(*chunk_lengths(rate, seconds, overlap), "drop", rate, seconds, overlap, ratio)

    def plan(self, n: int) -> np.ndarray:
        """See WindowRule."""
        return _chunks(n, self)

    def left(self, valid: int) -> int:
        """See WindowRule: none."""
        return 0

    def attrs(self) -> dict[str, Any]:
        """See WindowRule. The tail is named so that no reader cuts such a track by the common rule."""
        return {**super().attrs(), "tail": "chunks", "last_chunk_ratio": self.ratio}


@lru_cache(maxsize=4096)
def _chunks(n: int, rule: ChunkRule) -> np.ndarray:
    starts = np.array(chunk_offsets(n, rule.rate, rule.seconds, rule.overlap, rule.ratio), dtype=np.int64)
    windows = np.stack([starts, np.minimum(starts + rule.length, n)], axis=1)
    windows.flags.writeable = False
    return windows


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
        said = {} if path is None else network_settings(path, "omar_rq")
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
        net = build(c.arch, pretrained, checkpoint, averaged=c.checkpoint_swa_weights, **settings)
        net.chunk_pool = c.chunk_pool
        return net

    def objective(self, config: Config, net: AudioEncoder) -> Objective:
        """See Family."""
        assert isinstance(net, OmarRQ)
        return MaskedTokenObjective(net, _targets(config, net), _masking(config))

    def batching(self, config: Config, net: AudioEncoder) -> Batching:
        """See Family."""
        return Batching(window=net.window_length, require=net.stored, draw="uniform", drop_last=True)

    def optimization(self, config: Config) -> Optimization:
        """See Family. Those of the gin file, where module.optimizer is left as it is."""
        gin, module = _gin(config), config.module
        if gin is None or module.optimizer != type(config)().module.optimizer:
            return super().optimization(config)
        return super().optimization(
            replace(config, module=replace(module, optimizer=_published_optimizer(gin, module.optimizer)))
        )

    def extraction_rule(self, config: Config, net: AudioEncoder) -> WindowRule | None:
        """See Family. Raises ConfigError for keys of chunks that no chunks are cut by, and of windows where chunks are."""
        c = config.omar_rq
        if c.overlap is None and c.chunk_seconds is None:
            if c.last_chunk_ratio is not None:
                raise ConfigError(
                    "omar_rq.last_chunk_ratio says where chunks end: set omar_rq.overlap (0: none) or chunk_seconds too."
                )
            return None
        if config.dataset.half_overlapped_inference:
            raise ConfigError("Chunks overlap as omar_rq.overlap says: leave dataset.half_overlapped_inference at False.")
        assert isinstance(net, OmarRQ)
        ratio = LAST_CHUNK if c.last_chunk_ratio is None else c.last_chunk_ratio
        return ChunkRule.of_seconds(
            net.sample_rate, c.chunk_seconds or net.max_seconds, OVERLAP if c.overlap is None else c.overlap, ratio
        )

    def check(self, config: Config, purpose: Purpose) -> None:
        """See Family. Targets and quantisers are built before a training, so that absent weights of EnCodec are found."""
        if purpose is Purpose.TRAIN:
            net = self.sketch(config)
            assert isinstance(net, OmarRQ)
            with torch.device("cpu"):
                make_targets(_targets(config, net), _masking(config))
        super().check(config, purpose)

    def before_training(self, config: Config, n_validation: int) -> None:
        """Log what of a gin file a training here does not take from it."""
        gin = _gin(config)
        if gin is not None and (unread := [name for name in DATA if gin.training.get(name)]):
            log.info(
                "%s: of its %s only the length of clips is read; datamodule and trainer say the rest.",
                config.omar_rq.gin,
                ", ".join(unread),
            )

    def training_notes(self, config: Config, metrics: Mapping[str, float]) -> list[str]:
        """See Family: how many tokens are right, how evenly codes are used, and which codebooks say next to nothing."""
        return token_notes(metrics, _masking(config).codebook_size)

    def after_training(self, config: Config, n_validation: int, metrics: Mapping[str, float]) -> None:
        """See Family."""
        report_tokens(metrics, _masking(config).codebook_size)


def _gin(config: Config) -> OmarSettings | None:
    path = config.omar_rq.gin
    return None if path is None else settings_of(read_gin(path))


def _published_optimizer(gin: OmarSettings, section: Any) -> Any:
    """Return module.optimizer as a gin file has it: AdamW, warm-up and half a cosine by updates. Raises ConfigError for what are no numbers."""
    course, params = gin.training.get("CosineAnnealingCallback", {}), gin.training.get("train", {}).get("params")
    steps = params.get("max_steps") if isinstance(params, Mapping) else None
    try:
        lr, decay, least = float(gin.masking.lr), float(gin.masking.weight_decay), float(course.get("eta_min", ETA_MIN))
        warm_up, total = int(course.get("warmup_steps", WARM_UP)), int(steps or STEPS)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            "The gin file's MaskingModel.lr and weight_decay, CosineAnnealingCallback.eta_min and warmup_steps, and max_steps of train.params "
            f"are numbers: {error}."
        ) from error
    if not lr > 0:
        raise ConfigError(f"The gin file's MaskingModel.lr is {lr}: a learning rate is above 0.")
    course = {"warm_up_steps": warm_up, "total_steps": total, "last_lr_value": least / lr}
    return replace(section, name="auto", lr=lr, adamw=True, weight_decay=decay, schedule_mode="warmup_cosine", **course)


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
    if c.statistics is not None:
        found["input"] = normalised(found["input"], read_statistics(c.statistics), c.statistics)
    found["input"] = dict(found["input"])
    norms = {"norm_mean": c.norm_mean, "norm_std": c.norm_std}
    found["input"] |= {key: value for key, value in norms.items() if value is not None}
    if c.depth is not None and gin is None:  # DeepNorm's constants go with the depth
        found |= {"alpha_deepnorm": None, "beta_deepnorm": None}
    if not c.deepnorm:
        found["use_deepnorm"] = False
    return found


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
    if c.cqt_norm is not None:
        stats["CQT"] = _mean_and_std(c.cqt_norm)
    if c.statistics is None:
        found = [normalised(one, stats, "omar_rq.cqt_norm") if one["name"] in stats else one for one in found]
    else:
        found = [one if _same(one, own) else normalised(one, stats, c.statistics) for one in found]
    return [dict(own) if _same(one, own) else one for one in found]


def _mean_and_std(given: Sequence[float]) -> dict[str, float]:
    if len(given) != 2 or not given[1] > 0:
        raise ConfigError(f"omar_rq.cqt_norm is {given}: a mean and a deviation above 0 are wanted.")
    return {"mean": given[0], "std": given[1]}


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
    if own["name"] == "MelSpectrogram" and name == "cqt":
        return {
            **CQT_24,
            "sr": own["sr"],
            "hop_len": own["hop_len"],
            "patch_size": [ROWS[name], net.representation.patch_size[1]],
        }
    if own["name"] != "Waveform" or name == "waveform":
        raise ConfigError(
            f"A network that reads {own['name']} predicts its own tokens here (mels: a CQT's too), not {name}: leave omar_rq.targets out."
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
