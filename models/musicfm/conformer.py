"""MusicFM's conformer: the blocks of transformers' Wav2Vec2Conformer (arXiv 2005.08100) in a loop of our own, with the published names.

Letters: B clips, T vectors, D width, d width of a head, L depth. Positions are rotary: the layer-normed input of the attention is turned, head by
head, before the projections to queries and keys; values are not turned. The library's own encoder no longer gives the outputs of its layers (version
5) and keeps a table of positions by length alone, whatever the precision or device; here the loop stops at the layer that is asked for, and the table
is computed in float32 each time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .._torchvision import ensure_torchvision
from ..errors import ConfigError
from ..settings import Choice, Number, Rules, check_settings

ensure_torchvision()  # before transformers is imported anywhere, by a user too
_SHARE = Number(0, 0.999, whole=False)
# facebook/wav2vec2-conformer-rope-large-960h-ft, of which MusicFM takes all but depth and width
PUBLISHED: Mapping[str, Any] = {
    "num_attention_heads": 16, "intermediate_size": 4096, "hidden_act": "swish", "conv_depthwise_kernel_size": 31, "layer_norm_eps": 1e-5,
    "rotary_embedding_base": 10000, "hidden_dropout": 0.1, "attention_dropout": 0.1, "activation_dropout": 0.1, "conformer_conv_dropout": 0.1,
    "layerdrop": 0.0, "num_conv_pos_embeddings": 128, "num_conv_pos_embedding_groups": 16, "position_embeddings_type": "rotary",
}  # fmt: skip
RULES: Rules = {
    "num_attention_heads": Number(1, 4096), "intermediate_size": Number(1, 1_000_000), "hidden_act": Choice(("swish", "gelu", "relu")),
    "conv_depthwise_kernel_size": Number(1, 9999), "layer_norm_eps": Number(1e-12, 1, whole=False),
    "rotary_embedding_base": Number(1, 1e9, whole=False), "hidden_dropout": _SHARE, "attention_dropout": _SHARE, "activation_dropout": _SHARE,
    "conformer_conv_dropout": _SHARE, "layerdrop": Choice((0, 0.0)), "num_conv_pos_embeddings": Number(1, 100_000),
    "num_conv_pos_embedding_groups": Number(1, 65_536), "position_embeddings_type": Choice(("rotary",)),
}  # fmt: skip


def check_conformer(settings: Any, width: int | None, what: str, error: type[ValueError] = ConfigError) -> None:
    """Raise `error` for settings, given in place of the published ones, that are no conformer of this width (None: not known)."""
    if settings is None:
        return
    if not isinstance(settings, Mapping):
        raise error(f"{what}: conformer is {settings!r}; wanted settings by name, or none for the published ones.")
    check_settings(settings, RULES, what, error)
    s = {**PUBLISHED, **settings}
    if s["conv_depthwise_kernel_size"] % 2 == 0:
        raise error(f"{what}: conv_depthwise_kernel_size is {s['conv_depthwise_kernel_size']}; wanted an odd number.")
    heads, groups = s["num_attention_heads"], s["num_conv_pos_embedding_groups"]
    if width is not None and (width % heads or width // heads % 2):
        raise error(
            f"{what}: a width of {width} is not shared by {heads} heads of an even width: set conformer's num_attention_heads."
        )
    if width is not None and width % groups:
        raise error(
            f"{what}: a width of {width} is not shared by {groups} groups: set conformer's num_conv_pos_embedding_groups."
        )


class _Positions(nn.Module):
    """The rotation's frequencies [d / 2], and its table of cosines and sines."""

    inv_freq: Tensor

    def __init__(self, dim: int, base: float) -> None:
        super().__init__()
        self.register_buffer("inv_freq", torch.from_numpy((1.0 / base ** (np.arange(0, dim, 2) / dim)).astype(np.float32)))

    def forward(self, x: Tensor) -> Tensor:
        """Vectors [B, T, D] -> their table [2, T, 1, 1, d], of their type."""
        angles = torch.arange(x.shape[1], dtype=torch.float32, device=x.device)[:, None] * self.inv_freq.float()
        angles = torch.cat([angles, angles], dim=-1)[:, None, None]
        return torch.stack([angles.cos(), angles.sin()]).to(x.dtype)


def _unused_positions(width: int, kernel: int, groups: int) -> nn.Module:
    """The convolution of positions that published files hold and no pass uses, as buffers: loaded and saved, never trained."""
    module, conv, weight = nn.Module(), nn.Module(), nn.Module()
    weight.register_buffer("original0", torch.ones(1, 1, kernel))
    weight.register_buffer("original1", torch.zeros(width, width // groups, kernel))
    conv.register_buffer("bias", torch.zeros(width))
    conv.parametrizations = nn.Module()
    conv.parametrizations.weight = weight
    module.conv = conv
    return module


class Conformer(nn.Module):
    """Vectors [B, T, D] -> the outputs of the blocks; the last one behind a layer norm.

    width: D. depth: L. settings: in place of PUBLISHED. sdpa: attention by torch's scaled_dot_product_attention, else plain products and softmax.

    Raises ConfigError for settings that no conformer has, ImportError without transformers.
    """

    def __init__(self, width: int, depth: int, settings: Mapping[str, Any] | None, sdpa: bool) -> None:
        super().__init__()
        check_conformer(settings, width, "This conformer")
        s = {**PUBLISHED, **(settings or {})}
        layer, config = _transformers(hidden_size=width, num_hidden_layers=depth, **s)
        config._attn_implementation = "sdpa" if sdpa else "eager"
        self.embed_positions = _Positions(width // s["num_attention_heads"], s["rotary_embedding_base"])
        self.pos_conv_embed = _unused_positions(width, s["num_conv_pos_embeddings"], s["num_conv_pos_embedding_groups"])
        self.layer_norm = nn.LayerNorm(width, eps=s["layer_norm_eps"])
        self.dropout = nn.Dropout(s["hidden_dropout"])
        self.layers = nn.ModuleList(layer(config) for _ in range(depth))

    def outputs(self, x: Tensor, last: int) -> list[Tensor]:
        """Vectors [B, T, D] -> [those behind dropout, output of block 1, ..., of block `last`]; no further block is computed."""
        x = self.dropout(x)
        found, positions = [x], self.embed_positions(x)
        for layer in self.layers[:last]:
            x = layer(x, relative_position_embeddings=positions)
            found.append(x)
        if last == len(self.layers):
            found[-1] = self.layer_norm(found[-1])
        return found


def _transformers(**settings: Any) -> tuple[Any, Any]:
    """Return the block of transformers, and its config of these settings: nothing is read from the network."""
    try:  # here for start-up time
        from transformers import Wav2Vec2ConformerConfig
        from transformers.models.wav2vec2_conformer.modeling_wav2vec2_conformer import Wav2Vec2ConformerEncoderLayer
    except ImportError as error:
        raise ImportError(f"MusicFM's blocks are transformers' ({error}): pip install 'transformers>=5'.") from error
    return Wav2Vec2ConformerEncoderLayer, Wav2Vec2ConformerConfig(**settings)
