"""CLMR's training objective on batches of waveforms: two augmented crops of a track that must find each other.

Letters: B items, V views, N samples, D width of the projection.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..objective import Batch, Objective
from ..randomness import Randomness
from .augment import Augmentation, apply, draw
from .loss import NTXent, Projector, alignment, processes, uniformity

_VALIDATION = Randomness(0)  # the validation's augmentation: the same in every epoch of every run


def augmented(x: Tensor, draws: list[int], rng: Randomness, settings: Augmentation, rate: int, view: int = 0) -> Tensor:
    """Crops [B, N] float32 of `rate` Hz, augmented: of each item by (seed, epoch, draw, view) only."""
    with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
        return apply(x, draw(settings, rng.items(draws, f"augment {view}")), rate)


class ContrastiveObjective(Objective):
    """NT-Xent of the projections of two augmented crops of each track (arXiv 2103.09410). Labels are not looked at.

    Each view goes through encoder and projector by itself, so that batch norm sees one view at a time.

    net: an encoder whose `features` gives [B, C]. projection_dim: D. temperature: of NT-Xent. augmentation: of both views (none: crops only).
    group: items among which a validation item must find its other view (the training's batch size makes both losses comparable).
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        projection_dim: int = 64,
        temperature: float = 0.5,
        augmentation: Augmentation | None = None,
        group: int = 48,
    ) -> None:
        super().__init__(net)
        if group < 2:
            raise ConfigError(f"A validation group of {group} has no negatives: it has 2 items or more.")
        self.projector = Projector(int(net.embed_dim), projection_dim)  # type: ignore[arg-type]
        self.criterion = NTXent(temperature)
        self.augmentation, self.group = augmentation, group

    def views(self, batch: Batch, rng: Randomness) -> list[Tensor]:
        """The two augmented views, [B, N] each. Batch: x [B, 2, N], draw [B]. An item's views depend on (seed, epoch, draw, view) only."""
        x, draws = batch["x"].float(), batch["draw"].tolist()
        if x.ndim != 3 or x.shape[1] != 2:
            raise ConfigError(f"Contrastive training takes two crops of each track, [B, 2, N]; got {list(x.shape)}.")
        if self.training and len(x) < 2 and processes() == 1:
            raise ConfigError("A batch of one track has no negatives to be told from: make batches of 2 or more.")
        if self.augmentation is None:
            return [x[:, 0], x[:, 1]]
        rate = int(self.net.sample_rate)  # type: ignore[arg-type]
        return [augmented(x[:, v], draws, rng, self.augmentation, rate, v) for v in range(2)]

    def project(self, view: Tensor, net: nn.Module | None = None) -> Tensor:
        """One view [B, N] -> [B, D]."""
        z: Tensor = self.projector((net or self.net).features(view))  # type: ignore[operator]
        return z

    def training_step(self, batch: Batch, rng: Randomness) -> dict[str, Tensor]:
        """{"loss", "accuracy", "alignment"}: see models/clmr/loss.py."""
        z_i, z_j = (self.project(view) for view in self.views(batch, rng))
        loss, accuracy = self.criterion.parts(z_i, z_j)
        return {"loss": loss, "accuracy": accuracy, "alignment": alignment(z_i.detach(), z_j.detach())}

    def validate(self, batch: Batch, net: nn.Module | None = None) -> dict[str, Tensor]:
        """The projections of both views, z_i and z_j [B, D]; the loss stands in `summarise`, which sees all items."""
        z_i, z_j = (self.project(view, net).float() for view in self.views(batch, _VALIDATION))
        return {**{k: batch[k] for k in ("index", "window", "valid")}, "z_i": z_i, "z_j": z_j}

    def summarise(self, whole: dict[str, np.ndarray]) -> dict[str, float]:
        """Means of loss and accuracy over groups of `group` items in their order; alignment and uniformity over all of them.

        Raises ConfigError for fewer than two items.
        """
        z_i, z_j = torch.from_numpy(whole["z_i"]), torch.from_numpy(whole["z_j"])
        if len(z_i) < 2:
            raise ConfigError(
                f"Contrastive validation needs 2 tracks or more; there is {len(z_i)}. Enlarge datamodule.val_share."
            )
        size = min(self.group, len(z_i))
        starts = range(0, len(z_i) - size + 1, size)  # groups of one size: the loss depends on it
        found = torch.stack([torch.stack(self.criterion.alone(z_i[k : k + size], z_j[k : k + size])) for k in starts]).mean(0)
        return {
            "loss": float(found[0]),
            "accuracy": float(found[1]),
            "alignment": float(alignment(z_i, z_j)),
            "uniformity": float(uniformity(z_i)),
        }
