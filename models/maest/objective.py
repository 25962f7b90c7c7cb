"""MAEST's training objectives on batches of raw log-mels: supervised labels, labels plus a teacher, and a teacher alone.

Order of what happens to a training batch, on its device: roll (raw log-mel, so that what wraps round is music), normalise, mask,
mixup. Masking fills with 0 AFTER the normalisation (the mean of the training corpus, not silence; padding is silence, raw 0).
Masks belong to an item, and mixup to the pair: an item is masked before it is mixed, as in the published suite, whose masking is
part of its data section and whose mixup of its training module.

Letters: B items, F mel bands, T frames, L labels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ..errors import ConfigError
from ..frontend import NORM_MEAN, NORM_STD
from ..objective import Batch, Objective
from ..randomness import Randomness
from .agreement import agreement, of_recordings
from .augment import Masking, Mix, Roll, draw_mix, mask, roll


class SupervisedObjective(Objective):
    """Binary cross-entropy of a network's logits against multi-hot labels.

    net: called as net(x [B, 1, F, T], generator=...) -> (logits [B, L], ...). norm_mean, norm_std: of the training corpus; inputs
    become (x - norm_mean) / (2 norm_std) unless `norm` is off (stores that hold normalised mels). mixup_alpha: of Beta(alpha,
    alpha), 0: no mixup. mixup_group: draws that mix among each other (none: each device's whole batch).
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        norm: bool = True,
        norm_mean: float = NORM_MEAN,
        norm_std: float = NORM_STD,
        mixup_alpha: float = 0.3,
        mixup_group: int | None = None,
        roll: Roll | None = None,
        masking: Masking | None = None,
    ) -> None:
        super().__init__(net)
        if norm and not norm_std > 0:
            raise ConfigError(f"norm_std is {norm_std}; a standard deviation is above 0 (`compute_norm_stats` measures it).")
        if mixup_alpha < 0:
            raise ConfigError(f"mixup_alpha is {mixup_alpha}; it is 0 (no mixup) or more.")
        if mixup_group is not None and mixup_group < 2:
            raise ConfigError(f"mixup_group is {mixup_group}; a group that mixes has 2 or more items (none: the whole batch).")
        self.norm, self.norm_mean, self.norm_std = norm, norm_mean, norm_std
        self.mixup_alpha, self.mixup_group = mixup_alpha, mixup_group
        self.roll, self.masking = roll or Roll(), masking or Masking()
        self._check(net)

    def _check(self, net: nn.Module) -> None:
        if getattr(net, "distilled_type", "mean") == "separated":
            raise ConfigError(
                "This network has separated heads (distilled_type 'separated'), whose second head only a teacher trains: "
                "set datamodule.teacher_student.do=true (and soft=false), or maest.distilled_type=mean."
            )

    # ---- inputs
    def normalise(self, x: Tensor) -> Tensor:
        """Raw log-mels [B, F, T] of any floating type as float32, z-normalised with the factor 2 of the published models."""
        return x.to(torch.float32, copy=True).sub_(self.norm_mean).div_(2.0 * self.norm_std) if self.norm else x.float()

    def augment(self, batch: Batch, rng: Randomness) -> tuple[Tensor, Mix | None]:
        """The network's training input [B, F, T] and how it was mixed (none: it was not)."""
        x, draws = batch["x"], batch["draw"].tolist()
        if self.roll.do:
            x = roll(x, self.roll, draws, rng)
        x = self.normalise(x)
        if self.masking.do:
            x = mask(x, self.masking, draws, rng)
        if self.mixup_alpha == 0:
            return x, None
        mix = draw_mix(self.mixup_alpha, draws, rng, self.mixup_group, x.device)
        return mix(x), mix

    def _forward(self, x: Tensor, rng: Randomness, net: nn.Module | None = None) -> tuple[Tensor, ...]:
        # patchout and time offset are one draw per batch, the same on every process: drawn on the CPU, where all devices agree
        return (net or self.net)(x[:, None], generator=rng.torch("network"))

    # ---- training
    def training_step(self, batch: Batch, rng: Randomness) -> dict[str, Tensor]:
        """{"loss"}: mean over items and labels. Batch: x [B, F, T] raw log-mel, y [B, L], draw [B]."""
        x, mix = self.augment(batch, rng)
        return self.loss(self._forward(x, rng), batch, mix)

    def loss(self, outputs: tuple[Tensor, ...], batch: Batch, mix: Mix | None) -> dict[str, Tensor]:
        """{"loss"}: the outputs against the batch's labels, mixed as the inputs were."""
        return {"loss": _bce(outputs[0], _mixed(batch["y"], mix))}

    # ---- validation
    def validate(self, batch: Batch, net: nn.Module | None = None) -> dict[str, Tensor]:
        """Scores of fixed windows, without augmentation. Batch: x [B, F, T] raw log-mel, y [B, L], index, window and valid [B]."""
        outputs = (net or self.net)(self.normalise(batch["x"])[:, None])
        return {**{k: batch[k] for k in ("index", "window", "valid")}, **self.judge(outputs, batch)}

    def judge(self, outputs: tuple[Tensor, ...], batch: Batch) -> dict[str, Tensor]:
        """Per item: loss [B], scores [B, L] and targets [B, L]."""
        logits, y = outputs[0].float(), batch["y"].float()
        return {"loss": _bce(logits, y, "none").mean(1), "scores": logits.sigmoid(), "targets": y}


