"""Windows at once in extraction: does a batch of them pay, what memory does it take, and does a window's vector depend on its neighbours?

python benchmarks/bench_batching.py [--most-tokens 9000] [--rounds 3] [--networks tiny demo base-5s base-10s base-30s samplecnn]

Random weights; networks of the published width are computed up to their third block. The plain way is one window at a time. The numbers of
windows take turns; "ms" are processor time over threads a window, medians of the rounds (with OMP_NUM_THREADS=1: what one core does), "MiB" the peak
over what the process held before the first batch. Two processes a network: one as glibc gives and takes memory, one that keeps what is freed, as
extraction and predict do (helpers/runtime/memory.py). "faster": than one window of glibc's. "equal" is the share of a batch's windows whose vectors
have the bits that they have alone, "off by" the largest difference over the largest number. "tokens" are a window's vectors as the blocks see
them (of SampleCNN: thousands of samples).
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.pop(0)  # this folder: its coverage.py would be taken for the package
sys.path.insert(0, str(ROOT))

from benchmarks.timing import interleaved, machine_line  # noqa: E402
from helpers.runtime.memory import keep_freed_memory  # noqa: E402
from models.encoder import AudioEncoder  # noqa: E402

COUNTS = (1, 2, 4, 8, 16, 32)


def _maest(frames: int, **sizes: Any) -> AudioEncoder:
    from models.maest import MAEST

    return MAEST(input_t=frames, n_classes=20, **sizes)


def _samplecnn() -> AudioEncoder:
    from models.clmr import SampleCNN

    return SampleCNN()


# name -> network, the layer that is computed
NETWORKS: dict[str, tuple[Callable[[], AudioEncoder], int]] = {
    "tiny": (lambda: _maest(312, embed_dim=48, depth=2, num_heads=4), -1),
    "demo": (lambda: _maest(312, embed_dim=128, depth=4, num_heads=4, stride=(16, 16)), -1),
    "base-5s": (lambda: _maest(312), 2),
    "base-10s": (lambda: _maest(625), 2),
    "base-30s": (lambda: _maest(1875), 2),
    "samplecnn": (_samplecnn, -1),
}


def tokens_of(net: Any, x: Tensor) -> int:
    """Vectors of a window, as the blocks see them; of SampleCNN its samples / 1000."""
    return int(net.tokens(x[:1])[0].shape[1]) if hasattr(net, "tokens") else x.shape[-1] // 1000


def memory(name: str) -> float:
    """MiB of this process: VmRSS, or VmHWM, the most of it since the peak was cleared."""
    found = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


@torch.inference_mode()
def measure(name: str, most_tokens: int, rounds: int) -> dict[str, Any]:
    """Return a network's sizes, and what each number of windows costs in this process."""
    build, layer = NETWORKS[name]
    torch.manual_seed(0)
    net = build().eval()
    layers = net.resolve_layers([layer])
    windows = net.from_stored(torch.randn(COUNTS[-1], net.window_length, *net.stored_item) / 4)
    tokens = tokens_of(net, windows)
    counts = [n for n in COUNTS if n == 1 or n * tokens <= most_tokens]

    def vectors(first: int, n: int) -> Tensor:
        return net.summaries(windows[first : first + n].clone(), layers)[0]

    vectors(0, 1)
    before, rows = memory("VmRSS"), []
    batches = {}
    for n in counts:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew (Linux)
        batches[n] = vectors(0, n)
        rows.append({"windows": n, "mib": memory("VmHWM") - before})
    alone = torch.cat([vectors(i, 1) for i in range(counts[-1])])
    cost = interleaved({str(n): lambda n=n: vectors(0, n) for n in counts}, rounds)
    for row in rows:
        n, batch = row["windows"], batches[row["windows"]]
        row["ms"] = 1000 * cost[str(n)].processor / n
        row["equal"] = float((batch == alone[:n]).flatten(1).all(dim=1).float().mean())
        row["off"] = float((batch - alone[:n]).abs().max() / alone.abs().max())
    return {"tokens": tokens, "width": net.embed_dim, "rows": rows}


def in_process(name: str, kept: bool, args: argparse.Namespace) -> dict[str, Any]:
    """`measure` in a process of its own."""
    line = [sys.executable, __file__, "--networks", name, "--rounds", str(args.rounds), "--most-tokens", str(args.most_tokens)]
    done = subprocess.run([*line, "--measure", "kept" if kept else "plain"], stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def show(name: str, plain: dict[str, Any], kept: dict[str, Any], console: Console) -> None:
    """Print a network's table."""
    title = f"{name}: {plain['tokens']} tokens a window, width {plain['width']}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("windows", "tokens", "ms, glibc's", "ms, kept", "faster", "MiB, glibc's", "MiB, kept", "equal", "off by"):
        table.add_column(column, justify="right", no_wrap=True)
    for one, other in zip(plain["rows"], kept["rows"]):
        n, alone = one["windows"], plain["rows"][0]["ms"]
        cells = (
            n,
            n * plain["tokens"],
            f"{one['ms']:.2f}",
            f"{other['ms']:.2f}",
            f"{alone / one['ms']:.2f}, {alone / other['ms']:.2f}",
        )
        table.add_row(*map(str, cells), f"{one['mib']:.0f}", f"{other['mib']:.0f}", f"{one['equal']:.0%}", f"{one['off']:.1e}")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most-tokens", type=int, default=9000, help="of a batch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--measure", choices=("plain", "kept"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        if args.measure == "kept":
            keep_freed_memory(large=True)
        print(json.dumps(measure(args.networks[0], args.most_tokens, args.rounds)))
        return
    console = Console(width=110)
    console.print(f"{machine_line()}, {torch.get_num_threads()} threads here")
    for name in args.networks:
        show(name, in_process(name, False, args), in_process(name, True, args), console)


if __name__ == "__main__":
    main()
