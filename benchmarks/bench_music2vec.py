"""music2vec: memory of fine-tuning with and without gradient checkpointing, torch's scaled dot-product attention beside plain attention, and layers.

python benchmarks/bench_music2vec.py [--what memory attention] [--batch 8] [--seconds 5] [--device cpu] [--precision float32]

The published size is the default. Memory is of one whole step of fine-tuning (weights, gradients, AdamW's two means, activations, all blocks learn):
on a GPU the most that torch had reserved, on a processor the most that the process held, above what it held before the network was built, each
measured in a process of its own. Ratios are of medians within one run. The machine's measured rate of matrix products is said beside them.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.pop(0)  # this folder: its coverage.py would be taken for the package
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from models.finetune import FineTuneObjective, fine_tuned
from models.music2vec import Music2Vec
from models.music2vec.blocks import run
from models.randomness import Randomness

RATE, LABELS = 16000, 50


def synchronized(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def cost(calls: dict[str, Callable[[], object]], device: str, rounds: int) -> dict[str, float]:
    """Seconds of each call (of the processor, or on a GPU the clock's): medians of interleaved rounds, after one to warm up."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            synchronized(device)
            start = clock()
            call()
            synchronized(device)
            found[name].append(clock() - start)
    return {name: statistics.median(times[1:]) for name, times in found.items()}


def peak(device: str, dtype: torch.dtype) -> float:
    """1e9 multiplications and additions per second in products of two 1024 x 1024 matrices."""
    a = torch.randn(1024, 1024, device=device, dtype=dtype)
    return 1024**3 / cost({"product": lambda: a @ a}, device, 5)["product"] / 1e9


def held(device: str) -> float:
    """Gigabytes: the most so far."""
    if device != "cpu":
        return torch.cuda.max_memory_reserved() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def step_memory(batch: int, seconds: float, device: str, again: bool) -> None:
    """One step of fine-tuning, its gigabytes and seconds."""
    before = held(device)
    net = Music2Vec(None, max_seconds=seconds)
    net.gradient_checkpointing = again
    objective = FineTuneObjective(fine_tuned(net, [str(i) for i in range(LABELS)], hidden=512)).to(device).train()
    optimizer = torch.optim.AdamW(objective.param_groups())
    x = torch.randn(batch, int(seconds * RATE), device=device) * 0.1
    y = torch.zeros(batch, LABELS, device=device)
    clock = time.process_time if device == "cpu" else time.perf_counter
    for _ in range(2):
        start = clock()
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=device != "cpu"):
            loss = objective.training_step({"x": x, "y": y}, Randomness(0))["loss"]
        loss.backward()
        optimizer.step()
        synchronized(device)
    used = held(device) - before
    precision = "float32" if device == "cpu" else "bfloat16 under autocast"
    print(
        f"  {batch} x {seconds:g} s, {precision}, {'with' if again else 'without'} checkpointing: {used:.2f} GB, {clock() - start:.1f} s a step"
    )


@torch.no_grad()
def attention(batch: int, seconds: float, device: str, dtype: torch.dtype, rounds: int) -> None:
    """Blocks with torch's attention and with plain attention, together and one attention alone; part of the depth."""
    nets = {
        name: Music2Vec(None, sdpa=name == "sdpa", max_seconds=seconds).to(device, dtype).eval() for name in ("sdpa", "plain")
    }
    nets["plain"].load_state_dict(nets["sdpa"].state_dict())
    wave = (torch.randn(batch, int(seconds * RATE)) * 0.1).to(device, dtype)
    x, _ = nets["sdpa"].features(wave)
    print(
        f"12 blocks of width 768, {batch} x {seconds:g} s ({x.shape[1]} vectors), {dtype} on {device}; peak {peak(device, dtype):.0f}e9 products/s"
    )
    blocks = cost({name: lambda net=net: run(net.encoder, x) for name, net in nets.items()}, device, rounds)
    alone = cost({name: lambda net=net: net.encoder.layers[0].attention(x) for name, net in nets.items()}, device, rounds)
    for what, found in (("blocks", blocks), ("one attention", alone)):
        print(
            f"  {what}: scaled dot-product {found['sdpa']:.4f} s, plain {found['plain']:.4f} s: {found['sdpa'] / found['plain']:.2f} of it"
        )
    net = nets["sdpa"]
    parts = cost(
        {"all": lambda: net.encode(wave), "six": lambda: net.encode(wave, [5]), "stem": lambda: net.features(wave)},
        device,
        rounds,
    )
    print(f"  layer 5 of 12: {parts['six'] / parts['all']:.2f} of the whole; the stem alone {parts['stem'] / parts['all']:.2f}")
    a, b = (net.encode(wave).float() for net in nets.values())
    print(f"  their largest difference: {float((a - b).abs().max() / b.abs().max()):.1e} of the largest value")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--what", nargs="+", choices=("memory", "attention"), default=["memory", "attention"])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--step", choices=("with", "without"), help="one step of fine-tuning in this process: what --what memory starts"
    )
    args = parser.parse_args()
    torch.manual_seed(0)
    if args.step is not None:
        step_memory(args.batch, args.seconds, args.device, args.step == "with")
        return
    if "memory" in args.what:
        print("Fine-tuning the whole network, published size, one step:")
        for again in ("without", "with"):
            words = ["--batch", str(args.batch), "--seconds", str(args.seconds), "--device", args.device, "--step", again]
            subprocess.run([sys.executable, __file__, *words], check=True)
    if "attention" in args.what:
        attention(args.batch, args.seconds, args.device, getattr(torch, args.precision), args.rounds)


if __name__ == "__main__":
    main()
