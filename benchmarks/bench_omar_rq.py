"""OMAR-RQ: a layer in the middle beside the straightforward computation of all blocks, in processor time.

python benchmarks/bench_omar_rq.py [--width 256] [--seconds 5]
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from models.omar_rq import OmarRQ

DEPTH, LAYER, ROUNDS = 24, 6, 5


def cost(call) -> float:
    """Processor seconds of a call: median of some, after one to warm up."""
    call()
    found = []
    for _ in range(ROUNDS):
        start = time.process_time()
        call()
        found.append(time.process_time() - start)
    return statistics.median(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=5.0)
    args = parser.parse_args()
    torch.manual_seed(0)
    net = OmarRQ(embed_dim=args.width, depth=DEPTH, num_heads=8).eval()
    x = torch.randn(1, int(args.seconds * net.sample_rate)) * 0.1

    def every() -> None:
        """All blocks, with gradients kept, as the reference does; the asked one is picked at the end."""
        net.net.outputs(net.embedded(net.input_patches(x)), range(DEPTH))[LAYER].clone()

    whole, part = cost(every), cost(lambda: net.extract_embeddings(x, [LAYER]))
    print(f"{DEPTH} blocks of width {args.width}, {args.seconds:g} s of audio, one clip")
    print(f"all blocks        {whole:.3f} s")
    print(f"layer {LAYER} alone     {part:.3f} s   {part / whole:.2f} of it")


if __name__ == "__main__":
    main()
