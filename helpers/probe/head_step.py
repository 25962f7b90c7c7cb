"""One step of one probe head: forward, gradient by hand, Adam. Written out because autograd's bookkeeping costs as much as the products themselves
for heads this small (measured: 0.74 s an epoch of 147 steps with it, 0.43 s without; 768 inputs, one busy core).

Which product is fast is the machine's: float32 goes through oneDNN, and bfloat16 is multiplied as such, where that was measured to be the faster way
(runtime/machine.py). Elsewhere torch's own float32 product is taken, for rounded factors too, which is the same but for the order of the sums.
Letters: B items, K layers, D inputs, L outputs.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.adam import adam

from models.arithmetic import linear
from models.heads import ACTIVATIONS, ProbeHead

from ..metrics.losses import boundary_weights
from ..runtime.devices import faster_through_onednn, resolve_precision
from ..runtime.probe import threads

ORDER, DROPOUT = 1, 2  # what a generator is for
_LARGE = 1 << 24  # multiplications of a product that several threads share; smaller ones would wait for a thread to wake


@functools.cache
def _through_onednn() -> bool:
    return faster_through_onednn(training=True)


@functools.cache
def _fast_bf16() -> bool:
    return resolve_precision("auto", "cpu", training=True) == "bf16-mixed"


def product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """A [M, K], b [N, K] -> a b^T (+ bias [N]), [M, N] float32; the product of bfloat16 factors is rounded to bfloat16."""
    if a.dtype == torch.bfloat16:
        out = (a @ b.t() if _fast_bf16() else (a.float() @ b.float().t()).bfloat16()).float()
        return out if bias is None else out.add_(bias)
    return linear(a, b, bias) if _through_onednn() else F.linear(a, b, bias)


class Draws:
    """The random numbers of one head in one epoch: a pure function of (seed, epoch)."""

    def __init__(self, seed: int, epoch: int):
        self.order = np.random.Generator(np.random.SFC64([seed, epoch, ORDER]))
        self._bits = np.random.SFC64([seed, epoch, DROPOUT])

    def keep(self, shape: Sequence[int], share: float) -> Tensor:
        """Inverted dropout's factors, float32: 0 for a `share` of the units (to 1/65536), else 1 / (1 - share)."""
        n = int(np.prod(shape))
        raw = self._bits.random_raw(-(-n // 4)).view(np.uint16)[:n].reshape(shape)
        return torch.from_numpy(np.multiply(raw >= round(share * 65536), np.float32(1.0 / (1.0 - share))))


class HeadStep:
    """A head, its optimiser's state, and a step of both. `net` holds the weights.

    decoupled: AdamW's weight decay, else Adam's (L2). low: products in bfloat16. The large products and Adam run on the threads that torch has when
    this is made. Call it on one thread: all the rest takes microseconds, less than it takes to wake a second one.
    """

    def __init__(self, net: ProbeHead, loss: str, weight_decay: float, decoupled: bool, low: bool = False):
        self.net, self.loss, self.low = net, loss, low
        self._decay, self._decoupled, self._threads = weight_decay, decoupled, torch.get_num_threads()
        self._linears = [(m.weight.detach(), m.bias.detach()) for m in net.linears]
        self._mix = None if net.layer_logits is None else net.layer_logits.detach()
        self._activation = ACTIVATIONS[net.activation]()
        self.parameters = [p for pair in self._linears for p in pair] + ([] if self._mix is None else [self._mix])
        self._means = [torch.zeros_like(p) for p in self.parameters]
        self._squares = [torch.zeros_like(p) for p in self.parameters]
        self._steps = [torch.zeros((), dtype=torch.float32) for _ in self.parameters]

    @torch.no_grad()
    def __call__(self, x: Tensor, y: Tensor, draws: Draws, rate: float) -> float:
        """Learn from x [B, D] (with mixed layers [B, K, D]; bfloat16 when `low`) and y float [B, L]. Returns the loss before the step."""
        loss, grads = self.gradients(x, y, draws)
        with threads(self._threads):
            adam(
                self.parameters, grads, self._means, self._squares, [], self._steps, fused=True, amsgrad=False, beta1=0.9, beta2=0.999, eps=1e-8,
                lr=rate, weight_decay=self._decay, maximize=False, decoupled_weight_decay=self._decoupled,
            )  # fmt: skip
        return loss

    def _product(self, a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
        if self._threads == 1 or a.shape[0] * b.numel() < _LARGE:
            return product(a, b, bias)
        with threads(self._threads):
            return product(a, b, bias)

    @torch.no_grad()
    def gradients(self, x: Tensor, y: Tensor, draws: Draws) -> tuple[float, list[Tensor]]:
        """The loss, and its gradients in the order of `parameters`."""
        shares = None if self._mix is None else self._mix.softmax(dim=0)
        z = x if shares is None else torch.einsum("k,bkd->bd", shares, x.float())
        dropped = draws.keep(z.shape, self.net.input_dropout) if self.net.input_dropout else None
        z = z if dropped is None else z * dropped
        inputs, befores, masks = [], [], []
        for i, (weight, bias) in enumerate(self._linears):
            z = z.bfloat16() if self.low else z
            inputs.append(z)
            z = self._product(z, weight.bfloat16() if self.low else weight, bias)
            if i < len(self._linears) - 1:
                befores.append(z)
                z = self._activation(z)
                masks.append(draws.keep(z.shape, self.net.dropout) if self.net.dropout else None)
                z = z if masks[-1] is None else z * masks[-1]
        loss, grad = _loss(self.loss, z, y)
        grads: list[Tensor] = []
        for i in range(len(self._linears) - 1, -1, -1):
            low = grad.bfloat16() if self.low else grad
            grads[:0] = [self._product(low.t(), inputs[i].t()), grad.sum(0)]
            if i or shares is not None:
                weight = self._linears[i][0]
                grad = self._product(low, (weight.bfloat16() if self.low else weight).t())
            if i:
                mask = masks[i - 1]
                grad = _derivative(self.net.activation, grad if mask is None else grad.mul_(mask), befores[i - 1])
        if shares is not None:
            grad = grad if dropped is None else grad * dropped
            per_share = torch.einsum("bd,bkd->k", grad, x.float())
            grads.append(shares * (per_share - (shares * per_share).sum()))
        return loss, grads


def _loss(name: str, z: Tensor, y: Tensor) -> tuple[float, Tensor]:
    """Mean loss of logits z [B, L] against y [B, L], and its gradient."""
    if name == "bce":
        probability = z.sigmoid()
        return float(F.binary_cross_entropy_with_logits(z, y)), probability.sub_(y).div_(z.numel())
    if name == "bce_boundary":
        weights, probability = torch.from_numpy(boundary_weights(z.shape[1])), z.sigmoid()
        loss = F.binary_cross_entropy_with_logits(z, y, reduction="none").mul_(weights).mean()
        return float(loss), probability.sub_(y).mul_(weights).div_(z.numel())
    if name == "ce":
        logs = z.log_softmax(dim=1)
        return float(-(logs * y).sum() / len(z)), (logs.exp() - y).div_(len(z))
    error = z - y
    return float(error.square().mean()), error.mul_(2.0 / z.numel())


def _derivative(activation: str, grad: Tensor, before: Tensor) -> Tensor:
    """The gradient through an activation, given its input."""
    if activation == "relu":
        return torch.ops.aten.threshold_backward(grad, before, 0.0)
    if activation == "tanh":
        return grad.mul_(1 - before.tanh().square())
    return torch.ops.aten.gelu_backward(grad, before)
