"""Measures how fast this machine is at what networks are made of, in each way that it could be computed: seconds, no judgement (choice.py judges).

A processor is measured in its own time on one thread, as often as it takes for figures to come twice (settling.py): other programs on the same cores
hardly change that, and the ways share a machine's threads alike. A GPU is measured by the clock, between synchronisations. torch's global random
numbers are left as they were.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.arithmetic import Arithmetic, blocked_attention, computing, has_onednn

from .settling import Shot, Shots, settle

Seconds = dict[str, float]  # "kind/way/use" -> s; the uses are "inference" and "training"
TOKENS = (256, 512, 896, 1792)  # of the measured attention: a crop of 10 s with and without patchout, one of 30 s likewise
HEADS, HEAD_WIDTH = 2, 64
BANKS = (
    (102, 7, 38),
    (102, 7, 67),
    (26, 128, 1),
    (26, 64, 1),
    (26, 32, 1),
)  # of measured filters, half of them: how many, frames, bands
FILTERED = (187, 96)  # frames and bands that they read
_WORK = 768 * 768**2  # rows x width^2 of a measured layer: 10 to 50 ms of one core


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Torch's operations inside run on n threads (0.2 microseconds, unlike waking a thread)."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def layer_kind(width: int) -> str:
    """Return the name of the figures of a transformer's linear maps of this width."""
    return f"layer-{width}"


def layer_flops(width: int) -> float:
    """Return the operations of a measured layer's forward pass (two for a multiplication and addition)."""
    return 2.0 * _rows(width) * 2 * width**2


def attention_kinds(precision: str) -> dict[int, str]:
    """Return the names of the figures of attention in a precision (devices.PRECISIONS), by numbers of tokens."""
    name = "bfloat16" if precision.startswith("bf16") else "float32"
    return {tokens: f"attention-{name}-{tokens}" for tokens in TOKENS}


CONVOLUTION = "convolution"
FILTERS = "filters"
PRODUCT = "product-int8"


def measure(kinds: Sequence[str], device: torch.device) -> tuple[Seconds, set[str]]:
    """Return the figures of kinds on a device, and which kinds' did not settle.

    kinds: `layer_kind`, some of `attention_kinds`, CONVOLUTION, FILTERS, PRODUCT.
    """
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad(), threads(_threads(device)):
        torch.manual_seed(0)
        least, unsettled = settle({kind: _shots_of(kind, device) for kind in kinds})
    found = {
        f"{kind}/{way}/{use}": seconds
        for kind, ways in least.items()
        for way, pair in ways.items()
        for use, seconds in zip(("inference", "training"), pair)
    }
    return found, unsettled


def _shots_of(kind: str, device: torch.device) -> Shots:
    name, *sizes = kind.split("-")
    if name == "layer":
        return partial(_layer, int(sizes[0]), device)
    if name == "attention":
        return partial(_attention, getattr(torch, sizes[0]), int(sizes[1]), device)
    others: dict[str, Shots] = {CONVOLUTION: partial(_convolution, device), FILTERS: partial(_filters, device), PRODUCT: _int8}
    return others[kind]


def _threads(device: torch.device) -> int:
    return 1 if device.type == "cpu" else torch.get_num_threads()


def ways_of(device: torch.device) -> dict[str, Callable[[], AbstractContextManager[Any]]]:
    """Return the ways to compute linear maps and convolutions on a device, by name: blocks to compute in."""
    if device.type != "cpu":
        half = {
            name: partial(torch.autocast, device.type, kind)
            for name, kind in (("bfloat16", torch.bfloat16), ("float16", torch.float16))
        }
        return {"float32": nullcontext, **half}
    found: dict[str, Callable[[], AbstractContextManager[Any]]] = {"float32": nullcontext}
    if has_onednn():
        found["onednn"] = partial(computing, Arithmetic(onednn=True))
    return {**found, "bfloat16": partial(torch.autocast, "cpu", torch.bfloat16)}


def _shots(
    net: Callable[[Tensor], Tensor], x: Tensor, ways: Mapping[str, Callable[[], AbstractContextManager[Any]]]
) -> dict[str, Shot]:
    wanted = [x, *(net.parameters() if isinstance(net, nn.Module) else ())]

    def shot(way: Callable[[], AbstractContextManager[Any]]) -> tuple[float, float]:
        begun = _now(x.device)
        with way():
            out = net(x)
            middle = _now(x.device)
            torch.autograd.grad(out.float().sum(), wanted)  # no sum with an earlier shot's gradients, as in a training's step
        return middle - begun, _now(x.device) - begun

    return {name: partial(shot, way) for name, way in ways.items()}


