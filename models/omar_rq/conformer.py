"""OMAR-RQ's encoder: causal conformer blocks (arXiv 2005.08100) with DeepNorm (arXiv 2203.00555) and rotary positions.

Letters: B clips, T vectors in time, E width, H heads, d = E / H. Parameter names are those of the published checkpoints. The convolution of a block
looks 15 vectors ahead, the attention never: what is put behind a clip changes its last 15 * depth vectors.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import ConfigError
from .rotary import Rotary

log = logging.getLogger(__name__)
KERNEL = 31  # of the depthwise convolution of every published network, whatever conv_kernel_size says
LOOKAHEAD = KERNEL // 2
_EPS = 6.1e-5


def deepnorm_scales(depth: int) -> tuple[float, float]:
    """Alpha (residual) and beta (initial weights) of so many blocks: (2 depth)^(1/4) and (8 depth)^(-1/4) / 12."""
    return (2 * depth) ** 0.25, (8 * depth) ** -0.25 / 12


class FeedForward(nn.Module):
    """LayerNorm, Linear, GELU, Linear, with dropout."""

    def __init__(self, dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.module = nn.Sequential(
            nn.LayerNorm(dim, eps=_EPS),
            nn.Linear(dim, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, dim),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.module(x)
        return out


class Attention(nn.Module):
    """Causal self-attention over [B, T, E], without a norm before it."""

    def __init__(self, dim: int, heads: int, dropout: float, rotary: bool) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.proj = nn.Linear(dim, dim)
        self.rotary_emb = Rotary(dim // heads) if rotary else None

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # each [B, H, T, d]
        if self.rotary_emb is not None:
            q, k = self.rotary_emb(q), self.rotary_emb(k)
        out = F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout if self.training else 0.0, is_causal=True)
        projected: Tensor = self.proj(out.transpose(1, 2).flatten(2))
        return projected


class ConvBlock(nn.Module):
    """LayerNorm, pointwise convolution with a gate, depthwise convolution of 31 vectors, BatchNorm, GELU, pointwise convolution."""

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(dim, eps=_EPS)
        self.module = nn.Sequential(
            nn.Conv1d(dim, 2 * dim, 1),
            nn.GLU(dim=1),
            nn.Conv1d(dim, dim, KERNEL, padding=LOOKAHEAD, groups=dim),
            nn.BatchNorm1d(dim, eps=_EPS),
            nn.GELU(),
            nn.Conv1d(dim, dim, 1),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.module(self.layer_norm(x).transpose(1, 2))
        return out.transpose(1, 2)


class DeepNorm(nn.Module):
    """LayerNorm(alpha x + branch)."""

    def __init__(self, dim: int, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha
        self.layer_norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, branch: Tensor) -> Tensor:
        out: Tensor = self.layer_norm(self.alpha * x + branch)
        return out


class ConformerBlock(nn.Module):
    """Feed-forward, attention, convolution, feed-forward, LayerNorm; [B, T, E] -> [B, T, E].

    residual: factor of the feed-forward branches. alpha: of DeepNorm; None: a plain residual around the attention (`norm1` is then unused, as in
    published files).
    """

    def __init__(
        self, dim: int, heads: int, hidden: int, residual: float, dropout: float, alpha: float | None, rotary: bool
    ) -> None:
        super().__init__()
        self.residual = residual
        self.ff1 = FeedForward(dim, hidden, dropout)
        self.attention = Attention(dim, heads, dropout, rotary)
        self.norm1: nn.Module = nn.LayerNorm(dim) if alpha is None else DeepNorm(dim, alpha)
        if alpha is None:  # no gradients ever reach it
            self.norm1.requires_grad_(False)
        self.conv_block = ConvBlock(dim, dropout)
        self.ff2 = FeedForward(dim, hidden, dropout)
        self.norm2 = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.residual * self.ff1(x)
        attended = self.attention(x)
        x = self.norm1(x, attended) if isinstance(self.norm1, DeepNorm) else x + attended
        x = x + self.conv_block(x)
        x = x + self.residual * self.ff2(x)
        out: Tensor = self.norm2(x)
        return out

    @torch.no_grad()
    def scale_initial_weights(self, beta: float) -> None:
        """DeepNorm's smaller start: both feed-forwards, the values and the projection of the attention, times beta."""
        dim = self.attention.proj.in_features
        feeds = [linear.weight for feed in (self.ff1, self.ff2) for linear in feed.module if isinstance(linear, nn.Linear)]
        for weight in (*feeds, self.attention.qkv.weight[2 * dim :], self.attention.proj.weight):
            weight.mul_(beta)


