"""The command that measures how fast a network is on this machine: by what is done, the length of windows, the precision and the backend."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path

import torch
from rich import box
from rich.table import Table

from datasets.utils.files import atomic
from datasets.utils.progress import JobProgress
from datasets.utils.terminal import Console
from models.encoder import AudioEncoder
from models.errors import ConfigError
from models.onnx_windows import INT8, ONNX, on_onnx

from ..families.base import RANDOM
from ..runtime.devices import resolve_accelerator, resolve_precision, work_of
from ..runtime.network_speed import Speed, Task, measure
from .context import Context
from .networks import as_trained

LENGTHS = (1 / 3, 2 / 3)  # of a window, measured beside whole ones where a network takes them


def model_speed_test(context: Context) -> dict[str, float]:
    """Speed of the config's network: seconds, operations and memory of inference and training, by length, precision and backend; and as speed.csv.

    The weights are random: speed does not depend on them.
    """
    config = as_trained(context)
    device = "cuda" if resolve_accelerator(config.trainer.accelerator) == "gpu" else "cpu"
    net = context.family.network(config, None, context.seed, RANDOM).to(device).eval()
    data = config.datamodule
    planned = list(tasks(net, data.batch_size_test, data.batch_size_train, config.trainer.precision))
    backends = (ONNX, INT8)
    rows: list[Speed] = []
    with JobProgress("Measuring", len(planned) + len(backends), "tasks", every_seconds=10) as progress:
        for task in planned:
            rows.append(measure(net, task))
            progress.advance(note=rows[-1].name)
        for backend in backends:
            if (row := _on_backend(context, net, backend)) is not None:
                rows.append(row)
            progress.advance(note=backend)
    print_speeds(net, rows)
    path = context.folder / "speed.csv"
    write_speeds(path, rows)
    context.print(str(path))
    return {row.name: row.windows_per_second for row in rows}


def tasks(net: AudioEncoder, batch_inference: int, batch_training: int, precision: str | int = "auto") -> Iterator[Task]:
    """Yield what torch is measured at: one window of each length in float32 and in 16 bits; batches of the config in its precision."""
    device = "cpu" if net.device.type == "cpu" else "gpu"
    work = work_of(net)
    half = "bf16-mixed" if device == "cpu" else resolve_precision("auto", device, work)
    shortest, _ = net.window_range
    lengths = [net.window_length, *(n for share in LENGTHS if (n := int(share * net.window_length)) >= max(shortest, 16))]
    lengths = [n for n in sorted(lengths) if n == net.window_length or net.window_range[0] < net.window_range[1]]
    for length in lengths:
        for name in dict.fromkeys(("32-true", half)):
            yield Task("inference", length, 1, name)
    yield Task("inference", net.window_length, batch_inference, resolve_precision(precision, device, work))
    yield Task("training", net.window_length, batch_training, resolve_precision(precision, device, work, training=True))


def _on_backend(context: Context, net: AudioEncoder, backend: str) -> Speed | None:
    """Return one window's inference by a backend; None, and said, where it cannot compute this network here."""
    try:
        return measure(net, Task("inference", net.window_length, 1, "32-true", backend), on_onnx(net, backend, kept=False))
    except ConfigError as error:
        context.print(str(error))
        return None


def print_speeds(net: AudioEncoder, rows: list[Speed]) -> None:
    """Print the measurements as a table."""
    parameters = sum(p.numel() for p in net.parameters())
    title = f"{parameters:,} parameters, {net.max_seconds:g} s windows, {net.device}, {torch.get_num_threads()} threads"
    table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("what", "s", "batch", "precision", "backend"):
        table.add_column(column)
    for column in ("tokens", "GFLOP", "seconds", "x real time", "MiB", "% of peak"):
        table.add_column(column, justify="right")
    for row in rows:
        share = "" if row.share_of_peak is None else f"{100 * row.share_of_peak:.0f}"
        memory = "" if row.peak_mib is None else f"{row.peak_mib:.0f}"
        table.add_row(
            row.what, f"{row.window_seconds:.3g}", str(row.batch), row.precision, row.backend, str(row.tokens), f"{row.gflop:.3g}",
            f"{row.seconds:.3g}", f"{row.audio_seconds_per_second:.3g}", memory, share,
        )  # fmt: skip
    Console(width=max(110, Console().width)).print(table)
    Console().print(
        "Peak: a matrix product of 2048 in that precision, measured now. Memory: of the whole process (of a GPU: what torch took)."
    )


def write_speeds(path: Path, rows: list[Speed]) -> None:
    """Write the measurements as csv, a row each."""
    with atomic(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Speed)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
