"""The transformer block of MAEST: pre-norm attention and MLP, with the names of timm's `Block` (arXiv 2010.11929), whose numbers it computes.

Written out because importing timm costs more processor time than tagging a song's first window: timm imports torchvision, which imports torch's
compiler.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional


class Attention(nn.Module):
    """Multi-head self-attention of tokens [B, N, C]; which kernel computes it is arithmetic.py's choice."""

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        self.num_heads, self.head_dim = num_heads, dim // num_heads
        self.scale = self.head_dim**-0.5
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, first: int | None = None) -> Tensor:
        """[B, N, C] -> [B, N, C], or for the first so many tokens alone [B, first, C]: they attend to all, whose queries are not computed."""
        c = x.shape[-1]
        if first is None or not _is_plain(self.qkv):
            query, key, value = self._heads(self.qkv(x))
            query = query[:, :, :first]
        else:
            weight, bias = self.qkv.weight, self.qkv.bias
            (query,) = self._heads(functional.linear(x[:, :first], weight[:c], bias[:c]))
            key, value = self._heads(functional.linear(x, weight[c:], bias[c:]))
        mixed = functional.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return out

    def _heads(self, x: Tensor) -> tuple[Tensor, ...]:
        """One, two or three of queries, keys, values side by side [B, N, k C] -> those k [B, heads, N, C / heads]."""
        return x.unflatten(-1, (-1, self.num_heads, self.head_dim)).permute(2, 0, 3, 1, 4).unbind(0)


def _is_plain(layer: nn.Module) -> bool:
    """Whether a layer is no more than its weight and bias: what is put in its place (adapters, 8 bits), or hooked to it, wants to be called."""
    return type(layer) is nn.Linear and not layer._forward_hooks and not layer._forward_pre_hooks


class Mlp(nn.Module):
    """Two linear layers with a GELU between."""

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """[..., C] -> [..., C]."""
        out: Tensor = self.fc2(functional.gelu(self.fc1(x)))
        return out


class Block(nn.Module):
    """x + attention(norm(x)), then x + MLP(norm(x)), of tokens [B, N, C]. norm: makes a norm of a width."""

    def __init__(self, dim: int, num_heads: int, mlp_ratio: float, norm: Callable[[int], nn.Module]):
        super().__init__()
        self.norm1 = norm(dim)
        self.attn = Attention(dim, num_heads)
        self.norm2 = norm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))

    def forward(self, x: Tensor, first: int | None = None) -> Tensor:
        """[B, N, C] -> [B, N, C], or what it gives for the first so many tokens [B, first, C]."""
        x = x[:, :first] + self.attn(self.norm1(x), first)
        out: Tensor = x + self.mlp(self.norm2(x))
        return out
