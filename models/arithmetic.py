"""How a processor computes linear maps and attention: other ways to the same numbers, of which one machine is fast at one and the next at another.

`computing(arithmetic)` is a block, as torch.autocast is, in which the calls of torch that every network makes (`linear`,
`scaled_dot_product_attention`) take the chosen way, whoever makes them. Which way is fast here is for the caller to measure; the default is torch's
own. On a GPU all stays torch's.
Letters: B batch, H heads, N tokens, d width of a head.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint

_BLOCK = (
    1 << 21
)  # bytes of attention matrices that are computed together: they stay in a core's own cache between product, softmax and product


@dataclass(frozen=True)
class Arithmetic:
    """Ways to compute on a processor.

    Attributes:
        onednn: linear maps in float32 go through oneDNN, in training too; else through torch's default library. Equal within 1e-5.
        blocked_inference: largest number of tokens whose attention is multiplied out, some heads at a time, rather than given to torch's fused
            kernel; 0: none.
        blocked_training: the same where gradients are wanted. The attention matrices [B, H, N, N] are kept for the backward pass.
    """

    onednn: bool = False
    blocked_inference: int = 0
    blocked_training: int = 0


def computing(arithmetic: Arithmetic) -> AbstractContextManager[Any]:
    """Return a block in which this thread's networks compute as `arithmetic` says, and their gradients, wherever those are taken."""
    return nullcontext() if arithmetic == Arithmetic() else _Ways(arithmetic)


def recomputed(block: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return block(x), of which x alone is kept for the backward pass: that computes the block again, in the same ways."""
    ways = _chosen.get()
    out: Tensor = checkpoint(block, x, use_reentrant=False, context_fn=lambda: (nullcontext(), computing(ways)))
    return out


_DEFAULT = Arithmetic()
_chosen: ContextVar[Arithmetic] = ContextVar("arithmetic", default=_DEFAULT)


class _Ways(TorchFunctionMode):
    def __init__(self, arithmetic: Arithmetic) -> None:
        super().__init__()
        self.arithmetic = arithmetic

    def __enter__(self) -> _Ways:
        self._before = _chosen.set(self.arithmetic)
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        _chosen.reset(self._before)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.linear and self.arithmetic.onednn and _takes_linear(*args, **kwargs):
            return linear(*args, **kwargs)
        if func is F.scaled_dot_product_attention and self._takes_attention(*args, **kwargs):
            return blocked_attention(*_of_one_type(*args[:3]))
        return func(*args, **kwargs)

    def _takes_attention(self, *args: Any, **kwargs: Any) -> bool:
        """Whether these arguments are plain self-attention of so many tokens that multiplying it out is the faster way."""
        if len(args) != 3 or any(kwargs.get(name) for name in ("dropout_p", "is_causal", "scale", "enable_gqa")):
            return False
        query, key, value = args
        if (
            query.device.type != "cpu"
            or kwargs.get("attn_mask") is not None
            or query.ndim != 4
            or not query.shape == key.shape == value.shape
        ):
            return False
        training = torch.is_grad_enabled() and (query.requires_grad or key.requires_grad or value.requires_grad)
        return bool(query.shape[2] <= (self.arithmetic.blocked_training if training else self.arithmetic.blocked_inference))


# ---- linear maps through oneDNN
def has_onednn() -> bool:
    """Return whether this torch has the product that `linear` calls."""
    return bool(torch.backends.mkldnn.is_available()) and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """As torch's: x [..., C], weight [D, C], bias [D] -> [..., D], float32 on a processor, by oneDNN, with gradients where they are wanted."""
    wanted = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad or (bias is not None and bias.requires_grad))
    flat = x.reshape(-1, x.shape[-1])
    out: Tensor = _Linear.apply(flat, weight, bias) if wanted else _product(flat, weight, bias)
    return out.reshape(*x.shape[:-1], weight.shape[0])


def _takes_linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> bool:
    alike = all(t is None or (t.dtype == torch.float32 and t.device.type == "cpu") for t in (x, weight, bias))
    return alike and x.ndim >= 2 and weight.ndim == 2 and x.numel() > 0 and not torch.is_autocast_enabled("cpu")


def _product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """A [M, K], b [N, K] -> a b^T + bias [N]."""
    out: Tensor = torch.ops.mkldnn._linear_pointwise(a, b, bias, "none", [], "")
    return out


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        return (
            _product(grad, weight.t()) if wanted[0] else None,
            _product(grad.t(), x.t()) if wanted[1] else None,
            grad.sum(0) if wanted[2] else None,
        )


# ---- attention, multiplied out
def blocked_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax(query key^T / sqrt(d)) value for [B, H, N, d] of one type: [B, H, N, d], some heads at a time, with gradients where they are wanted."""
    if torch.is_grad_enabled() and (query.requires_grad or key.requires_grad or value.requires_grad):
        out: Tensor = _BlockedAttention.apply(query, key, value)
        return out
    return _attend(query, key, value, None)[0]


def _of_one_type(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors as autocast would hand them to the fused kernel."""
    if not torch.is_autocast_enabled("cpu"):
        return tensors
    kind = torch.get_autocast_dtype("cpu")
    return tuple(tensor.to(kind) for tensor in tensors)


def _blocks(heads: Tensor) -> list[slice]:
    """Slices of the heads [B H, N, d] whose matrices are computed together."""
    n = max(1, _BLOCK // (heads.shape[1] ** 2 * heads.element_size()))
    return [slice(start, start + n) for start in range(0, len(heads), n)]


def _attend(query: Tensor, key: Tensor, value: Tensor, kept: list[Tensor] | None) -> tuple[Tensor, float]:
    """Attention, and its scale. What the backward pass needs goes into `kept`: scaled queries, keys, values [B H, N, d], matrices [B H, N, N]."""
    shape, scale = query.shape, query.shape[-1] ** -0.5
    q, k, v = ((query * scale).flatten(0, 1), key.flatten(0, 1), value.flatten(0, 1))
    out = torch.empty_like(v, memory_format=torch.contiguous_format)
    matrices = None if kept is None else q.new_empty(len(q), q.shape[1], k.shape[1])
    for part in _blocks(q):
        scores = torch.bmm(q[part], k[part].transpose(1, 2))
        matrix = scores.softmax(-1) if matrices is None else torch.softmax(scores, -1, out=matrices[part])
        torch.bmm(matrix, v[part], out=out[part])
    if kept is not None and matrices is not None:
        kept += [q, k, v, matrices]
    return out.view(shape), scale


class _BlockedAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        kept: list[Tensor] = []
        out, ctx.scale = _attend(query, key, value, kept)
        ctx.save_for_backward(*kept)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v, matrices = ctx.saved_tensors
        shape, grad = grad.shape, grad.flatten(0, 1)
        d_q, d_k, d_v = (torch.empty_like(x, memory_format=torch.contiguous_format) for x in (q, k, v))
        for part in _blocks(q):
            matrix = matrices[part]
            torch.bmm(matrix.transpose(1, 2), grad[part], out=d_v[part])
            d_scores = torch._softmax_backward_data(torch.bmm(grad[part], v[part].transpose(1, 2)), matrix, -1, matrix.dtype)
            torch.bmm(d_scores, k[part], out=d_q[part])
            torch.bmm(d_scores.transpose(1, 2), q[part], out=d_k[part])
        return d_q.mul_(ctx.scale).view(shape), d_k.view(shape), d_v.view(shape)
