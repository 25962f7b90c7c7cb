"""CLMR: crops per second of the augmentation chain on one core, by step, and of a training step, by stage.

Every figure is CPU time of one thread (`time.process_time`), so that other work on the machine counts little; medians over repetitions, the
compared ways interleaved. The plain way to filter, shift and reverberate is one crop at a time with what SciPy and librosa offer.

Measured on a busy machine with 2 cores (Intel Xeon with AVX-512, November 2026), crops of 59 049 samples (2.68 s):
the chain 79 crops/s per core, 12.6 ms a crop: reverb 44 %, pitch 39 %, filters 15 %. Against a plain way: filter 1.0x, pitch 1.0x
(librosa's phase vocoder), reverb 26x (recursive filters of one channel with all their zeros, where ours has two). A training step
at the published width 528 ms a track of two crops, 1.9 tracks/s per core: augmentation 5 %, forward 43 %, backward 52 %; at a quarter of the width
83 ms, 12 tracks/s: augmentation 30 %, forward 37 %, backward 32 %.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

sys.path.pop(0)  # this folder: its coverage.py would be taken for the package
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from models.clmr import NTXent, Projector, SampleCNN
from models.clmr.augment import STEPS, Augmentation, apply, draw, unchanged
from models.randomness import Randomness

RATE, N = 22050, 59049
WIDTHS = {"published (128-256-512)": [128] * 3 + [256] * 6 + [512] * 2, "a quarter (32-64-128)": [32] * 3 + [64] * 6 + [128] * 2}


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def chain(crops: int, repeats: int) -> tuple[dict[str, float], float]:
    """CPU seconds per crop of each step of the published chain, and of drawing the plan."""
    x = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (crops, N)).astype(np.float32))
    found: dict[str, list[float]] = {name: [] for name in STEPS}
    drawn = []
    for repeat in range(repeats + 1):
        rng = Randomness(0, repeat).items(range(crops), "augment 0")
        drawn.append(seconds(lambda rng=rng: draw(Augmentation(), rng)) / crops)
        plan = draw(Augmentation(), Randomness(0, repeat).items(range(crops), "augment 0"))
        last = [time.process_time()]

        def done(name: str, last: list[float] = last) -> None:
            now = time.process_time()
            found[name].append((now - last[0]) / crops)
            last[0] = now

        apply(x, plan, RATE, done)
    return {name: statistics.median(values[1:]) for name, values in found.items()}, statistics.median(drawn[1:])


def plainly(repeats: int) -> list[tuple[str, float, float]]:
    """(effect, CPU seconds here, CPU seconds of the plain way) for one crop that has the effect."""
    import librosa
    from scipy.signal import firwin, lfilter

    from models.clmr.effects import ALL_PASSES, COMBS, WET

    x = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (1, N)).astype(np.float32))
    wave = x[0].numpy()

    def recursive() -> np.ndarray:  # Freeverb as recursive filters with all their coefficients, zeros included
        wet: np.ndarray | float = 0.0
        for delay in (c // 2 for c in COMBS):
            a, b = np.zeros(delay + 1), np.zeros(delay + 2)
            a[0], a[1], a[delay], b[delay], b[delay + 1] = 1, -0.35, -0.9 * 0.65, 1, -0.35
            wet = wet + lfilter(b, a, wave)
        for delay in (c // 2 for c in ALL_PASSES):
            a, b = np.zeros(delay + 1), np.zeros(delay + 1)
            a[0], a[delay], b[0], b[delay] = 1, -0.5, -1, 1.5
            wet = lfilter(b, a, wet)
        return wave + WET * wet

    low = firwin(2 * int(8 / (300 / RATE) / 2) + 1, 300, fs=RATE, window="hann")
    pairs = {
        "filter at 300 Hz": (replace(unchanged(1), low_pass=np.array([300.0])), lambda: lfilter(low, 1, wave)),
        "pitch +500 cents": (
            replace(unchanged(1), cents=np.array([500])),
            lambda: librosa.effects.pitch_shift(wave, sr=RATE, n_steps=5.0, n_fft=1024, res_type="soxr_hq"),
        ),
        "reverb": (replace(unchanged(1), reverb=np.array([True]), room=np.array([99]), reverberance=np.array([60])), recursive),
    }
    rows = []
    for name, (plan, plain) in pairs.items():
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(repeats + 1):
            times[0].append(seconds(lambda plan=plan: apply(x, plan, RATE)))
            times[1].append(seconds(plain))
        rows.append((name, *(statistics.median(values[1:]) for values in times)))
    return rows


def step(channels: list[int], batch: int, repeats: int) -> dict[str, float]:
    """CPU seconds per track of a training step's stages: two views forward, loss, backward, Adam's update."""
    torch.manual_seed(0)
    net, projector, loss = SampleCNN(channels, out_dim=None).train(), Projector(channels[-1], 64), NTXent()
    optimizer = torch.optim.Adam([*net.parameters(), *projector.parameters()], 3e-4)
    views = [torch.randn(batch, N) * 0.1 for _ in range(2)]
    found: dict[str, list[float]] = {"forward": [], "loss": [], "backward": [], "update": []}
    for _ in range(repeats + 1):
        marks = [time.process_time()]
        z = [projector(net(view)) for view in views]
        marks.append(time.process_time())
        value = loss(*z)
        marks.append(time.process_time())
        optimizer.zero_grad()
        value.backward()
        marks.append(time.process_time())
        optimizer.step()
        marks.append(time.process_time())
        for name, a, b in zip(found, marks, marks[1:]):
            found[name].append((b - a) / batch)
    return {name: statistics.median(values[1:]) for name, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--crops", type=int, default=48)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    console = Console(width=110)
    parts, drawn = chain(args.crops, args.repeats)
    whole = sum(parts.values()) + drawn
    table = Table(title=f"Augmentation: {1 / whole:.0f} crops/s per core, {1000 * whole:.1f} ms per crop")
    for column in ("step", "ms per crop", "share"):
        table.add_column(column, justify="left" if column == "step" else "right")
    for name, value in {"drawing": drawn, **parts}.items():
        table.add_row(name, f"{1000 * value:.2f}", f"{value / whole:.0%}")
    console.print(table)
    table = Table(title="One crop with the effect, against a plain way")
    for column in ("effect", "ms here", "ms plainly", "ratio"):
        table.add_column(column, justify="left" if column == "effect" else "right")
    for name, here, plain in plainly(args.repeats):
        table.add_row(name, f"{1000 * here:.1f}", f"{1000 * plain:.1f}", f"{plain / here:.1f}")
    console.print(table)
    table = Table(title=f"Training step, per track of two crops (batch {args.batch}, one core, float32)")
    for column in ("width", "augmentation", "forward", "loss", "backward", "update", "tracks/s"):
        table.add_column(column, justify="left" if column == "width" else "right")
    for name, channels in WIDTHS.items():
        stages = {"augmentation": 2 * whole, **step(channels, args.batch, args.repeats)}
        total = sum(stages.values())
        cells = [f"{1000 * value:.1f} ms ({value / total:.0%})" for value in stages.values()]
        table.add_row(name, *cells, f"{1 / total:.1f}")
    console.print(table)


if __name__ == "__main__":
    main()
