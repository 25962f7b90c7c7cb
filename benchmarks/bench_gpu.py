"""MAEST on a GPU: training steps, logits and block 7 beside the published code's way, the share of the card's peak, and what that makes of an epoch.

python benchmarks/bench_gpu.py [--clips 64 32] [--rounds 5]

The plain way is bench_training's: plain attention, float32, no TF32. Ours in float32, in bfloat16 (where torch takes its fused attention), and in
bfloat16 by torch.compile, which the suite does not offer. Interleaved, medians, between synchronisations; the peak is a matrix product of 8192 in
the same run. Hours are of one epoch of 200 000 crops, tracks a second of 4-minute tracks in windows without overlap; both are the network's alone:
`bench_step_share.py` says how many crops a process reads. Sized for a few minutes; nobody has run it on a GPU yet. Without one it says so and
measures nothing; `--device cpu --clips 1 1 --rounds 1` tries the script.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.pop(0)  # this folder: its coverage.py would be taken for the package
sys.path.insert(0, str(ROOT))

from benchmarks.bench_inference import BLOCK, needed, plain  # noqa: E402
from benchmarks.bench_training import CASES, PEAK_OF, computed, our_step, plain_step  # noqa: E402
from benchmarks.timing import interleaved, machine_line, operations, peaks  # noqa: E402
from helpers.runtime.devices import autocast, work_of  # noqa: E402
from models.maest import MAEST  # noqa: E402

EPOCH, TRACK = 200_000, 240  # crops; seconds
PEAK_SIZE = {"cpu": 1024}  # of the measured product, else 8192
Way = Callable[[], object]


def table(title: str, last: str) -> Table:
    found = Table(title=title)
    for column in ("way", "computed in", "ms", "x", "of peak", last):
        found.add_column(column, justify="left" if column in ("way", "computed in") else "right", no_wrap=True)
    return found


def training(seconds: int, clips: int, rounds: int, device: str, peak: dict[str, float]) -> Table:
    frames, _, dropped = CASES[seconds]
    case = (frames, clips, dropped)
    ways: dict[str, tuple[Way, str]] = {"published way": (plain_step(*case, device), "32-true")}
    ours = [("ours, 32", "32", False), ("ours", "bf16", False), ("ours, compiled", "bf16", True)]
    for way, precision, compiled in ours[: 2 if device == "cpu" else 3]:  # a processor's compiler is none of this
        ways[way] = our_step(*case, precision, device=device, compiled=compiled)
    cost = interleaved({way: call for way, (call, _) in ways.items()}, rounds, device)
    found = table(f"training, {clips} x {seconds} s, time patchout {dropped}, medians of {rounds}", "hours an epoch")
    for way, (_, name) in ways.items():
        wall = cost[way].wall
        share = computed(*case, whole=way == "published way") / wall / peak[PEAK_OF[name]]
        hours = math.ceil(EPOCH / clips) * wall / 3600
        found.add_row(way, name, f"{1000 * wall:.1f}", f"{cost['published way'].wall / wall:.2f}", f"{share:.0%}", f"{hours:.2f}")
    return found


@torch.inference_mode()
def inference(seconds: int, clips: int, block: int, rounds: int, device: str, peak: dict[str, float]) -> Table:
    frames = CASES[seconds][0]
    net, mel = MAEST(input_t=frames).to(device).eval(), torch.randn(clips, 96, frames, device=device)

    def ours(precision: str) -> object:
        with autocast(device, precision, work_of(net)):
            return net(mel, block, melspectrogram_input=True) if block >= 0 else net.window_logits(mel)

    ways: dict[str, tuple[Way, str]] = {
        "published way": (plain(frames, mel, block, device), "32-true"),
        "ours, 32": (lambda: ours("32"), "32-true"),
        "ours": (lambda: ours("bf16"), "bf16-mixed"),
    }
    cost = interleaved({way: call for way, (call, _) in ways.items()}, rounds, device)
    found = table(f"{'logits' if block < 0 else f'block {block}'}, {clips} x {seconds} s, medians of {rounds}", "tracks/s")
    for way, (_, name) in ways.items():
        wall = cost[way].wall
        share = needed(frames, clips, block, way == "published way") / wall / peak[PEAK_OF[name]]
        tracks = clips / wall / (TRACK / seconds)
        found.add_row(
            way, name, f"{1000 * wall:.1f}", f"{cost['published way'].wall / wall:.2f}", f"{share:.0%}", f"{tracks:.3g}"
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, nargs=2, default=[64, 32], metavar=("OF_10_S", "OF_30_S"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    args = parser.parse_args()
    console, begun = Console(), time.perf_counter()
    console.print(machine_line())
    if args.device == "cuda" and not torch.cuda.is_available():
        console.print("No GPU is here: nothing of this was measured.")
        return
    torch.manual_seed(0)
    size = PEAK_SIZE.get(args.device, 8192)
    peak = {way: operations(size) / cost.wall for way, cost in peaks(args.device, size, 3).items()}
    console.print("peak, TFLOP/s: " + ", ".join(f"{way} {rate / 1e12:.3g}" for way, rate in peak.items()))
    for seconds, clips in zip(CASES, args.clips):
        console.print(training(seconds, clips, args.rounds, args.device, peak))
        console.print(inference(seconds, clips, -1, args.rounds, args.device, peak))
    console.print(inference(30, args.clips[1], BLOCK, args.rounds, args.device, peak))
    console.print(
        f"hours an epoch: of {EPOCH:,} crops; tracks/s: of {TRACK} s, in windows without overlap; both the network's alone"
    )
    if args.device == "cuda":
        console.print(f"memory at its most: {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")
    console.print(f"{time.perf_counter() - begun:.0f} s in all")


if __name__ == "__main__":
    main()
