"""A training step of MAEST beside the published code's way of computing it: the share of the machine's peak, and what a step's time goes into.

python benchmarks/bench_training.py [--seconds 10 30] [--rounds 3] [--ways 32 32-onednn bf16-mixed auto] [--no-memory]

The plain way is written here: every patch embedded and then dropped, attention multiplied out whole, float32 by torch's default library, AdamW as
it is. Batches as in the recipe: 10 s with 4 clips and time patchout 30, 30 s with 2 clips and time patchout 90. Operations are those of the
linear maps and of attention, forward and backward; softmax, norms and the optimiser count as none, and neither does what ours leaves out: of the last
block all but keys and values of tokens that no head reads. "cpu s" is processor time over threads, and the
share of the peak is of a matrix product's in the same precision, by the same clock. Memory is the peak of a process of its own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F

ROOT = Path(__file__).resolve().parents[1]
sys.path.pop(0)  # this folder: its coverage.py would be taken for the package
sys.path.insert(0, str(ROOT))

from benchmarks.timing import Cost, interleaved, machine_line, operations, peaks  # noqa: E402
from helpers.runtime.devices import computing_in, resolve_precision, work_of  # noqa: E402
from models.maest import MAEST  # noqa: E402

C, HEADS, DEPTH, L = 768, 12, 12, 400
CASES = {10: (625, 4, 30), 30: (1875, 2, 90)}  # seconds -> mel frames, clips, dropped time columns
PEAK_OF = {"32-true": "float32", "32-onednn": "onednn", "bf16-mixed": "bfloat16"}
Step = Callable[[], None]


class PlainBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(C, eps=1e-6), nn.LayerNorm(C, eps=1e-6)
        self.qkv, self.proj = nn.Linear(C, 3 * C), nn.Linear(C, C)
        self.fc1, self.fc2 = nn.Linear(C, 4 * C), nn.Linear(4 * C, C)

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(b, n, 3, HEADS, C // HEADS).permute(2, 0, 3, 1, 4)
        attention = (q @ k.transpose(-2, -1) * (C // HEADS) ** -0.5).softmax(dim=-1)
        x = x + self.proj((attention @ v).transpose(1, 2).reshape(b, n, C))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class PlainMAEST(nn.Module):
    """The network as one would write it down."""

    def __init__(self, frames: int, dropped: int) -> None:
        super().__init__()
        self.dropped, columns = dropped, (frames - 16) // 10 + 1
        self.embed = nn.Conv2d(1, C, 16, 10)
        self.time, self.freq = nn.Parameter(torch.randn(1, C, 1, columns) * 0.02), nn.Parameter(torch.randn(1, C, 9, 1) * 0.02)
        self.extra = nn.Parameter(torch.randn(1, 2, C) * 0.02)
        self.blocks = nn.Sequential(*(PlainBlock() for _ in range(DEPTH)))
        self.norm, self.head = nn.LayerNorm(C, eps=1e-6), nn.Sequential(nn.LayerNorm(C), nn.Linear(C, L))

    def forward(self, mel: Tensor) -> Tensor:
        x = self.embed(mel[:, None]) + self.time + self.freq
        kept = torch.randperm(x.shape[-1])[: x.shape[-1] - self.dropped].sort().values
        x = torch.cat([self.extra.expand(len(x), -1, -1), x[..., kept].flatten(2).transpose(1, 2)], dim=1)
        return self.head(self.norm(self.blocks(x)[:, :2]).mean(dim=1))


def computed(frames: int, clips: int, dropped: int, whole: bool) -> float:
    """Operations of a step: linear maps and attention, forward and twice that backward. whole: of the last block too, else for CLS and DIST alone."""
    tokens = 9 * ((frames - 16) // 10 + 1 - dropped) + 2
    per_layer = 2 * 12 * C * C * tokens + 4 * tokens**2 * C
    last = per_layer if whole else 2 * 2 * C * C * tokens + 2 * 10 * C * C * 2 + 4 * 2 * tokens * C
    return 3.0 * clips * ((DEPTH - 1) * per_layer + last)


def batch(frames: int, clips: int, device: str) -> tuple[Tensor, Tensor]:
    """Mels, and targets as rare as those of 400 styles."""
    return torch.randn(clips, 96, frames, device=device), (torch.rand(clips, L, device=device) < 0.02).float()


def plain_step(frames: int, clips: int, dropped: int, device: str = "cpu") -> Step:
    net = PlainMAEST(frames, dropped).to(device).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-5)
    mel, targets = batch(frames, clips, device)

    def step() -> None:
        F.binary_cross_entropy_with_logits(net(mel), targets).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def our_step(
    frames: int,
    clips: int,
    dropped: int,
    precision: str,
    checkpointing: bool = False,
    device: str = "cpu",
    compiled: bool = False,
) -> tuple[Step, str]:
    """Return a step as helpers/training computes it (compiled: by torch.compile, which that does not offer), and the precision's resolved name."""
    net = MAEST(input_t=frames, n_classes=L, s_patchout_t=dropped).to(device).train()
    net.gradient_checkpointing = checkpointing
    name = resolve_precision(precision, "cpu" if device == "cpu" else "gpu", work_of(net), training=True)
    call = torch.compile(net) if compiled else net
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-5, fused=precision != "32" or None)
    mel, targets = batch(frames, clips, device)

    def step() -> None:
        with computing_in(device, name):
            with torch.autocast(device, torch.bfloat16, enabled=name == "bf16-mixed"):
                logits = call(mel, melspectrogram_input=True)[0]
                loss = F.binary_cross_entropy_with_logits(logits, targets)
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    for p in net.parameters():  # the optimiser's state is there from the first step on, as in a training that is under way
        p.grad = torch.zeros_like(p)
    optimizer.step()
    optimizer.zero_grad()
    return step, name


