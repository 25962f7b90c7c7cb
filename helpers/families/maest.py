"""MAEST for the suite: log-mels in, labels (and a teacher's) to learn from; sections and key names are those of the published suite."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch

from datasets.loading.batching import Batching
from datasets.loading.norm_stats import norm_stats
from datasets.store.track_store import TrackStore
from models.encoder import AudioEncoder
from models.errors import ConfigError
from models.frontend import NORM_MEAN, NORM_STD, frames_of
from models.maest import MAEST, get_maest
from models.maest.augment import Masking, Roll
from models.maest.objective import DistillationObjective, SupervisedObjective, TeacherStudentObjective
from models.maest.patchout import tag
from models.maest.stored import FEATURES

from .base import OF_CONFIG, RANDOM, Config, Family, ProbeInputs, Purpose, Weights

log = logging.getLogger(__name__)
SIZES = ("input_f", "embed_dim", "depth", "num_heads", "distilled", "distilled_type")  # of a network, that its file says
HOP_SECONDS = 256 / 16000  # of a mel frame
DEFAULT_CLASSES = 400  # of the published archs: stands for "as many as the data has"


def compute_norm_stats(context: Any) -> dict[str, float]:
    """Mean and standard deviation of the training tracks' log-mels, as datamodule.norm takes them."""
    c = context.config.datamodule
    labelled = c.groundtruth or c.groundtruth_train or (c.base_dir is None and c.audio_dir is None)
    found = context.find_tracks(("train",) if labelled else ())
    truth = found.truths.get("train")
    mean, sd, frames = norm_stats(TrackStore.open(found.store), None if truth is None else truth.keys)
    context.print(f"{frames:,} frames. As config: datamodule.norm.norm_mean={mean:.6f} datamodule.norm.norm_std={sd:.6f}")
    context.print("Inputs become (x - norm_mean) / (2 norm_std), with the published factor 2.")
    return {"norm_mean": mean, "norm_std": sd}


