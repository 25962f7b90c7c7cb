"""How much faster a network is with patches left out at inference: amounts timed in turns, in one process, on the same windows."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any

import torch

from datasets.utils.progress import JobProgress
from models.errors import ConfigError
from models.frontend.mel_settings import frames_of
from models.registry import load_model


def patchout_speed(
    model: str, settings: Mapping[str, Mapping[str, Any]], seconds: float, batch: int, rounds: int
) -> dict[str, float]:
    """Return amount -> windows per second beside the first amount's (itself 1.0): the median over rounds of the ratios within a round.

    Each round times every amount once, in changing order, up to the last block. Raises ConfigError for no round, or no amount.

    Args:
        model: a registered name or a weight file.
        settings: amount -> patchout arguments of the network.
        seconds: length of a window, s.
        batch: windows at once.
        rounds: number of rounds.
    """
    if rounds < 1 or not settings:
        raise ConfigError(f"A speed wants one round and one amount or more; got {rounds} rounds of {list(settings)}.")
    names = list(settings)
    nets = {name: load_model(model, input_t=frames_of(seconds), **settings[name]) for name in names}
    last = nets[names[0]].depth - 1
    torch.manual_seed(0)
    windows = torch.randn(batch, nets[names[0]].settings["input_f"], frames_of(seconds))
    taken: dict[str, list[float]] = {name: [] for name in names}
    with JobProgress("Timing", (rounds + 1) * len(names), "passes") as progress:
        for turn in range(rounds + 1):
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                begun = time.perf_counter()
                with torch.inference_mode():
                    nets[name].summaries(windows, [last])
                if turn:  # the first one warms up
                    taken[name].append(time.perf_counter() - begun)
                progress.advance()
    first = taken[names[0]]
    return {name: statistics.median(a / b for a, b in zip(first, taken[name])) for name in names}