GROUPS = {
    "products": ("addmm", "mm", "linear", "mkldnn_linear", "_linear_pointwise"),
    "attention": ("bmm", "_softmax", "softmax_backward", "attention", "baddbmm"),
    "norms, activations": ("layer_norm", "gelu"),
    "optimiser": ("adamw", "addcdiv", "addcmul", "lerp", "sqrt"),
    "casts and copies": ("copy_", "clone", "cat", "contiguous", "fill_", "zero_"),
}


def breakdown(step: Step) -> dict[str, float]:
    """Share of a step's time that goes into each group of operations."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        step()
    sums = dict.fromkeys([*GROUPS, "other"], 0.0)
    for event in profile.key_averages():
        name = event.key.lower()
        group = next((g for g in reversed(GROUPS) if any(word in name for word in GROUPS[g])), "other")
        sums["products" if name in ("aten::mm", "aten::addmm") else group] += event.self_cpu_time_total
    return {group: s / sum(sums.values()) for group, s in sums.items()}


def peak_memory(seconds: int, precision: str, checkpointing: bool) -> float:
    """MiB of a fresh process over a step."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from benchmarks.bench_training import memory_of;"
        "memory_of(int(sys.argv[2]), sys.argv[3], sys.argv[4] == 'True')"
    )
    command = [sys.executable, "-c", code, str(ROOT), str(seconds), precision, str(checkpointing)]
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()[-1])


def memory_of(seconds: int, precision: str, checkpointing: bool) -> None:
    """Print the peak memory of this process, as the kernel keeps it (getrusage's has the parent's memory at the fork in it)."""
    step = our_step(*CASES[seconds], precision, checkpointing)[0]
    step()
    print(int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024)


def report(seconds: int, rounds: int, ways: list[str], console: Console) -> None:
    case = CASES[seconds]
    ours = {f"ours, {p}": our_step(*case, p) for p in ways}
    top = peaks(rounds=3)
    cost = interleaved({"published way": plain_step(*case), **{name: found[0] for name, found in ours.items()}}, rounds)
    reference, whole, flops = cost["published way"], computed(*case, True), computed(*case, False)
    table = Table(
        title=f"{seconds} s, {case[1]} clips, time patchout {case[2]}: {whole / 1e9:.0f} GFLOP a step, ours {flops / 1e9:.0f}, median of {rounds}"
    )
    for column in ("way", "computed in", "wall s", "cpu s", "x by cpu", "x by wall", "of peak"):
        table.add_column(column, justify="left" if column in ("way", "computed in") else "right", no_wrap=True)
    for way, found in cost.items():
        name = ours[way][1] if way in ours else "32-true"
        share = (flops if way in ours else whole) / found.processor / (operations() / top[PEAK_OF[name]].processor)
        ratios = [f"{reference.processor / found.processor:.2f}", f"{reference.wall / found.wall:.2f}"]
        table.add_row(way, name, f"{found.wall:.2f}", f"{found.processor:.2f}", *ratios, f"{share:.0%}")
    console.print(table)
    console.print(
        "peak, GFLOP/s: " + ", ".join(f"{way} {_rate(c):.0f}" for way, c in top.items()) + f" ({torch.get_num_threads()} threads)"
    )
    best = ours[f"ours, {ways[-1]}"]
    shares = breakdown(best[0])
    console.print(f"a step of ours in {best[1]}: " + ", ".join(f"{group} {share:.0%}" for group, share in shares.items()))


def _rate(cost: Cost) -> float:
    return operations() / cost.processor / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, nargs="+", default=[10, 30], choices=sorted(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--ways", nargs="+", default=["32", "32-onednn", "bf16-mixed", "auto"], help="the last one's step is broken down"
    )
    parser.add_argument("--no-memory", action="store_true")
    args = parser.parse_args()
    console = Console()
    torch.manual_seed(0)
    console.print(machine_line())
    for seconds in args.seconds:
        report(seconds, args.rounds, args.ways, console)
    for checkpointing in () if args.no_memory else (False, True):
        found = peak_memory(30, "auto", checkpointing)
        console.print(
            f"peak memory of training, 30 s, 2 clips, auto, {'with' if checkpointing else 'without'} trainer.gradient_checkpointing: {found:.0f} MiB"
        )


if __name__ == "__main__":
    main()
