"""The command that shows how fast this machine computes in which way, and what `auto` makes of it."""

from __future__ import annotations

import os

import torch
from rich.table import Table

from datasets.utils.terminal import Console
from models.arithmetic import Arithmetic

from ..runtime import machine as figures_of_machine
from ..runtime.choice import arithmetic_of, choose
from ..runtime.devices import resolve_accelerator
from ..runtime.probe import (
    BANKS,
    CONVOLUTION,
    FILTERED,
    FILTERS,
    HEAD_WIDTH,
    HEADS,
    PRODUCT,
    attention_kinds,
    layer_flops,
    layer_kind,
)
from .context import Context

WIDTHS = (192, 512, 768, 1024)  # of the demo's network, of OMAR-RQ's and MAEST's published ones, of MusicFM's
_INT8_FLOPS = 2.0 * 256 * 768 * 3072


def machine(context: Context) -> dict[str, str]:
    """Measure this machine, or show what was measured of it: operations per second of each way to compute, and what trainer.precision=auto takes.

    Figures are kept (~/.cache/maest, or MAEST_CACHE) for this processor or GPU, its threads, and this version of torch; those that scatter too much
    to decide anything are not, and auto is float32 there. MAEST_MACHINE=remeasure measures again what is kept, MAEST_MACHINE=FILE takes a file of
    figures, MAEST_MACHINE=off none: all is then computed in torch's own way.
    """
    gpu = resolve_accelerator(context.config.trainer.accelerator) == "gpu"
    device = torch.device("cuda" if gpu else "cpu")
    layers = tuple(layer_kind(width) for width in WIDTHS)
    attention = () if gpu else tuple(kind for p in ("32-onednn", "bf16-mixed") for kind in attention_kinds(p).values())
    seconds = dict(figures_of_machine.figures((*layers, CONVOLUTION, FILTERS, *attention, *(() if gpu else (PRODUCT,))), device))
    about, scattered = figures_of_machine.describe(device), figures_of_machine.unsettled(device)
    Console().print(
        table_of(seconds, f"{about['device']}, {about['cores']} cores, {about['threads']} threads, torch {about['torch']}")
    )
    chosen: dict[str, str] = {}
    for kind in (*layers, CONVOLUTION, FILTERS):
        for training in (False, True):
            found = choose(seconds, kind, training, scattered)
            chosen[f"{kind} {'training' if training else 'inference'}"] = found.precision
            context.print(f"auto: {found.precision} ({found.why})")
    if scattered:
        context.print(f"Not settled, not kept, measured again by the next run: {', '.join(sorted(scattered))}.")
    if not gpu:
        for line in dict.fromkeys(_attention_line(seconds, name) for name in chosen.values()):
            context.print(line)
    if (kept := figures_of_machine.kept_in(device)).is_file() and not os.environ.get(figures_of_machine.VARIABLE):
        context.print(f"Kept in {kept}.")
    return chosen


def _attention_line(seconds: dict[str, float], precision: str) -> str:
    ways = arithmetic_of(seconds, precision)
    if ways == Arithmetic():
        return f"attention in {precision}: torch's fused kernel"
    return (
        f"attention in {precision}: multiplied out in blocks up to {ways.blocked_inference} tokens in inference and "
        f"{ways.blocked_training} in training, beyond that torch's fused kernel"
    )


def table_of(seconds: dict[str, float], title: str) -> Table:
    """Return a table of figures: what, in which way, GFLOP/s (of one thread on a processor) forward, and forward with backward."""
    table = Table(title=title)
    table.add_column("what")
    table.add_column("way")
    for column in ("inference, GFLOP/s", "training, GFLOP/s"):
        table.add_column(column, justify="right")
    for name in dict.fromkeys(name.rpartition("/")[0] for name in seconds):
        kind, _, way = name.partition("/")
        flops, times = _flops(kind)
        rates = [
            n * flops / seconds[f"{name}/{use}"] / 1e9
            for n, use in ((1, "inference"), (times, "training"))
            if f"{name}/{use}" in seconds
        ]
        table.add_row(kind, way, *(f"{rate:.0f}" for rate in rates))
    return table


def _flops(kind: str) -> tuple[float, float]:
    """Operations of a kind's forward pass, and how many times as many the backward pass makes of them."""
    name, *sizes = kind.split("-")
    if name == "layer":
        return layer_flops(int(sizes[0])), 3.0
    if name == "attention":
        return 4.0 * HEADS * HEAD_WIDTH * int(sizes[1]) ** 2, 3.0
    if kind == PRODUCT:
        return _INT8_FLOPS, 1.0
    if kind == FILTERS:
        return 2.0 * sum(n * t * f * FILTERED[0] * (FILTERED[1] - f + 1) for n, t, f in BANKS), 3.0
    return 2.0 * 4 * 128 * 128 * 3 * 2187, 3.0