def _now(device: torch.device) -> float:
    if device.type == "cpu":
        return time.thread_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def _rows(width: int) -> int:
    return max(512, min(4096, _WORK // width**2))


class _Layer(nn.Sequential):
    """A transformer's half block: norm, linear maps, GELU, residual.

    Four times narrower inside than a feed-forward one, and of as many more rows: the same products and sums, of which fewer bytes are gradients,
    whose memory costs a small layer that is measured more than it costs the large one of a training.
    """

    def __init__(self, width: int) -> None:
        super().__init__(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + super().forward(x)
        return out


def _layer(width: int, device: torch.device, share: float) -> dict[str, Shot]:
    x = torch.randn(max(8, int(share * _rows(width))), width, device=device, requires_grad=True)
    return _shots(_Layer(width).to(device), x, ways_of(device))


def _convolution(device: torch.device, share: float) -> dict[str, Shot]:
    """A block of a network over samples: convolution, norm, pooling."""
    block = nn.Sequential(nn.Conv1d(128, 128, 3, padding=1), nn.BatchNorm1d(128), nn.ReLU(), nn.MaxPool1d(3)).to(device)
    x = torch.randn(4, 128, int(share * 2187), device=device, requires_grad=True)
    return _shots(block, x, _ways_of_convolutions(device))


def _ways_of_convolutions(device: torch.device) -> dict[str, Callable[[], AbstractContextManager[Any]]]:
    return {name: way for name, way in ways_of(device).items() if name != "onednn"}  # torch's convolutions are oneDNN's anyway


class _Filters(nn.Module):
    """Banks of high and of long filters on a spectrogram, as musicnn begins with: [1, 1, frames, bands] -> [1, C, frames]."""

    def __init__(self) -> None:
        super().__init__()
        self.banks = nn.ModuleList(
            nn.Sequential(
                nn.ZeroPad2d((0, 0, (frames - 1) // 2, frames // 2)),
                nn.Conv2d(1, n, (frames, bands)),
                nn.ReLU(),
                nn.BatchNorm2d(n),
            )
            for n, frames, bands in BANKS
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([bank(x).amax(dim=-1) for bank in self.banks], dim=1)


def _filters(device: torch.device, share: float) -> dict[str, Shot]:
    """A window through banks of filters. Their norms, over arrays as large as the time goes into, are other work in training than in inference."""
    net, ways = _Filters().to(device), _ways_of_convolutions(device)
    x = torch.randn(1, 1, max(8, int(share * FILTERED[0])), FILTERED[1], device=device, requires_grad=True)

    def shot(way: Callable[[], AbstractContextManager[Any]], training: Shot) -> tuple[float, float]:
        net.eval()
        begun = _now(device)
        with torch.no_grad(), way():
            net(x)
        seconds = _now(device) - begun
        net.train()
        return seconds, training()[1]

    return {name: partial(shot, ways[name], training) for name, training in _shots(net, x, ways).items()}


def _attention(kind: torch.dtype, tokens: int, device: torch.device, share: float) -> dict[str, Shot]:
    """Attention of two heads by torch's fused kernel, and multiplied out."""
    n = max(16, int(tokens * share**0.5))
    packed = torch.randn(1, n, 3, HEADS, HEAD_WIDTH, device=device, dtype=kind, requires_grad=True)
    found: dict[str, Shot] = {}
    for way, attend in (("fused", F.scaled_dot_product_attention), ("blocked", blocked_attention)):
        found |= _shots(partial(_attend, attend), packed, {way: nullcontext})
    return found


def _attend(attend: Callable[..., Tensor], packed: Tensor) -> Tensor:
    return attend(*packed.permute(2, 0, 3, 1, 4).unbind(0))


def _int8(share: float) -> dict[str, Shot]:
    """A product of whole numbers, as quantised networks are made of, for the table; nothing follows from it."""
    rows = int(256 * share)
    a, b = torch.randint(-128, 127, (rows, 768), dtype=torch.int8), torch.randint(-128, 127, (768, 3072), dtype=torch.int8)

    def shot() -> tuple[float, float]:
        begun = time.thread_time()
        torch._int_mm(a, b)
        seconds = time.thread_time() - begun
        return seconds, seconds

    return {"int8": shot}
