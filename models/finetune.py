"""Fine-tuning: any AudioEncoder with a head on one of its layers, trained on labels; whole, or its last blocks, with a learning rate per depth.

Letters: B windows, L labels, C width. A window is what the encoder's stores hold: mels [B, F, T] or samples [B, N], as TrackDataModule gives them.
Layer-wise decay of the learning rate as ELECTRA and BEiT have it (arXiv 2003.10555, 2106.08254): a block d blocks below the head's layer learns at
lr * decay^d, what lies before the first block at one power more.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Literal, TypeVar, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from .encoder import AudioEncoder
from .errors import ConfigError
from .objective import Batch, Objective
from .randomness import Randomness
from .untrained import forget_untrained, note_untrained
from .weights.task_head import HEAD, TaskHead, head_of, with_head

log = logging.getLogger(__name__)
Loss = Literal["bce", "ce"]
Encoder = TypeVar("Encoder", bound=AudioEncoder)


def fine_tuned(
    encoder: Encoder, labels: Sequence[str], layer: int = -1, loss: Loss = "bce", task: str = "", **head: Any
) -> Encoder:
    """The encoder itself, changed: with a fresh head for a fine-tuning it names these classes, and until it is trained says nothing of them.

    Its card is gone: what it began with, and under which licence, the head says.

    Args:
        encoder: any AudioEncoder; of one that was fine-tuned before the head is left out, which the log says.
        labels: names of the classes, in column order.
        layer: block that the head sees, 0-based, negatives from the end.
        loss: what the head will learn by: "bce" (tags) or "ce" (one class per recording).
        task: by the name of the probes' tasks; it stands in the files.
        head: keywords of ProbeHead.

    Raises ConfigError for a loss that is unknown, for a layer that is not there, and for labels or a task that no file can hold.
    """
    if loss not in get_args(Loss):
        raise ConfigError(f"loss is '{loss}'; choose {' or '.join(get_args(Loss))}.")
    before, card = head_of(encoder), encoder.card
    if before is not None:
        log.info(
            "The network was fine-tuned before (%d classes%s): its encoder is taken, its head is left out.", len(before.labels),
            f", {before.task}" if before.task else "",
        )  # fmt: skip
    begun_with = card.name if card else before.begun_with if before else None
    fresh = TaskHead(encoder, labels, layer, loss == "ce", task, begun_with, encoder.licence, **head)
    network = with_head(encoder, fresh)
    forget_untrained(network)  # of the family's own head
    names = [name for name in network.state_dict() if name.startswith(f"{HEAD}.")]
    note_untrained(network, names, f"its head of {len(labels)} classes is fresh")
    return network


def stored_logits(network: AudioEncoder, x: Tensor) -> Tensor:
    """Windows as batches of stores hold them, mels [B, F, T] or samples [B, N] -> logits [B, L]."""
    return network.window_logits(network.from_stored(x.transpose(1, 2) if network.stored_item else x))


class FineTuneObjective(Objective):
    """Labels of windows, learned by an encoder and its head: tags, or one class per recording, as the head says.

    net: of `fine_tuned`. blocks: how many blocks up to the head's layer learn; None: all, and what lies before them; 0:
    the head alone. layer_decay: factor of the learning rate per block of depth. lr, head_lr: of the deepest block, and of the head.

    Raises ConfigError for numbers that make no sense, and for blocks or a decay that an encoder without a list of blocks cannot have.
    """

    net: AudioEncoder

    def __init__(
        self,
        net: AudioEncoder,
        *,
        blocks: int | None = None,
        layer_decay: float = 1.0,
        lr: float = 5e-5,
        head_lr: float = 1e-3,
    ) -> None:
        super().__init__(net)
        head = head_of(net)
        if head is None:
            raise ConfigError(f"This {type(net).__name__} has no head to learn: fine_tuned(network, labels) gives it one.")
        if not 0 < layer_decay <= 1 or lr <= 0 or head_lr <= 0:
            raise ConfigError(
                f"layer_decay lies above 0 and is 1 at most, rates are above 0; got {layer_decay}, lr {lr}, head_lr {head_lr}."
            )
        if blocks is not None and not 0 <= blocks <= head.layer + 1:
            raise ConfigError(f"{blocks} blocks are to learn; up to block {head.layer} there are {head.layer + 1} (none: all).")
        self.loss: Loss = "ce" if head.exclusive else "bce"
        self.layer_decay, self.lr, self.head_lr = layer_decay, lr, head_lr
        self._groups = self._sort(net, head, blocks)

    # ---- which parameters learn, and how fast
    def _sort(self, net: AudioEncoder, head: TaskHead, blocks: int | None) -> dict[int, list[nn.Parameter]]:
        """Parameters by depth below the head's layer (-1: the head), frozen ones left out and frozen."""
        name = net.block_list
        if name is None and (self.layer_decay != 1 or blocks):
            raise ConfigError(
                f"{type(net).__name__} has no list of its {net.depth} blocks: fine-tune it whole (blocks none, layer_decay 1), or its head alone "
                "(blocks 0)."
            )
        used = _used(net)
        groups: dict[int, list[nn.Parameter]] = {-1: list(head.parameters())}
        for path, parameter in net.named_parameters():
            if path.startswith(f"{HEAD}."):
                continue
            inside = name is not None and path.startswith(f"{name}.")
            depth = head.layer - int(path[len(f"{name}.") :].split(".")[0]) if inside else head.layer + 1
            if parameter not in used or (blocks is not None and depth >= blocks):
                parameter.requires_grad_(False)
            else:
                groups.setdefault(depth, []).append(parameter)
        if blocks is not None and name is not None:
            self.freeze([f"net.{name}.{i}" for i in range(head.layer + 1 - blocks)])
        if blocks == 0:
            self.freeze(["net"])
            head.requires_grad_(True)
        return groups

    def train(self, mode: bool = True) -> FineTuneObjective:
        """See Objective. The head of a frozen encoder learns."""
        super().train(mode)
        head = head_of(self.net)
        assert head is not None
        head.train(mode)
        return self

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
        return {"loss": self._losses(stored_logits(self.net, batch["x"]), batch["y"]).mean()}

    def validate(self, batch: Batch, net: nn.Module | None = None) -> dict[str, Tensor]:
        """Scores [B, L] and losses [B] of fixed windows."""
        logits = stored_logits(self.net if net is None else cast(AudioEncoder, net), batch["x"]).float()
        scores = logits.sigmoid() if self.loss == "bce" else logits.softmax(1)
        found = {"loss": self._losses(logits, batch["y"]), "scores": scores, "targets": batch["y"].float()}
        return {**{k: batch[k] for k in ("index", "window", "valid")}, **found}


def _used(net: AudioEncoder) -> set[nn.Parameter]:
    """The parameters that the logits depend on: blocks behind the head's layer and other heads are not among them."""
    was_training = net.training
    net.eval()
    window = torch.full((1, *net.stored_item[::-1], net.window_length), 0.1, device=net.device)
    trained = [p for p in net.parameters() if p.requires_grad]
    with torch.enable_grad():
        grads = torch.autograd.grad(stored_logits(net, window).sum(), trained, allow_unused=True)
    net.train(was_training)
    return {p for p, grad in zip(trained, grads) if grad is not None}
