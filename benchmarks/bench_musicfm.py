"""MusicFM: a layer in the middle beside the full depth, and torch's scaled dot-product attention beside plain attention.

python benchmarks/bench_musicfm.py [--width 1024] [--seconds 30] [--precision float32] [--device cpu]

The published size is the default (a processor's core takes minutes). What the layers cost is said with and without the stem, which every layer needs:
at the published size it has most of the multiplications. Ratios are of medians within one run.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from models.musicfm import MusicFM25Hz

DEPTH, LAYER = 12, 6


def cost(call: Callable[[], object], device: str, rounds: int) -> float:
    """Seconds of a call (of the processor, or on a GPU the clock's): median of some, after one to warm up."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    found = []
    for _ in range(rounds + 1):
        if device != "cpu":
            torch.cuda.synchronize()
        start = clock()
        call()
        if device != "cpu":
            torch.cuda.synchronize()
        found.append(clock() - start)
    return statistics.median(found[1:])


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    torch.manual_seed(0)
    dtype = getattr(torch, args.precision)
    sizes = {"encoder_dim": args.width, "conv_dim": args.width // 2, "encoder_depth": DEPTH}
    sizes["conformer"] = {"num_attention_heads": 16, "intermediate_size": 4 * args.width}
    nets = {
        flash: MusicFM25Hz(is_flash=flash, stat_path=None, model_path=None, **sizes).to(args.device, dtype).eval()
        for flash in (True, False)
    }
    nets[False].load_state_dict(nets[True].state_dict())
    wav = (torch.randn(args.batch, int(args.seconds * 24000)) * 0.1).to(args.device, dtype)
    net = nets[True]
    whole, part, stem = (
        cost(lambda layer=layer: net.get_latent(wav, layer_ix=layer), args.device, args.rounds) for layer in (DEPTH, LAYER, 0)
    )
    x = net.get_latent(wav, layer_ix=0)
    print(f"{DEPTH} blocks of width {args.width}, {args.batch} x {args.seconds:g} s, {args.precision} on {args.device}, seconds")
    print(f"layer_ix {DEPTH}            {whole:.4f}")
    print(f"layer_ix {LAYER}             {part:.4f}   {part / whole:.2f} of it")
    print(f"layer_ix 0 (the stem)  {stem:.4f}   {stem / whole:.2f} of it")
    print(f"blocks alone, {LAYER} of {DEPTH}   {(part - stem) / (whole - stem):.2f}")
    every = [cost(lambda net=net: net.conformer.outputs(x, DEPTH), args.device, args.rounds) for net in nets.values()]
    positions = net.conformer.embed_positions(x)
    first = [one.conformer.layers[0].self_attn for one in nets.values()]
    attention = [cost(lambda one=one: one(x, relative_position_embeddings=positions), args.device, args.rounds) for one in first]
    for what, (sdpa, plain) in (("blocks", every), ("one attention", attention)):
        print(f"{what}: scaled dot-product {sdpa:.4f}, plain {plain:.4f}   {sdpa / plain:.2f} of it")
    a, b = (one.get_latent(wav).float() for one in nets.values())
    print(f"their largest difference: {float((a - b).abs().max() / b.abs().max()):.1e} of the largest value")


if __name__ == "__main__":
    main()
