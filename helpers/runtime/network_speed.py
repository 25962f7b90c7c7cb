"""How long a network takes on this machine for one task, how many operations that is, and what share of the processor's matrix products."""

from __future__ import annotations

import functools
import re
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from models.encoder import AudioEncoder

from .devices import autocast

REPEATS, LONG_SECONDS = 5, 3.0  # passes behind a warm-up; fewer where they take longer than this together
SIDE = 2048  # of the matrix product that the peak is measured with


@dataclass(frozen=True)
class Task:
    """What is measured: "inference" or "training" (forward and backward), length of windows, windows at once, precision, backend."""

    what: str
    length: int
    batch: int
    precision: str
    backend: str = "torch"


@dataclass(frozen=True)
class Speed:
    """One measurement.

    tokens: of a window, as the blocks see them. gflop: 10^9 operations of the whole batch. seconds: the median. peak_mib: memory at its most.
    share_of_peak: of a matrix product in the same precision; None where none was measured.
    """

    what: str
    window_seconds: float
    batch: int
    precision: str
    backend: str
    tokens: int
    gflop: float
    seconds: float
    windows_per_second: float
    audio_seconds_per_second: float
    peak_mib: float | None
    share_of_peak: float | None

    @property
    def name(self) -> str:
        """Which measurement it is."""
        how = self.precision if self.backend == "torch" else self.backend
        return f"{self.what}, {self.window_seconds:.4g} s, batch {self.batch}, {how}"


def measure(net: AudioEncoder, task: Task, backed: Any = None) -> Speed:
    """Return the speed of a task on the network's device. backed: the network as the task's backend computes it; None: torch."""
    x = net.from_stored(torch.randn(task.batch, task.length, *net.stored_item, device=net.device))
    step = _step(net, x, task, net if backed is None else backed)
    was_training = net.training
    net.train(task.what == "training")
    try:
        _reset_peak(net.device)
        seconds = _median_seconds(step, net.device)
        memory = _peak_mib(net.device)
        net.eval()
        gflop = task.batch * _gflop(net, x[:1]) * (3 if task.what == "training" else 1)  # backward: two products for each
        tokens = _tokens(net, x)
    finally:
        net.train(was_training)
    length = task.length / net.units_per_second
    peak = _peak_gflops(net.device.type, task.precision) if task.backend != "onnx-int8" else None
    rate = task.batch / seconds
    return Speed(
        task.what, length, task.batch, task.precision, task.backend, tokens, gflop, seconds, rate, rate * length, memory,
        None if peak is None else gflop / seconds / peak,
    )  # fmt: skip


def _outputs(net: Any, x: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = net.window_logits(x) if net.has_classes else net.summaries(x, [net.depth - 1])[0]
    return found


def _step(net: AudioEncoder, x: torch.Tensor, task: Task, backed: Any) -> Callable[[], None]:
    def around() -> AbstractContextManager[Any]:
        return autocast(net.device.type, task.precision)

    def inference() -> None:
        with torch.inference_mode(), around():
            _outputs(backed, x)

    def training() -> None:
        with around():
            loss = (net.window_logits(x) if net.has_classes else net.encode(x)).float().square().mean()
        loss.backward()
        net.zero_grad(set_to_none=True)

    return training if task.what == "training" else inference


def _median_seconds(step: Callable[[], None], device: torch.device) -> float:
    times: list[float] = []
    while len(times) <= REPEATS and (len(times) < 2 or sum(times[1:]) < LONG_SECONDS):
        start = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def _tokens(net: Any, x: torch.Tensor) -> int:
    """Tokens of a window: what a MAEST's blocks see; of others the vectors in time that they give."""
    if hasattr(net, "tokens"):
        with torch.no_grad():
            return int(net.tokens(x[:1])[0].shape[1])
    return max(1, round(x.shape[-1] / net.units_per_second * net.embedding_rate))


def _gflop(net: AudioEncoder, x: torch.Tensor) -> float:
    """10^9 operations (products and sums) of the matrix products, convolutions and attention of one forward pass."""
    from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count  # here for start-up time

    def attention(query: Any, key: Any, value: Any, *rest: Any, out_shape: Any = None, **more: Any) -> int:
        count: int = sdpa_flop_count(query, key, value)
        return count

    fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu  # torch's own table knows those of GPUs alone
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping={fused: attention}) as counter:
        _outputs(net, x)
    return counter.get_total_flops() / 1e9


@functools.cache
def _peak_gflops(device: str, precision: str) -> float:
    """10^9 operations per second of a matrix product, the best of three."""
    kind = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(precision, torch.float32)
    a = torch.randn(SIDE, SIDE, device=device).to(kind)
    best = float("inf")
    for _ in range(4):
        start = time.perf_counter()
        a @ a
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return 2 * SIDE**3 / best / 1e9


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")  # Linux: the most begins anew
    except OSError:
        return


def _peak_mib(device: torch.device) -> float | None:
    """Memory at its most in MiB since `_reset_peak`, of the process or (GPU) of torch; None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    except OSError:
        return None
    return int(found[1]) / 1024 if found else None