class DistillationObjective(SupervisedObjective):
    """Distillation by soft targets: cross-entropy of the network's probabilities against a teacher's; labels are not looked at.

    After Hinton et al., arXiv 1503.02531, at temperature 1 and for classes that do not exclude each other. Batch: x [B, F, T] raw log-mel,
    teacher [B, L] its logits for the same crop. Mixup mixes the probabilities.
    """

    def loss(self, outputs: tuple[Tensor, ...], batch: Batch, mix: Mix | None) -> dict[str, Tensor]:
        """{"loss"}: the outputs against the teacher's probabilities, mixed as the inputs were."""
        return {"loss": _bce(outputs[0], _mixed(_taught(batch).float().sigmoid(), mix))}

    def judge(self, outputs: tuple[Tensor, ...], batch: Batch) -> dict[str, Tensor]:
        """Per item: loss [B], and the probabilities of both, learned [B, L] and taught [B, L]."""
        logits, taught = outputs[0].float(), _taught(batch).float().sigmoid()
        return {"loss": _bce(logits, taught, "none").mean(1), "learned": logits.sigmoid(), "taught": taught}

    def summarise(self, whole: dict[str, np.ndarray]) -> dict[str, float]:
        """Beside the loss, the agreement of both over recordings (agreement.py)."""
        mean = {k: of_recordings(whole[k], whole["index"], whole["valid"]) for k in ("learned", "taught")}
        return super().summarise(whole) | agreement(mean["learned"], mean["taught"])


