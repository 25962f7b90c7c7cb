"""music2vec's pre-training: from masked audio, the network predicts what its own moving average makes of all of it (data2vec, arXiv 2202.03555).

Letters: B clips, N samples, T vectors in time, C width, M masked vectors of a batch.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..objective import Batch, Objective
from ..randomness import Randomness, stream
from ..tokens.objective import share_of
from . import blocks
from .network import Music2Vec
from .recipe import EPSILON, Recipe, check_spread, ema_decay, frame_losses, span_mask, spread, teacher_targets

_VALIDATION = 0  # seed of the validation's masks: the same in every epoch of every run


class Data2Vec(Objective):
    """Squared error to the teacher's targets at masked vectors, all alike.

    The teacher is a moving average of the encoder behind the stem: of its blocks and norm; its convolutions of positions are the network's own at
    every step, and it reads the network's own, unmasked stem. It is in the checkpoints ("teacher.*"), and never trained.

    Masks of a clip depend on (seed, epoch, draw) alone. The reference cuts a batch's masks down to its smallest, to have one tensor: here they are
    as they were drawn, and every masked vector of all processes counts the same.

    net: the encoder. recipe: None: the published one.

    Raises ConfigError for more target blocks than there are, and for windows that hold no masked span.
    """

    def __init__(self, net: Music2Vec, recipe: Recipe | None = None) -> None:
        super().__init__(net)
        self.recipe = recipe or Recipe()
        if self.recipe.top_k > net.depth:
            raise ConfigError(f"top_k is {self.recipe.top_k}: the network has {net.depth} blocks.")
        if (vectors := net.n_vectors(net.window_length)) < self.recipe.mask_span:
            raise ConfigError(
                f"max_seconds is {net.max_seconds:g}: a training crop of {vectors} vectors holds no span of {self.recipe.mask_span} (mask_span)."
            )
        self.final_proj = nn.Linear(net.embed_dim, net.embed_dim)
        self.teacher = copy.deepcopy(net.encoder)
        self.freeze(["teacher"])

    # ---- masks, targets, predictions
    def masks(self, streams: Iterable[np.random.Generator], length: int) -> Tensor:
        """Which vectors are masked, [B, T] bool: of each clip by its own stream."""
        return torch.from_numpy(
            np.stack([span_mask(length, self.recipe.mask_prob, self.recipe.mask_span, one) for one in streams])
        )

    @torch.no_grad()
    def targets(self, features: Tensor) -> Tensor:
        """The stem's vectors [B, T, C] -> what the teacher makes of them [B, T, C] float32."""
        return teacher_targets(blocks.run(self.teacher, features)[1], self.recipe.top_k)

    def _predicted(self, net: Music2Vec, features: Tensor, mask: Tensor, keep: np.ndarray | None = None) -> Tensor:
        """[M, C] float32."""
        last = net.contextual(net.masked(features, mask), keep=keep)[-1]
        predicted: Tensor = self.final_proj(last[mask]).float()
        return predicted

    def training_step(self, batch: Batch, rng: Randomness) -> dict[str, Tensor]:
        """{"loss", "target_std", "prediction_std", "ema_decay"}: over the masked vectors of all processes. Batch: x [B, N], draw [B].

        Raises CollapseError where everything has become the same.
        """
        assert isinstance(self.net, Music2Vec)
        draws = batch["draw"].tolist()
        features, _ = self.net.features(batch["x"].float())
        mask = self.masks(rng.items(draws, "mask"), features.shape[1]).to(features.device)
        keep = rng.batch("layerdrop").random(self.net.depth) >= self.recipe.layerdrop if self.training else None
        wanted = self.targets(features.detach())[mask]
        predicted = self._predicted(self.net, features, mask, keep)
        loss = frame_losses(predicted, wanted, self.recipe.beta).mean() * share_of(len(wanted), len(draws), features.device)
        spreads = spread(wanted), spread(predicted)
        check_spread(rng.step, self.recipe, float(spreads[0]), float(spreads[1]))
        return {
            "loss": loss,
            "target_std": spreads[0],
            "prediction_std": spreads[1],
            "ema_decay": loss.new_tensor(self.decay(rng.step)),
        }

    def decay(self, step: int) -> float:
        """The teacher's decay after so many updates."""
        return ema_decay(step, self.recipe.ema_start, self.recipe.ema_end, self.recipe.ema_steps)

    @torch.no_grad()
    def after_optimizer_step(self, step: int) -> None:
        """The teacher follows: w <- d w + (1 - d) w of the network; positions are copied."""
        assert isinstance(self.net, Music2Vec)
        own, decay = dict(self.net.encoder.named_parameters()), self.decay(step)
        for name, weight in self.teacher.named_parameters():
            if name.startswith("pos_conv_embed."):
                weight.copy_(own[name])
            else:
                weight.lerp_(own[name], 1.0 - decay)

    # ---- validation
    def validate(self, batch: Batch, net: nn.Module | None = None) -> dict[str, Tensor]:
        """Of each clip [B]: summed loss and number of masked vectors, and what their spreads are made of; masks depend on the clip alone."""
        encoder = net or self.net
        assert isinstance(encoder, Music2Vec)
        features, _ = encoder.features(batch["x"].float())
        identity = zip(batch["index"].tolist(), batch["window"].tolist())
        mask = self.masks((stream(_VALIDATION, "mask", i, w) for i, w in identity), features.shape[1]).to(features.device)
        wanted, predicted = self.targets(features)[mask], self._predicted(encoder, features, mask)
        losses, clip = frame_losses(predicted, wanted, self.recipe.beta).double(), mask.nonzero()[:, 0]

        def summed(values: Tensor) -> Tensor:
            zeros = torch.zeros(len(mask), *values.shape[1:], dtype=torch.float64, device=mask.device)
            return zeros.index_add(0, clip, values.double())

        parts = {"loss": losses, "count": torch.ones_like(losses), "target": wanted, "target_square": wanted.square()}
        parts |= {"prediction": predicted, "prediction_square": predicted.square()}
        return {**{k: batch[k] for k in ("index", "window", "valid")}, **{name: summed(values) for name, values in parts.items()}}

    def summarise(self, whole: dict[str, np.ndarray]) -> dict[str, float]:
        """loss: over all masked vectors; target_std and prediction_std: how far they spread over them (0: all are the same)."""
        count = whole["count"].sum()
        found = {"loss": float(whole["loss"].sum(dtype=np.float64) / count)}
        for name in ("target", "prediction"):
            mean, square = (whole[key].sum(0, dtype=np.float64) / count for key in (name, f"{name}_square"))
            var = np.maximum(square - mean**2, 0) * count / max(count - 1, 1)
            found[f"{name}_std"] = float(np.sqrt(var + EPSILON).mean())
        return found
