"""How fast a network is on this machine: windows per second and how much faster than the music plays, in inference and in training."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table

from models.maest import MAEST

from ..runtime.devices import resolve_precision

REPEATS = 5


@dataclass(frozen=True)
class Speed:
    """One measurement: windows per second, the median of REPEATS passes after a warm-up."""

    name: str
    batch: int
    windows_per_second: float
    times_real_time: float


def measure(net: MAEST, batch_inference: int, batch_training: int, precision: str = "auto") -> list[Speed]:
    """Inference with one window and with a batch; a training step (forward, backward) with patchout, on the network's device."""
    device = net.device
    name = resolve_precision(precision, "cpu" if device.type == "cpu" else "gpu")
    dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(name)

    def windows(batch: int) -> torch.Tensor:
        return torch.randn(batch, 1, net.input_f, net.input_t, device=device)

    def forward(batch: int) -> Callable[[], None]:
        x = windows(batch)

        def step() -> None:
            with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype is not None):
                net(x)

        return step

    def train(batch: int) -> Callable[[], None]:
        x = windows(batch)

        def step() -> None:
            with torch.autocast(device.type, dtype, enabled=dtype is not None):
                loss = net(x)[0].float().square().mean()
            loss.backward()
            net.zero_grad(set_to_none=True)

        return step

    out = []
    for title, training, step, batch in (
        ("inference, one window", False, forward(1), 1),
        (f"inference, batch {batch_inference}", False, forward(batch_inference), batch_inference),
        (f"training, batch {batch_training}", True, train(batch_training), batch_training),
    ):
        net.train(training)
        rate = batch / _median_seconds(step, device)
        out.append(Speed(title, batch, rate, rate * net.max_seconds))
    net.eval()
    return out


def _median_seconds(step: Callable[[], None], device: torch.device) -> float:
    times = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def show(net: MAEST, rows: list[Speed]) -> None:
    """Print the measurements as a table."""
    parameters = sum(p.numel() for p in net.parameters())
    table = Table(
        title=f"{parameters:,} parameters, {net.max_seconds:g} s windows, {net.device}, {torch.get_num_threads()} threads"
    )
    for column, side in (("what", "left"), ("windows / s", "right"), ("x real time", "right")):
        table.add_column(column, justify=side)
    for row in rows:
        table.add_row(row.name, f"{row.windows_per_second:.2f}", f"{row.times_real_time:.0f}")
    Console().print(table)
