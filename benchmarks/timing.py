"""What benchmarks share: ways timed in turn, the machine's measured peak beside them, ratios of medians within one run.

Two clocks: the wall's, and the processor time that this process was given, over its threads. On an idle machine they agree; where other programs want
the same cores only the second one says something, and with one thread (OMP_NUM_THREADS=1) it says it exactly.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from models.arithmetic import has_onednn, linear


@dataclass(frozen=True)
class Cost:
    """Medians over rounds: seconds by the wall's clock, and of processor time over threads (on a GPU: the wall's)."""

    wall: float
    processor: float


def interleaved(
    ways: Mapping[str, Callable[[], object]], rounds: int, device: str = "cpu", enough: float = 0.0
) -> dict[str, Cost]:
    """Call every way once to warm up, then all in turn so many times; on (to ten times as many) until `enough` seconds of the processor are spent."""
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    begun = time.process_time()
    for n in range(10 * rounds + 1):
        if n > rounds and time.process_time() - begun > enough:
            break
        for name, way in ways.items():
            found = _timed(way, device)
            if n:
                seen[name].append(found)
    return {name: Cost(*(statistics.median(column) for column in zip(*found))) for name, found in seen.items()}


def _timed(way: Callable[[], object], device: str) -> tuple[float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    way()
    if device != "cpu":
        torch.cuda.synchronize()
    wall = time.perf_counter() - wall
    return wall, wall if device != "cpu" else (time.process_time() - processor) / torch.get_num_threads()


def peaks(device: str = "cpu", size: int = 2048, rounds: int = 5) -> dict[str, Cost]:
    """Seconds of a matrix product of this size, in each way; `operations(size)` of them."""
    with torch.inference_mode():
        x, w = (torch.randn(size, size, device=device) for _ in range(2))
        ways: dict[str, Callable[[], object]] = {"float32": lambda: F.linear(x, w)}
        if device == "cpu" and has_onednn():
            ways["onednn"] = lambda: linear(x, w)
        half = x.bfloat16(), w.bfloat16()
        ways["bfloat16"] = lambda: F.linear(*half)
        return interleaved(ways, rounds, device)


def operations(size: int = 2048) -> float:
    """Operations of a product of square matrices."""
    return 2.0 * size**3


def machine_line() -> str:
    """Say what this runs on."""
    from helpers.runtime.machine import describe

    about = describe(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    return f"{about['device']}, {about['cores']} cores, torch {about['torch']}"
