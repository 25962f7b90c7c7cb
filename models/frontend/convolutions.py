"""A stem of convolutions over samples, as wav2vec 2.0's kind has it (arXiv 2006.11477), by transformers' names for its shape.

Settings: conv_dim, conv_kernel, conv_stride, one entry per convolution; hidden_size, and what shares it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def check_stem(settings: Mapping[str, Any], what: str, error: type[ValueError]) -> None:
    """Raise `error` for lists of unlike lengths, and for a width that its heads or the groups of its positions do not share."""
    s, layers = settings, len(settings["conv_dim"])
    if not layers == len(s["conv_kernel"]) == len(s["conv_stride"]):
        raise error(
            f"{what}: conv_dim, conv_kernel and conv_stride have {layers}, {len(s['conv_kernel'])} and {len(s['conv_stride'])} entries; "
            "wanted one each per convolution."
        )
    for name in ("num_attention_heads", "num_conv_pos_embedding_groups"):
        if s["hidden_size"] % s[name]:
            raise error(f"{what}: a width (hidden_size) of {s['hidden_size']} is not shared by {s[name]}: set {name}.")


def receptive_field(settings: Mapping[str, Any]) -> int:
    """Return the number of samples that one vector of the stem sees."""
    field, hop = 1, 1
    for kernel, stride in zip(settings["conv_kernel"], settings["conv_stride"]):
        field, hop = field + (kernel - 1) * hop, hop * stride
    return field


def n_vectors(settings: Mapping[str, Any], n_samples: Any) -> Any:
    """Return T, the vectors of a clip of so many samples: a number, or a tensor of them."""
    for kernel, stride in zip(settings["conv_kernel"], settings["conv_stride"]):
        n_samples = (n_samples - kernel) // stride + 1
    return n_samples


def stem_parameters(settings: Mapping[str, Any]) -> int:
    """Return the number of weights of its convolutions."""
    dims = settings["conv_dim"]
    return sum(a * b * k for a, b, k in zip([1, *dims], dims, settings["conv_kernel"]))
