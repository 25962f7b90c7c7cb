"""MAEST's logits and block 7 beside the published code's way of computing them: plain attention, float32, torch's default library.

python benchmarks/bench_inference.py [ROUNDS]          6 minutes with 3

The plain way is bench_training's, and stops behind the asked block; where the package maest-infer can be imported, it is run beside it.
Full size, random weights, mels given. Interleaved, medians; "off" is the distance of the outputs from ours in float32, over their length; "of peak"
the share of a matrix product's speed in the same precision, for the operations that a way computes.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
sys.path.pop(0)  # this folder: its coverage.py would be taken for the package
sys.path.insert(0, str(ROOT))

from benchmarks.bench_training import DEPTH, PEAK_OF, PlainMAEST, computed  # noqa: E402
from benchmarks.timing import interleaved, machine_line, operations, peaks  # noqa: E402
from helpers.runtime.devices import autocast, resolve_precision, work_of  # noqa: E402
from models.maest import MAEST  # noqa: E402
from models.onnx_windows import OnnxWindows, on_onnx  # noqa: E402

BLOCK = 7
CASES = {"10 s": (625, 4), "30 s": (1875, 2)}  # mel frames, clips
PUBLISHED = {"10 s": "discogs-maest-10s-pw-129e", "30 s": "discogs-maest-30s-pw-129e"}
PRECISIONS = ("32", "32-onednn", "auto")
BACKENDS = ("onnx", "onnx-int8")
Call = Callable[[], Tensor]


def plain(frames: int, mel: Tensor, block: int, device: str = "cpu") -> Call:
    net = PlainMAEST(frames, 0).to(device).eval()
    if block >= 0:
        net.blocks, net.norm, net.head = net.blocks[: block + 1], nn.Identity(), nn.Identity()  # type: ignore[assignment]
    return lambda: net(mel)


def package(arch: str, mel: Tensor, block: int) -> Call | None:
    try:
        net = importlib.import_module("maest_infer").get_maest(arch=arch, pretrained=False).eval()
    except ImportError:
        return None
    return lambda: next(out for out in net(mel.clone(), melspectrogram_input=True, transformer_block=block) if out is not None)


def ours(net: MAEST, mel: Tensor, block: int) -> dict[str, tuple[Call, str]]:
    """Return each way of ours with the precision that its products are in."""
    work, found = work_of(net), {}
    for asked in PRECISIONS:
        name = resolve_precision(asked, "cpu", work, training=False)

        def call(name: str = name) -> Tensor:
            with autocast("cpu", name, work):
                return (net(mel, block, melspectrogram_input=True)[1] if block >= 0 else net.window_logits(mel)).float()

        found[f"ours, {asked}"] = (call, name)
    for backend in BACKENDS:
        there = on_onnx(net, backend, compared=False)

        def run(there: OnnxWindows = there) -> Tensor:
            return there.summaries(mel, [block])[0].flatten(1) if block >= 0 else there.window_logits(mel)

        found[f"ours, {backend}"] = (run, "int8" if backend == "onnx-int8" else "32-true")
    return found


def needed(frames: int, clips: int, block: int, whole: bool) -> float:
    """Operations of a forward pass."""
    if block < 0:
        return computed(frames, clips, 0, whole) / 3
    return computed(frames, clips, 0, True) / 3 * (block + 1) / DEPTH


@torch.inference_mode()
def report(length: str, block: int, rounds: int, console: Console) -> None:
    frames, clips = CASES[length]
    mel = torch.randn(clips, 96, frames)
    net = MAEST(input_t=frames).eval()
    mine = ours(net, mel, block)
    calls: dict[str, Call] = {"published way": plain(frames, mel, block)}
    if (theirs := package(PUBLISHED[length], mel, block)) is not None:
        calls["maest-infer"] = theirs
    top = peaks(rounds=3)
    cost = interleaved({**calls, **{name: call for name, (call, _) in mine.items()}}, rounds)
    exact = mine["ours, 32"][0]()
    table = Table(title=f"{'logits' if block < 0 else f'block {block}'}, {clips} x {length}, medians of {rounds}")
    for column in (
        "way",
        "computed in",
        "wall s",
        "cpu s",
        "x by wall",
        *(["x maest-infer"] if theirs else []),
        "off",
        "of peak",
    ):
        table.add_column(column, justify="left" if column in ("way", "computed in") else "right", no_wrap=True)
    for way, found in cost.items():
        call, name = mine.get(way, (None, "32-true"))
        off = "" if call is None else f"{float((call() - exact).norm() / exact.norm()):.1e}"
        rate = needed(frames, clips, block, call is None) / found.processor
        share = f"{rate * top[PEAK_OF[name]].processor / operations():.0%}" if name in PEAK_OF else ""
        ratios = [f"{cost[base].wall / found.wall:.2f}" for base in calls]
        table.add_row(way, name, f"{found.wall:.2f}", f"{found.processor:.2f}", *ratios, off, share)
    console.print(table)
    rates = ", ".join(f"{way} {operations() / c.processor / 1e9:.0f}" for way, c in top.items())
    console.print(f"peak, GFLOP/s: {rates} ({torch.get_num_threads()} threads)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rounds", type=int, nargs="?", default=3)
    rounds = parser.parse_args().rounds
    console = Console(width=120)
    torch.manual_seed(0)
    console.print(machine_line())
    for length in CASES:
        report(length, -1, rounds, console)
    report("30 s", BLOCK, rounds, console)


if __name__ == "__main__":
    main()
