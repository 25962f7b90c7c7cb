"""Fine-tuning: any AudioEncoder with a head on one of its layers, trained on labels; whole, or its last blocks, with a learning rate per depth.

Letters: B windows, L labels, C width. A window is what the encoder's stores hold: mels [B, F, T] or samples [B, N], as TrackDataModule gives them.
Layer-wise decay of the learning rate as ELECTRA and BEiT have it (arXiv 2003.10555, 2106.08254): a block d blocks below the head's layer learns at
lr * decay^d, what lies before the first block at one power more.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from .encoder import AudioEncoder
from .errors import ConfigError
from .heads import ProbeHead
from .objective import Batch, Objective
from .randomness import Randomness

Loss = Literal["bce", "ce"]


class FineTuned(nn.Module):
    """An encoder up to one layer, and a head on what extraction keeps of each window there (MAEST: CLS, DIST and mean token, joined).

    encoder: any AudioEncoder. layer: 0-based block, negatives from the end. head: keywords of ProbeHead. Raises ValueError for a layer that is not
    there.
    """

    def __init__(self, encoder: AudioEncoder, n_labels: int, layer: int = -1, **head: Any) -> None:
        super().__init__()
        (self.layer,) = encoder.resolve_layers([layer])
        self.encoder = encoder
        width = 1
        for size in encoder.summary_shapes([self.layer])[self.layer]:
            width *= size
        self.head = ProbeHead(width, n_labels, **head)

    @property
    def saved_settings(self) -> dict[str, Any]:
        """What stands in a checkpoint beside the weights."""
        return {"finetuned": True, "layer": self.layer, "encoder": self.encoder.saved_settings}

    def forward(self, x: Tensor) -> Tensor:
        """Stored windows, mels [B, F, T] or samples [B, N] -> logits [B, L]."""
        windows = self.encoder.from_stored(x.transpose(1, 2) if self.encoder.stored_item else x)
        vectors = self.encoder.summaries(windows, [self.layer])[0].flatten(1)
        logits: Tensor = self.head(vectors)
        return logits


class FineTuneObjective(Objective):
    """Labels of windows, learned by a FineTuned.

    loss: "bce" (tags) or "ce" (one class per track). blocks: how many blocks up to the head's layer learn; None: all, and what lies before them; 0:
    the head alone. layer_decay: factor of the learning rate per block of depth. lr, head_lr: of the deepest block, and of the head.

    Raises ConfigError for numbers that make no sense, and for blocks or a decay that an encoder without a list of blocks cannot have.
    """

    def __init__(
        self,
        net: FineTuned,
        *,
        loss: Loss = "bce",
        blocks: int | None = None,
        layer_decay: float = 1.0,
        lr: float = 5e-5,
        head_lr: float = 1e-3,
    ) -> None:
        super().__init__(net)
        if loss not in get_args(Loss):
            raise ConfigError(f"loss is '{loss}'; choose {' or '.join(get_args(Loss))}.")
        if not 0 < layer_decay <= 1 or lr <= 0 or head_lr <= 0:
            raise ConfigError(
                f"layer_decay lies above 0 and is 1 at most, rates are above 0; got {layer_decay}, lr {lr}, head_lr {head_lr}."
            )
        if blocks is not None and not 0 <= blocks <= net.layer + 1:
            raise ConfigError(f"{blocks} blocks are to learn; up to block {net.layer} there are {net.layer + 1} (none: all).")
        self.loss, self.layer_decay, self.lr, self.head_lr = loss, layer_decay, lr, head_lr
        self._groups = self._sort(net, blocks)

    # ---- which parameters learn, and how fast
    def _sort(self, net: FineTuned, blocks: int | None) -> dict[int, list[nn.Parameter]]:
        """Parameters by depth below the head's layer (-1: the head), frozen ones left out and frozen."""
        name = net.encoder.block_list
        if name is None and (self.layer_decay != 1 or blocks):
            raise ConfigError(
                f"{type(net.encoder).__name__} has no list of its {net.encoder.depth} blocks: fine-tune it whole (blocks none, layer_decay 1), or "
                "its head alone (blocks 0)."
            )
        used = _used(net)
        groups: dict[int, list[nn.Parameter]] = {-1: list(net.head.parameters())}
        for path, parameter in net.encoder.named_parameters():
            inside = name is not None and path.startswith(f"{name}.")
            depth = net.layer - int(path[len(f"{name}.") :].split(".")[0]) if inside else net.layer + 1
            if parameter not in used or (blocks is not None and depth >= blocks):
                parameter.requires_grad_(False)
            else:
                groups.setdefault(depth, []).append(parameter)
        if blocks is not None and name is not None:
            self.freeze([f"net.encoder.{name}.{i}" for i in range(net.layer + 1 - blocks)])
        if blocks == 0:
            self.freeze(["net.encoder"])
        return groups

    def param_groups(self) -> list[dict[str, Any]]:
        """A group per depth, with its own learning rate; the schedule multiplies them all."""
        rates = {depth: self.head_lr if depth < 0 else self.lr * self.layer_decay**depth for depth in self._groups}
        return [{"params": self._groups[depth], "lr": rates[depth]} for depth in sorted(self._groups)]

    # ---- losses
    def _losses(self, logits: Tensor, y: Tensor) -> Tensor:
        """[B]."""
        logits, y = logits.float(), y.float()
        if self.loss == "bce":
            return binary_cross_entropy_with_logits(logits, y, reduction="none").mean(1)
        return cross_entropy(logits, y.argmax(1), reduction="none")

    def training_step(self, batch: Batch, rng: Randomness) -> dict[str, Tensor]:
        """{"loss"}: mean over windows. Batch: x [B, F, T] or [B, N], y [B, L]."""
        return {"loss": self._losses(self.net(batch["x"]), batch["y"]).mean()}

    def validate(self, batch: Batch, net: nn.Module | None = None) -> dict[str, Tensor]:
        """Scores [B, L] and losses [B] of fixed windows."""
        logits = (net or self.net)(batch["x"]).float()
        scores = logits.sigmoid() if self.loss == "bce" else logits.softmax(1)
        found = {"loss": self._losses(logits, batch["y"]), "scores": scores, "targets": batch["y"].float()}
        return {**{k: batch[k] for k in ("index", "window", "valid")}, **found}


def _used(net: FineTuned) -> set[nn.Parameter]:
    """The encoder's parameters that the logits depend on: blocks behind the head's layer and other heads are not among them."""
    encoder, was_training = net.encoder, net.training
    net.eval()
    window = torch.full((1, *encoder.stored_item[::-1], encoder.window_length), 0.1, device=encoder.device)
    trained = [p for p in encoder.parameters() if p.requires_grad]
    with torch.enable_grad():
        grads = torch.autograd.grad(net(window).sum(), trained, allow_unused=True)
    net.train(was_training)
    return {p for p, grad in zip(trained, grads) if grad is not None}
