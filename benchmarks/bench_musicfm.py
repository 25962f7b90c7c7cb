"""MusicFM: a layer in the middle beside the full depth, torch's attention beside plain attention, the front end beside whole tensors.

python benchmarks/bench_musicfm.py [--width 1024] [--seconds 30] [--precision float32] [--device cpu]

The published size is the default (a processor's core takes minutes). What the layers cost is said with and without the stem, which every layer needs,
beside the share that the multiplications alone would give and the machine's measured matrix peak: the stem's convolutions have 64 % of the published
size's multiplications, so that half of the blocks are 0.82 of all. Ratios are of medians within one run, and ways are timed in turns.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import pad

sys.path.pop(0)  # this folder: its coverage.py would be taken for the package
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from models.musicfm import MusicFM25Hz

DEPTH, LAYER = 12, 6


def seconds(call: Callable[[], object], device: str) -> float:
    """Seconds of a call: of the processor, or on a GPU the clock's."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    if device != "cpu":
        torch.cuda.synchronize()
    start = clock()
    call()
    if device != "cpu":
        torch.cuda.synchronize()
    return clock() - start


def cost(calls: Mapping[str, Callable[[], object]], device: str, rounds: int) -> dict[str, float]:
    """Median seconds of each call, timed in turns, after one round to warm up."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            spent = seconds(call, device)
            if number:
                found[name].append(spent)
    return {name: statistics.median(times) for name, times in found.items()}


def multiplications(width: int, channels: int, samples: int) -> tuple[float, float]:
    """Of one clip: (the stem's, one block's), 1e9 multiplications and additions."""
    frames = samples // 240
    first, second, vectors = 64 * frames // 2, 32 * frames // 4, frames // 4  # places of the stem's two blocks, and vectors
    convolutions = 9 * channels * (2 * first + channels * first + 3 * channels * second)
    stem = convolutions + channels * 32 * width * vectors
    block = vectors * (16 * width + 7 * width + 31) * width + 2 * vectors**2 * width
    return stem / 1e9, block / 1e9


def peak(device: str, dtype: torch.dtype) -> float:
    """The machine's matrix product, 1e9 multiplications and additions per second."""
    a = torch.randn(2048, 2048, device=device).to(dtype)
    return 2048**3 / cost({"": lambda: a @ a}, device, 3)[""] / 1e9


def plain_mel(net: MusicFM25Hz, wave: Tensor) -> Tensor:
    """The front end's power and filter bank on whole tensors."""
    window, bank = net.preprocessor.mel_stft["spectrogram"].window, net.preprocessor.mel_stft["mel_scale"].fb
    frames = pad(wave[:, None], (1024, 1024), mode="reflect")[:, 0].unfold(-1, 2048, 240)[:, : wave.shape[1] // 240]
    spectrum = torch.fft.rfft(frames * window)
    power = spectrum.real.square() + spectrum.imag.square()
    return 10 * torch.log10((power.double() @ bank.double()).float().clamp_min(1e-10)).transpose(1, 2)


def layers(net: MusicFM25Hz, wav: Tensor, device: str, rounds: int) -> None:
    """Print what a layer in the middle costs."""
    asked = {str(layer): (lambda layer=layer: net.get_latent(wav, layer_ix=layer)) for layer in (DEPTH, LAYER, 0)}
    whole, part, stem = cost(asked, device, rounds).values()
    stem_count, block_count = multiplications(net.embed_dim, net.settings["conv_dim"], wav.shape[1])
    all_count, part_count = stem_count + DEPTH * block_count, stem_count + LAYER * block_count
    rate = len(wav) * all_count / whole
    print(
        f"{all_count:.0f} G multiplications a clip, {rate:.0f} G/s; the machine's matrix product: {peak(device, wav.dtype):.0f} G/s"
    )
    print(f"layer_ix {DEPTH}            {whole:.4f}")
    print(f"layer_ix {LAYER}             {part:.4f}   {part / whole:.2f} of it; by multiplications {part_count / all_count:.2f}")
    print(f"layer_ix 0 (the stem)  {stem:.4f}   {stem / whole:.2f} of it; by multiplications {stem_count / all_count:.2f}")
    print(f"blocks alone, {LAYER} of {DEPTH}   {(part - stem) / (whole - stem):.2f}")


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
    print(f"{DEPTH} blocks of width {args.width}, {args.batch} x {args.seconds:g} s, {args.precision} on {args.device}, seconds")
    layers(net, wav, args.device, args.rounds)
    x, wave = net.get_latent(wav, layer_ix=0), wav.float()
    mel = cost({"ours": lambda: net.preprocessor(wave), "plain": lambda: plain_mel(net, wave)}, args.device, args.rounds)
    print(f"front end: ours {mel['ours']:.4f}, whole tensors {mel['plain']:.4f}   {mel['ours'] / mel['plain']:.2f} of it")
    blocks = {str(flash): (lambda one=one: one.conformer.outputs(x, DEPTH)) for flash, one in nets.items()}
    positions = net.conformer.embed_positions(x)
    first = {str(flash): one.conformer.layers[0].self_attn for flash, one in nets.items()}
    attention = {flash: (lambda one=one: one(x, relative_position_embeddings=positions)) for flash, one in first.items()}
    for what, calls in (("blocks", blocks), ("one attention", attention)):
        sdpa, plain = cost(calls, args.device, args.rounds).values()
        print(f"{what}: scaled dot-product {sdpa:.4f}, plain {plain:.4f}   {sdpa / plain:.2f} of it")
    a, b = (one.get_latent(wav).float() for one in nets.values())
    print(f"their largest difference: {float((a - b).abs().max() / b.abs().max()):.1e} of the largest value")


if __name__ == "__main__":
    main()