class Maest(Family):
    """MAEST: supervised, teacher and student, or a teacher alone."""

    name = "maest"
    sizes = (*SIZES, "stride_f", "stride_t")

    def labelled(self, config: Config) -> bool:
        """Return whether labels are learned: a teacher's probabilities stand in their place."""
        student = config.datamodule.teacher_student
        return not (student.do and student.soft)

    def waveform_rate(self, config: Config) -> int | None:
        """See Family."""
        return None

    def network(
        self, config: Config, labels: Sequence[str] | None, seed: int, weights: Weights | str | Path = OF_CONFIG
    ) -> MAEST:
        """See Family. `labels` of the data decide the number of classes where they are known.

        The network normalises waves as datamodule.norm says, so that training, extraction and prediction agree.
        """
        c: dict[str, Any] = dict(vars(config.maest))
        if weights is not OF_CONFIG:
            c |= {"pretrained": False, "checkpoint": None if weights is RANDOM else weights}
        norm = config.datamodule.norm
        if not norm.do:
            c |= {"norm_mean": 0.0, "norm_std": 0.5}
        elif (norm.norm_mean, norm.norm_std) != (NORM_MEAN, NORM_STD):
            c |= {"norm_mean": norm.norm_mean, "norm_std": norm.norm_std}
        if not self.labelled(config):
            labels = _classes_of(self.teacher(config)) if c["checkpoint"] is None else None
        n_classes = class_count(c.pop("n_classes"), labels, c["checkpoint"])
        names = None if labels is None or all(label.isdigit() for label in labels) else labels
        input_t = c.pop("input_t") or frames_of(config.datamodule.clip_length)
        stride = (c.pop("stride_f"), c.pop("stride_t"))
        torch.manual_seed(seed)
        return get_maest(**c, n_classes=n_classes, labels=names, input_t=input_t, stride=stride)

    def objective(self, config: Config, net: AudioEncoder) -> SupervisedObjective:
        """See Family."""
        assert isinstance(net, MAEST)
        c, student = config.datamodule, config.datamodule.teacher_student
        settings: dict[str, Any] = dict(
            norm_mean=net.norm_mean,
            norm_std=net.norm_std,
            mixup_alpha=config.module.mixup_alpha,
            mixup_group=config.module.mixup_group,
            roll=Roll(**vars(c.roll)),
            masking=Masking(**vars(c.masking)),
        )
        if student.do and student.soft:
            return DistillationObjective(net, **settings)
        if student.do:
            return TeacherStudentObjective(net, threshold=student.teacher_target_threshold, **settings)
        return SupervisedObjective(net, **settings)

    def batching(self, config: Config, net: AudioEncoder) -> Batching:
        """See Family."""
        c = config.datamodule
        stored = {"sample_rate": config.dataset.sample_rate, "hop": config.dataset.hop_size, "front_end": "maest-essentia"}
        return Batching(
            window=net.window_length,
            require={"kind": "mel", **stored},
            draw="labels" if self.labelled(config) else "uniform",
            val_crops=c.val_crops,
            sample_weight_offset=c.sampler.sample_weight_offset,
            sample_weight_sum=c.sampler.sample_weight_sum,
        )

    def teacher(self, config: Config) -> str | None:
        """Return the store of the teacher's logits, where there is a teacher."""
        student = config.datamodule.teacher_student
        return student.teacher_target_base_dir if student.do else None

    def behind_last(self, net: AudioEncoder) -> int:
        """Return -1: the features behind the final norm."""
        return FEATURES

    def output_folder(self, config: Config) -> Path:
        """Return <out_dir>/<clip>sec/<patchout tag>, the tag left out without patchout."""
        folder = Path(config.predict.out_dir) / f"{config.datamodule.clip_length:g}sec"
        name = tag(vars(config.maest))
        return folder / name if name else folder

    def tokens(self, config: Config) -> tuple[str, Literal["mean", "stack"]]:
        """Return the tokens that predict.types names."""
        return config.predict.types, config.predict.reduce

    def probe_inputs(self, config: Config, net: AudioEncoder, layer: int) -> ProbeInputs:
        """See Family; of each window the tokens that report.types names."""
        seen = super().probe_inputs(config, net, layer)
        return replace(seen, types=config.report.types, reduce=config.report.reduce, token_size=net.embed_dim)

    def like_checkpoint(self, config: Config, path: str | Path | None) -> Config:
        """See Family. The length of a window is the file's too, unless datamodule.clip_length or maest.input_t were changed from their defaults,
        and the block to extract is the last one where the default is of a deeper network.
        """
        found = self.settings_of(path)
        if not found:
            return config
        stride = found.get("stride", (config.maest.stride_f, config.maest.stride_t))
        sizes = {key: found[key] for key in SIZES if key in found} | {"stride_f": stride[0], "stride_t": stride[1]}
        config = self._with_sizes(config, path, sizes)
        default = type(config)()
        maest, data, predict = config.maest, config.datamodule, config.predict
        frames = int(found.get("input_t", frames_of(data.clip_length)))
        if maest.input_t is None and data.clip_length == default.datamodule.clip_length and frames != frames_of(data.clip_length):
            clip = round(frames * HOP_SECONDS, 1)
            data = replace(data, clip_length=int(clip) if clip == int(clip) else clip)
            maest = replace(maest, input_t=frames)
            log.info("%s: windows are %g s long, as the file says.", path, data.clip_length)
        if predict.transformer_block == default.predict.transformer_block >= maest.depth:
            predict = replace(predict, transformer_block=maest.depth - 1)
            log.info("The network has %d blocks: the last one, %d, stands for the default.", maest.depth, maest.depth - 1)
        return replace(config, maest=maest, datamodule=data, predict=predict)

    def after_training(self, config: Config, n_validation: int, metrics: Mapping[str, float]) -> None:
        """Log how far a student that had no labels agrees with its teacher on recordings that it was not trained on."""
        if "val_teacher_top1" in metrics:
            log.info(
                "On %d held-out recordings, against the teacher: divergence %.4f (best constant answer %.4f), the same first class in %.0f %% "
                "(%.0f %%), mean correlation of a class %.2f.", n_validation, metrics["val_teacher_divergence"], metrics["val_constant_divergence"],
                100 * metrics["val_teacher_top1"], 100 * metrics["val_constant_top1"], metrics["val_teacher_correlation"],
            )  # fmt: skip

    def check(self, config: Config, purpose: Purpose) -> None:
        """See Family. Training from a teacher needs its logits."""
        super().check(config, purpose)
        student = config.datamodule.teacher_student
        where = student.teacher_target_base_dir
        if purpose is Purpose.TRAIN and student.do and (where is None or not Path(where).exists()):
            raise ConfigError(
                "Teacher-student training needs the teacher's logits: run extract_logits on the same tracks and name its folder in "
                "datamodule.teacher_student.teacher_target_base_dir" + (f" ({where} is not there)." if where is not None else ".")
            )


def _classes_of(teacher: str | None) -> list[str] | None:
    """Return the names of a teacher's classes, numbers where its logits do not say them; None where there are no logits."""
    if teacher is None or not Path(teacher).exists():
        return None
    store = TrackStore.open(teacher)
    return store.attrs.get("labels") or [str(k) for k in range(store.item_shape[0])]


def class_count(asked: int, labels: Sequence[str] | None, checkpoint: str | Path | None) -> int | None:
    """Return the number of classes: the data's where labels are known. None: those of the checkpoint.

    Raises ConfigError when another number was asked for on purpose.
    """
    default = asked == DEFAULT_CLASSES
    if labels is None:
        return None if default and checkpoint is not None else asked
    if len(labels) != asked and not default:
        raise ConfigError(
            f"maest.n_classes is {asked}, the groundtruth has {len(labels)} labels: set maest.n_classes={len(labels)} or leave it out."
        )
    return len(labels)


FAMILY = Maest()