class TeacherStudentObjective(SupervisedObjective):
    """Two separated heads: CLS against the labels, DIST against a teacher's hard labels; the loss is the mean of both cross-entropies.

    Batch: as the supervised one, with teacher [B, L], the teacher's logits for the same crop. A label is the teacher's where its
    probability reaches `threshold`; where none does, its single best class. Mixup mixes both targets.
    """

    def __init__(self, net: nn.Module, *, threshold: float = 0.45, **settings: Any) -> None:
        if not 0.0 < threshold < 1.0:
            raise ConfigError(f"teacher_target_threshold is {threshold}; it is a probability, above 0 and below 1.")
        super().__init__(net, **settings)
        self.threshold = threshold

    def _check(self, net: nn.Module) -> None:
        kind = getattr(net, "distilled_type", None)
        if kind != "separated":
            raise ConfigError(
                f"Teacher-student training needs a network with separated heads; this one has distilled_type '{kind}': "
                "set maest.distilled_type=separated, or datamodule.teacher_student.do=false."
            )

    def teacher_labels(self, logits: Tensor) -> Tensor:
        """Hard labels [B, L] float32 from the teacher's logits [B, L]."""
        scores = logits.float().sigmoid()
        best = torch.zeros_like(scores).scatter_(1, scores.argmax(1, keepdim=True), 1.0)
        passed = (scores >= self.threshold).float()
        return torch.where(passed.any(1, keepdim=True), passed, best)

    def loss(self, outputs: tuple[Tensor, ...], batch: Batch, mix: Mix | None) -> dict[str, Tensor]:
        """{"loss", "loss_cls", "loss_dist"}: the mean of both heads' losses, and each."""
        cls = _bce(outputs[0], _mixed(batch["y"], mix))
        dist = _bce(outputs[1], _mixed(self.teacher_labels(_taught(batch)), mix))
        return {"loss": (cls + dist) / 2.0, "loss_cls": cls.detach(), "loss_dist": dist.detach()}

    def judge(self, outputs: tuple[Tensor, ...], batch: Batch) -> dict[str, Tensor]:
        """As the supervised one; scores are the mean of both heads' sigmoids, and each head's stand beside it.

        The loss is that of training where the batch has the teacher's logits, else the mean of both heads' losses against the
        labels (a validation set without extracted logits). With them each head's loss against the teacher's labels is said as well,
        teacher_loss_cls, teacher_loss_dist [B], and for `summarise` those labels and the heads' own: teacher, labels_cls, labels_dist
        [B, L].
        """
        cls, dist, y = outputs[0].float(), outputs[1].float(), batch["y"].float()
        taught = batch.get("teacher")
        more, dist_target = {}, y
        if taught is not None:
            dist_target = self.teacher_labels(taught)
            heads = {"cls": cls, "dist": dist}
            more = {f"teacher_loss_{name}": _bce(head, dist_target, "none").mean(1) for name, head in heads.items()}
            more |= {"teacher": dist_target} | {f"labels_{name}": self.teacher_labels(head) for name, head in heads.items()}
        loss = (_bce(cls, y, "none").mean(1) + _bce(dist, dist_target, "none").mean(1)) / 2.0
        scores_cls, scores_dist = cls.sigmoid(), dist.sigmoid()
        return {
            **more,
            "loss": loss,
            "scores": (scores_cls + scores_dist) / 2.0,
            "scores_cls": scores_cls,
            "scores_dist": scores_dist,
            "targets": y,
        }

    def summarise(self, whole: dict[str, np.ndarray]) -> dict[str, float]:
        """Beside the loss, where there are a teacher's logits, each head's (X = cls, dist) agreement with it.

        teacher_loss_X: mean cross-entropy against the teacher's labels, what DIST learns from. teacher_f1_X: F1 of the labels that the
        head's probabilities give by the teacher's rule, against the teacher's, over all windows and labels together.
        """
        out = super().summarise(whole)
        for head in ("cls", "dist") if "teacher" in whole else ():
            out[f"teacher_loss_{head}"] = float(whole[f"teacher_loss_{head}"].mean(dtype=np.float64))
            teacher, own = whole["teacher"] > 0.5, whole[f"labels_{head}"] > 0.5
            out[f"teacher_f1_{head}"] = float(2 * (teacher & own).sum() / (teacher.sum() + own.sum()))
        return out


def _taught(batch: Batch) -> Tensor:
    """A teacher's logits [B, L]. Raises ConfigError where the batch has none."""
    if batch.get("teacher") is None:
        raise ConfigError(
            "Teacher-student training met a batch without the teacher's logits: extract them first (extract_logits) and name them in "
            "datamodule.teacher_student.teacher_target_base_dir."
        )
    logits: Tensor = batch["teacher"]
    return logits


def _mixed(targets: Tensor, mix: Mix | None) -> Tensor:
    return mix(targets.float()) if mix else targets.float()


def _bce(logits: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    return binary_cross_entropy_with_logits(logits.float(), targets, reduction=reduction)
