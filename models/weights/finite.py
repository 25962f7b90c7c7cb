"""Whether the weights of a file are numbers that can be computed with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import WeightsError
from ..settings import MOST_PARAMETERS

if TYPE_CHECKING:
    from torch import Tensor

MOST_COPIES = 4  # of a network in a file: its average beside it, and forms that hold an encoder twice
LARGEST = 1e15  # of a weight: products of larger ones are no numbers in single precision
_PART = 1 << 24  # values looked at together


def check_finite(tensors: Mapping[str, Any], path: str | Path) -> None:
    """Raise WeightsError for weights that hold a NaN or an infinity: a training that diverged leaves such, and they answer nothing but NaN."""
    import torch

    kept = {k: v for k, v in tensors.items() if isinstance(v, torch.Tensor)}
    if odd := [f"{k} ({v.dtype})" for k, v in kept.items() if v.is_complex() or v.layout != torch.strided or v.is_quantized]:
        raise WeightsError(f"{path} holds {', '.join(odd[:3])}; weights are real numbers, as they are. Is it the right file?")
    if sum(v.numel() for v in kept.values()) > MOST_COPIES * MOST_PARAMETERS:
        raise WeightsError(
            f"{path} holds more numbers than {MOST_COPIES} of the largest networks that are built. Is it the right file?"
        )
    wrong = [k for k, v in kept.items() if v.is_floating_point() and not _is_finite(v)]
    if wrong:
        raise WeightsError(
            f"{path} holds weights that are not finite, or beyond {LARGEST:g}, in {len(wrong)} of {len(tensors)} tensors "
            f"({', '.join(wrong[:3])}): a training that diverged "
            "leaves such. Take an earlier checkpoint, or train again with a lower learning rate."
        )


def _is_finite(tensor: Tensor) -> bool:
    """Whether all values are numbers that can be computed with. Part by part: a table of flags of a large tensor's size is not made."""
    flat = tensor.reshape(-1) if tensor.is_contiguous() else tensor.flatten()
    parts = (part.float() if part.element_size() < 4 else part for part in flat.split(_PART))  # LARGEST is infinite in float16
    return all(bool((part.abs() <= LARGEST).all()) for part in parts)
