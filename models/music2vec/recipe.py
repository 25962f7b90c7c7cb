"""The parts of data2vec's pre-training on audio (arXiv 2202.03555; music2vec takes them over): targets, loss, the teacher's decay, masks, the guard.

Letters: B clips, T vectors in time, C width, M masked vectors of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch import distributed as dist
from torch.nn.functional import instance_norm, smooth_l1_loss

from ..errors import AudioError, ConfigError

EPSILON = 1e-6  # beside the variance that spreads are roots of
FLAT = {"target": 0.1, "prediction": 0.01}  # spreads below which all are the same


@dataclass(frozen=True)
class Recipe:
    """What is masked, what is predicted, and how the teacher follows. Defaults: music2vec's baseline (data2vec's base_librispeech).

    Attributes:
        mask_prob: share of a clip's vectors that spans would cover if none overlapped. mask_span: vectors of a span.
        top_k: number of last blocks whose feed-forward outputs make the target. beta: of smooth L1; 0: squared error.
        ema_start, ema_end: decay of the teacher at first and behind ema_steps updates. layerdrop: probability that a block is left out of a step.
        guard_steps: updates behind which collapsed targets or predictions end the training.
    """

    mask_prob: float = 0.65
    mask_span: int = 10
    top_k: int = 8
    beta: float = 0.0
    ema_start: float = 0.999
    ema_end: float = 0.9999
    ema_steps: int = 30_000
    layerdrop: float = 0.05
    guard_steps: int = 5000

    def __post_init__(self) -> None:
        shares = {"mask_prob": self.mask_prob, "ema_start": self.ema_start, "ema_end": self.ema_end, "layerdrop": self.layerdrop}
        for name, value in shares.items():
            if not 0 <= value <= 1 or (name == "mask_prob" and value == 0) or (name == "layerdrop" and value == 1):
                raise ConfigError(f"{name} is {value}; wanted a share between 0 and 1.")
        if self.ema_start > self.ema_end:
            raise ConfigError(f"The teacher's decay rises: ema_start ({self.ema_start}) is at most ema_end ({self.ema_end}).")
        if min(self.mask_span, self.top_k) < 1 or min(self.ema_steps, self.guard_steps) < 0 or self.beta < 0:
            raise ConfigError("mask_span and top_k are 1 or more; ema_steps, guard_steps and beta are 0 or more.")


# ---- targets, loss, teacher
def teacher_targets(ffn_outputs: Sequence[Tensor], top_k: int) -> Tensor:
    """Feed-forward outputs of all blocks [B, T, C] each, before they are added -> targets [B, T, C] float32.

    Of the last top_k blocks: each channel of each clip normalised over time (biased variance, 1e-5 beside it), then their mean, which is not
    normalised again. Raises ConfigError for more than there are.
    """
    if not 1 <= top_k <= len(ffn_outputs):
        raise ConfigError(
            f"Targets are made of the last {top_k} blocks (top_k); wanted 1 to {len(ffn_outputs)}, the network's depth."
        )
    with torch.autocast(ffn_outputs[0].device.type, enabled=False):
        normed = [instance_norm(one.float().transpose(1, 2)) for one in ffn_outputs[-top_k:]]
    return torch.stack(normed).mean(0).transpose(1, 2)


def frame_losses(prediction: Tensor, target: Tensor, beta: float = 0.0) -> Tensor:
    """Vectors [M, C] each -> losses [M]: squared errors (beta > 0: smooth L1) added up over C, over the root of C."""
    prediction, target = prediction.float(), target.float()
    errors = smooth_l1_loss(prediction, target, reduction="none", beta=beta) if beta else (prediction - target).square()
    return errors.sum(-1) / prediction.shape[-1] ** 0.5


def data2vec_loss(prediction: Tensor, target: Tensor, mask: Tensor, beta: float = 0.0) -> Tensor:
    """Predictions and targets [B, T, C], mask [B, T] bool -> the mean loss of a masked vector. Raises ConfigError where none is masked."""
    if not mask.any():
        raise ConfigError("No vector is masked: there is nothing to predict.")
    return frame_losses(prediction[mask], target[mask], beta).mean()


def ema_decay(step: int, start: float = 0.999, end: float = 0.9999, steps: int = 30_000) -> float:
    """The teacher's decay after `step` updates: a line from `start` to `end` over `steps`, then `end`."""
    return end if step >= steps else end - (end - start) * (1.0 - step / steps)


# ---- masks
def span_mask(length: int, prob: float, span: int, rng: np.random.Generator) -> np.ndarray:
    """Which of `length` vectors of a clip are masked, [T] bool: spans at distinct places, which may overlap.

    Their number is prob * length / span, rounded up or down at random, 1 at least. prob: share that they would cover without overlaps.

    Raises AudioError for a clip that is shorter than a span.
    """
    if length < span:
        raise AudioError(
            f"A clip of {length} vectors holds no span of {span} to mask: take longer crops (max_seconds), or a shorter mask_span."
        )
    count = min(max(int(prob * length / span + rng.random()), 1), length - span + 1)
    starts = rng.choice(length - span + 1, count, replace=False)
    mask = np.zeros(length, dtype=bool)
    mask[(starts[:, None] + np.arange(span)).ravel()] = True
    return mask


# ---- collapse
class CollapseError(ValueError):
    """A training whose targets, or predictions, have become the same everywhere."""


def spread(vectors: Tensor) -> Tensor:
    """Vectors [M, C] -> the mean over C of their deviations over M, of all processes (unbiased, 1e-6 beside the variance)."""
    found = vectors.detach().double()
    total = torch.cat([found.sum(0), found.square().sum(0), found.new_tensor([len(found)])])
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(total)
    width = found.shape[1]
    count = total[-1]
    var = (total[width:-1] - total[:width].square() / count) / (count - 1).clamp(min=1)
    return (var.clamp(min=0) + EPSILON).sqrt().mean().float()


def check_spread(step: int, recipe: Recipe, target: float, prediction: float) -> None:
    """Raise CollapseError where, behind guard_steps updates, targets spread less than 0.1 or predictions less than 0.01."""
    if step > recipe.guard_steps and (target < FLAT["target"] or prediction < FLAT["prediction"]):
        raise CollapseError(
            f"After {step} updates the targets spread {target:.4f} (0.1 at least is wanted) and the predictions {prediction:.4f} (0.01): the network "
            "answers the same to everything. Go back to an earlier checkpoint; lower the learning rate, or raise ema_start and ema_end."
        )