class Conformer(nn.Module):
    """`depth` blocks over vectors [B, T, E].

    Args:
        embed_dim: E. depth: number of blocks. num_heads: H. mlp_ratio: width of the feed-forwards as a multiple of E.
        conv_kernel_size: 31 in every published network, though their configs say 5; another value is said in the log and has no effect.
        mlp_residual_factor: of the feed-forward branches, 4 as published.
        dropout: in blocks. input_dropout: of the input.
        alpha_deepnorm, beta_deepnorm: None: `deepnorm_scales`. use_deepnorm: else plain residuals.
        use_rope: rotary positions; without them order is heard by the convolutions and the causal mask alone.
        num_patches, patch_size: of old config files; without effect.

    Raises ConfigError for impossible sizes.
    """

    def __init__(
        self,
        embed_dim: int = 1024,
        depth: int = 24,
        conv_kernel_size: int = KERNEL,
        mlp_ratio: float = 4.0,
        mlp_residual_factor: float = 4.0,
        num_heads: int = 8,
        dropout: float = 0.2,
        input_dropout: float = 0.0,
        alpha_deepnorm: float | None = None,
        beta_deepnorm: float | None = None,
        use_deepnorm: bool = True,
        use_rope: bool = True,
        num_patches: int | None = None,
        patch_size: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if min(embed_dim, depth, num_heads) < 1 or embed_dim % num_heads or ((embed_dim // num_heads) % 2 and use_rope):
            raise ConfigError(
                f"A conformer of width {embed_dim}, {depth} blocks and {num_heads} heads is impossible: the width is divided among the heads, and "
                "each has an even share (for rotary positions)."
            )
        if not (0 <= dropout < 1 and 0 <= input_dropout < 1 and mlp_ratio > 0):
            raise ConfigError(f"dropout lies in [0, 1) and mlp_ratio above 0; got {dropout}, {input_dropout} and {mlp_ratio}.")
        if conv_kernel_size != KERNEL:
            log.debug("conv_kernel_size is %s: the networks have %d whatever it says.", conv_kernel_size, KERNEL)
        alpha, beta = deepnorm_scales(depth)
        alpha = alpha if alpha_deepnorm is None else float(alpha_deepnorm)
        beta = beta if beta_deepnorm is None else float(beta_deepnorm)
        sizes: dict[str, Any] = {
            "dim": embed_dim,
            "heads": num_heads,
            "hidden": int(embed_dim * mlp_ratio),
            "residual": float(mlp_residual_factor),
            "dropout": float(dropout),
            "alpha": alpha if use_deepnorm else None,
            "rotary": use_rope,
        }
        self.input_dropout = nn.Dropout(input_dropout)
        self.layers = nn.ModuleList(ConformerBlock(**sizes) for _ in range(depth))
        if use_deepnorm:
            for block in self.layers:
                assert isinstance(block, ConformerBlock)
                block.scale_initial_weights(beta)

    def forward(self, x: Tensor) -> Tensor:
        """Output of the last block, [B, T, E]."""
        return self.outputs(x, (len(self.layers) - 1,))[0]

    def outputs(self, x: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Outputs [B, T, E] of ascending blocks; nothing behind the deepest one is computed."""
        found = []
        x = self.input_dropout(x)
        for k, block in enumerate(self.layers):
            if k > layers[-1]:
                break
            x = block(x)
            if k in layers:
                found.append(x)
        return found
