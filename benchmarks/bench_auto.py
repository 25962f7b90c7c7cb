"""What `auto` computes in, beside float32, float32 through oneDNN and bfloat16: inference and training of every family, and what bfloat16 changes.

python benchmarks/bench_auto.py [--rounds 3] [--seconds 5] [--families maest clmr omar_rq musicfm music2vec mert musicnn]

Networks have their published widths and random weights; OMAR-RQ, MusicFM, music2vec and MERT are computed up to their third
block, forward and backward. Ratios are of medians of processor time within one run; `auto / best`, of 32 and bf16-mixed, above 1.05 would be a wrong
choice. "off by" is the distance of the outputs over their length.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.pop(0)  # this folder: its coverage.py would be taken for the package
sys.path.insert(0, str(ROOT))

from benchmarks.timing import interleaved, machine_line  # noqa: E402
from helpers.runtime.devices import autocast, resolve_precision, work_of  # noqa: E402
from models.encoder import AudioEncoder  # noqa: E402

ENOUGH = 8.0  # s of the processor for one row
WAYS = ("32", "32-onednn", "bf16-mixed")


def maest() -> tuple[AudioEncoder, int]:
    from models.maest import MAEST

    return MAEST(input_t=625), 11


def clmr() -> tuple[AudioEncoder, int]:
    from models.clmr import SampleCNN

    return SampleCNN(), -1


def omar_rq() -> tuple[AudioEncoder, int]:
    from models.omar_rq import OmarRQ

    return OmarRQ(embed_dim=512, depth=24, num_heads=8), 2


def musicfm() -> tuple[AudioEncoder, int]:
    from models.musicfm import MusicFM25Hz

    return MusicFM25Hz(is_flash=True, stat_path=None, model_path=None), 2


def music2vec() -> tuple[AudioEncoder, int]:
    from models.music2vec import Music2Vec

    return Music2Vec(None), 2


def mert() -> tuple[AudioEncoder, int]:
    from models.mert import MERT

    return MERT(), 2


def musicnn() -> tuple[AudioEncoder, int]:
    from models.musicnn import MusiCNN

    return MusiCNN(), -1


MADE = (maest, clmr, omar_rq, musicfm, music2vec, mert, musicnn)
FAMILIES: dict[str, Callable[[], tuple[AudioEncoder, int]]] = {make.__name__: make for make in MADE}


def steps(net: AudioEncoder, layer: int, wave: Tensor, training: bool) -> dict[str, Callable[[], object]]:
    """Return a call for each precision, and for what auto chooses."""
    work = work_of(net)
    chosen = {name: resolve_precision(name, "cpu", work, training) for name in (*WAYS, "auto")}
    layers = list(net.resolve_layers([layer]))

    def call(precision: str) -> object:
        net.train(training)
        with autocast("cpu", precision), torch.set_grad_enabled(training):
            out = net.encode(wave, layers)
            if training:
                out.float().square().mean().backward()
        net.zero_grad(set_to_none=True)
        return out.detach().float()

    return {name: lambda precision=precision: call(precision) for name, precision in chosen.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=list(FAMILIES))
    args = parser.parse_args()
    torch.manual_seed(0)
    console = Console(width=130)
    console.print(machine_line())
    console.print(
        f"Processor seconds / thread, median of {args.rounds} or more interleaved rounds, {torch.get_num_threads()} threads, 2 x {args.seconds:g} s"
    )
    columns = ("family", "use", *WAYS, "auto", "auto is", "auto / best", "bf16 off by")
    console.print("".join(f"{column:>12}" for column in columns))
    for name in args.families:
        net, layer = FAMILIES[name]()
        wave = 0.1 * torch.randn(2, int(min(args.seconds, net.max_seconds) * net.sample_rate))
        for use in ("inference", "training"):
            ways = steps(net, layer, wave, use == "training")
            cost = {way: c.processor for way, c in interleaved(ways, args.rounds, enough=ENOUGH).items()}
            off = ""
            if use == "inference":
                exact, half = ways["32"](), ways["bf16-mixed"]()
                assert isinstance(exact, Tensor)
                assert isinstance(half, Tensor)
                off = f"{float((half - exact).norm() / exact.norm()):.1e}"
            best = min(cost["32"], cost["bf16-mixed"])
            chosen = resolve_precision("auto", "cpu", work_of(net), use == "training")
            row = (name, use, *(f"{cost[way]:.3f}" for way in (*WAYS, "auto")), chosen, f"{cost['auto'] / best:.2f}", off)
            console.print("".join(f"{value:>12}" for value in row))


if __name__ == "__main__":
    main()
