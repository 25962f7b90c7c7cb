"""Which parts of a network its weight file did not fill: what they say of classes means nothing until they are trained.

Loaders record such parts (`note_untrained`); whatever names classes asks for them (`check_trained`). A few numbers of each part are kept beside the
network, so that training lifts the record by itself. A network that is built without weights has none: it is random as a whole, which its maker said.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .errors import WeightsError

_KEPT = 64  # numbers of a parameter that tell whether it has been trained
_RECORD = "_untrained"


@dataclass
class _Part:
    names: tuple[str, ...]
    samples: tuple[Tensor, ...]
    reason: str


def note_untrained(network: nn.Module, names: Iterable[str], reason: str) -> None:
    """Record parameters that a weight file did not fill, or filled with numbers for another size.

    Args:
        network: that was loaded.
        names: of its parameters. They count as untrained, all of them, as long as none has changed.
        reason: a clause for the error's text that says what is untrained and why.
    """
    own = network.state_dict()
    kept = tuple(name for name in names if not own[name].is_meta)
    if kept:
        part = _Part(kept, tuple(_sample(own[name]) for name in kept), reason)
        network.__dict__.setdefault(_RECORD, []).append(part)


def forget_untrained(network: nn.Module) -> None:
    """Drop all such records of a network: what they are of answers nothing any more."""
    network.__dict__.pop(_RECORD, None)


def untrained(network: Any) -> list[str]:
    """Return a clause for each recorded part of a network that is used for its classes and still untrained."""
    parts: list[_Part] = getattr(network, "__dict__", {}).get(_RECORD, [])
    if not parts:
        return []
    own, unused = network.state_dict(), tuple(getattr(network, "unused_heads", ()))
    return [part.reason for part in parts if _counts(part, own, unused)]


def _counts(part: _Part, own: dict[str, Tensor], unused: tuple[str, ...]) -> bool:
    used = [(name, sample) for name, sample in zip(part.names, part.samples) if not (unused and name.startswith(unused))]
    return bool(used) and all(_same(_sample(own[name]), sample) for name, sample in used)


def _same(now: Tensor, then: Tensor) -> bool:
    """Whether numbers are those of before, or their roundings where the network has been in half precision."""
    return any(torch.equal(now, then.to(dtype).float()) for dtype in (torch.float32, torch.float16, torch.bfloat16))


def check_trained(network: Any, use: str) -> None:
    """Raise WeightsError for a network any part of whose head is untrained. use: what is refused, for the text ("tag", "export")."""
    if found := untrained(network):
        raise WeightsError(
            f"This network cannot {use}: {'; '.join(found)}. What it says of classes would mean nothing. Take the weights as their file holds them "
            "(leave the number of classes and the length of a window out), or train it first."
        )


def _sample(tensor: Tensor) -> Tensor:
    flat = tensor.detach().flatten()
    return flat[:: max(flat.numel() // _KEPT, 1)][:_KEPT].float().cpu().clone()
