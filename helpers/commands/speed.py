"""The command that measures how fast a network is on this machine: windows per second, in inference and in training."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from rich.table import Table

from datasets.utils.terminal import Console
from models.encoder import AudioEncoder

from ..families.base import RANDOM
from ..runtime.devices import resolve_accelerator, resolve_precision
from .context import Context
from .networks import as_trained

REPEATS = 5


@dataclass(frozen=True)
class Speed:
    """One measurement: windows per second, the median of REPEATS passes after a warm-up."""

    name: str
    batch: int
    windows_per_second: float
    times_real_time: float


def model_speed_test(context: Context) -> dict[str, float]:
    """Speed of the config's network: windows per second, and how much faster than the music plays; inference and training."""
    config = as_trained(context)
    device = "cuda" if resolve_accelerator(config.trainer.accelerator) == "gpu" else "cpu"
    net = context.family.network(config, None, context.seed, RANDOM).to(device)  # speed does not depend on weights
    rows = measure(net, config.datamodule.batch_size_test, config.datamodule.batch_size_train, config.trainer.precision)
    print_speeds(net, rows)
    return {row.name: row.windows_per_second for row in rows}


def measure(net: AudioEncoder, batch_inference: int, batch_training: int, precision: str = "auto") -> list[Speed]:
    """Return the speed of inference with one window and with a batch, and of a training step (forward, backward), on the network's device."""
    device = net.device
    name = resolve_precision(precision, "cpu" if device.type == "cpu" else "gpu")
    dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(name)

    def windows(batch: int) -> torch.Tensor:
        return net.from_stored(torch.randn(batch, net.window_length, *net.stored_item, device=device))

    def outputs(x: torch.Tensor) -> torch.Tensor:
        return net.window_logits(x) if net.has_classes else net.encode(x)

    def forward(batch: int) -> Callable[[], None]:
        x = windows(batch)

        def step() -> None:
            with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype is not None):
                outputs(x)

        return step

    def train(batch: int) -> Callable[[], None]:
        x = windows(batch)

        def step() -> None:
            with torch.autocast(device.type, dtype, enabled=dtype is not None):
                loss = outputs(x).float().square().mean()
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


def print_speeds(net: AudioEncoder, rows: list[Speed]) -> None:
    """Print the measurements as a table."""
    parameters = sum(p.numel() for p in net.parameters())
    table = Table(
        title=f"{parameters:,} parameters, {net.max_seconds:g} s windows, {net.device}, {torch.get_num_threads()} threads"
    )
    table.add_column("what")
    for column in ("windows / s", "x real time"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(row.name, f"{row.windows_per_second:.2f}", f"{row.times_real_time:.0f}")
    Console().print(table)
