"""Measures how fast this machine is at what networks are made of, in each way that it could be computed: seconds, no judgement (choice.py judges).

A processor is measured in its own time on one thread, each figure the least of interleaved rounds: other programs on the same cores hardly change
that, and the ways share a machine's threads alike. A GPU is measured by the clock, between synchronisations. torch's global random numbers are left
as they were.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.arithmetic import Arithmetic, blocked_attention, computing, has_onednn

Seconds = dict[str, float]  # "kind/way/use" -> s; the uses are "inference" and "training"
Shot = Callable[[], tuple[float, float]]  # seconds of a forward pass, and of it with the backward pass

ROUNDS = (2, 8)  # each figure is the least of as many: at most, while the rounds of all ways together take less than ENOUGH
ENOUGH = 0.06  # s
HOPELESS = 3.0  # times the seconds of the fastest way, at a first look of fewer rows: a way that is not looked at again
TOKENS = (256, 512, 896)  # of the measured attention: a crop of 10 s with and without patchout, one of 30 s with it
HEADS, HEAD_WIDTH = 2, 64
_WORK = 192 * 768**2  # rows x width^2 of a measured layer: 10 to 50 ms of one core


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
    """Return the name of the figures of a transformer's feed-forward layer of this width."""
    return f"layer-{width}"


def layer_flops(width: int) -> float:
    """Return the operations of a measured layer's forward pass (two for a multiplication and addition)."""
    return 2.0 * _rows(width) * 8 * width**2


def attention_kinds(precision: str) -> dict[int, str]:
    """Return the names of the figures of attention in a precision (devices.PRECISIONS), by numbers of tokens."""
    name = "bfloat16" if precision.startswith("bf16") else "float32"
    return {tokens: f"attention-{name}-{tokens}" for tokens in TOKENS}


CONVOLUTION = "convolution"
PRODUCT = "product-int8"


def measure(kind: str, device: torch.device) -> Seconds:
    """Return the figures of a kind (`layer_kind`, one of `attention_kinds`, CONVOLUTION, PRODUCT) on a device."""
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad(), threads(_threads(device)):
        torch.manual_seed(0)
        name, *sizes = kind.split("-")
        shots: Callable[[float], Mapping[str, Shot]]
        if name == "layer":
            shots = partial(_layer, int(sizes[0]), device)
        elif name == "attention":
            shots = partial(_attention, getattr(torch, sizes[0]), int(sizes[1]), device)
        elif kind == CONVOLUTION:
            shots = partial(_convolution, device)
        else:
            shots = _int8
        return {
            f"{kind}/{way}/{use}": s for way, pair in _least(shots).items() for use, s in zip(("inference", "training"), pair)
        }


def _threads(device: torch.device) -> int:
    return 1 if device.type == "cpu" else torch.get_num_threads()


def _least(shots: Callable[[float], Mapping[str, Shot]]) -> dict[str, tuple[float, float]]:
    """Least seconds of each way. A way that a first look at an eighth of the work shows to be hopeless keeps eight times that look's seconds."""
    share = 0.125
    first = {}
    for way, shot in shots(share).items():
        try:
            shot()
            first[way] = shot()
        except (RuntimeError, NotImplementedError):  # torch has no such kernel here
            continue
    best = min(seconds[1] for seconds in first.values())
    found = {way: (a / share, b / share) for way, (a, b) in first.items()}
    able = {way: shot for way, shot in shots(1.0).items() if way in first and first[way][1] <= HOPELESS * best}
    rounds: dict[str, list[tuple[float, float]]] = {way: [] for way in able}
    begun, least, most = time.perf_counter(), *ROUNDS
    for n in range(most):
        if n >= least and time.perf_counter() - begun > ENOUGH:
            break
        for way, shot in able.items():
            rounds[way].append(shot())
    return {**found, **{way: (min(a for a, _ in seen), min(b for _, b in seen)) for way, seen in rounds.items()}}


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
    def shot(way: Callable[[], AbstractContextManager[Any]]) -> tuple[float, float]:
        begun = _now(x.device)
        with way():
            out = net(x)
            middle = _now(x.device)
            out.float().sum().backward()
        return middle - begun, _now(x.device) - begun

    return {name: partial(shot, way) for name, way in ways.items()}


def _now(device: torch.device) -> float:
    if device.type == "cpu":
        return time.thread_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def _rows(width: int) -> int:
    return max(128, min(1024, _WORK // width**2))


def _layer(width: int, device: torch.device, share: float) -> dict[str, Shot]:
    """A transformer's feed-forward half block, with its norm and residual."""
    layer = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)).to(device)
    x = torch.randn(max(8, int(share * _rows(width))), width, device=device, requires_grad=True)
    return _shots(lambda x: x + layer(x), x, ways_of(device))


def _convolution(device: torch.device, share: float) -> dict[str, Shot]:
    """A block of a network over samples or frames: convolution, norm, pooling."""
    block = nn.Sequential(nn.Conv1d(128, 128, 3, padding=1), nn.BatchNorm1d(128), nn.ReLU(), nn.MaxPool1d(3)).to(device)
    x = torch.randn(4, 128, int(share * 2187), device=device, requires_grad=True)
    ways = {name: way for name, way in ways_of(device).items() if name != "onednn"}  # torch's convolutions are oneDNN's anyway
    return _shots(block, x, ways)


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
