"""One window through torch, ONNX Runtime and ONNX Runtime in 8 bits: seconds, interleaved medians, and how far the numbers are from torch's.

MAEST at 10 and 30 s (full size, random weights), and musicnn's published weights where they are on this machine: trained tags say what 8 bits cost.

python benchmarks/bench_backends.py [ROUNDS]
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.pop(0)  # this folder: its coverage.py would be taken for the package
sys.path.insert(0, str(ROOT))
from models import get_model  # noqa: E402
from models.backends import with_backend  # noqa: E402
from models.encoder import AudioEncoder  # noqa: E402
from models.errors import WeightsNotFoundError  # noqa: E402

BACKENDS = ("torch", "onnx", "onnx-int8")


def sound(seconds: float, rate: int) -> torch.Tensor:
    """Chords that change each second, and noise, [1, N]."""
    t = torch.arange(round(seconds * rate)) / rate
    root = 110 * 2 ** ((t.long() * 5 % 12) / 12)
    tones = sum(torch.sin(2 * torch.pi * root * ratio * t) for ratio in (1.0, 1.26, 1.5, 2.0))
    noise = torch.randn(len(t), generator=torch.Generator().manual_seed(0))
    return (0.1 * tones + 0.02 * noise)[None]


def window_of(net: AudioEncoder) -> torch.Tensor:
    """One window as the network takes it."""
    wave = sound(net.max_seconds + 1, net.sample_rate)[0].numpy()
    blocks = [torch.from_numpy(block) for block in net.window_blocks(iter([wave]))]
    return torch.cat(blocks, dim=-1)[..., : net.window_length][None].float()


@torch.inference_mode()
def compare(name: str, net: AudioEncoder, rounds: int, table: Table) -> None:
    """Add a row per backend."""
    x = window_of(net)
    backed = {key: with_backend(net, key) for key in BACKENDS}
    found = {key: one.window_probabilities(x) for key, one in backed.items()}  # and warm
    times: dict[str, list[float]] = {key: [] for key in BACKENDS}
    for _ in range(rounds):
        for key, one in backed.items():
            start = time.perf_counter()
            one.window_probabilities(x)
            times[key].append(time.perf_counter() - start)
    base = statistics.median(times["torch"])
    top = set(found["torch"][0].topk(10).indices.tolist())
    for key in BACKENDS:
        seconds, apart = statistics.median(times[key]), (found[key] - found["torch"]).abs()
        same = len(top & set(found[key][0].topk(10).indices.tolist()))
        table.add_row(
            name, key, f"{seconds:.3f}", f"{base / seconds:.2f}x", f"{apart.max():.1e}", f"{apart.mean():.1e}", f"{same} of 10"
        )


def main(rounds: int = 5) -> None:
    """Print the table."""
    table = Table(title=f"One window, {torch.get_num_threads()} threads, medians of {rounds}")
    for column in ("network", "backend", "seconds", "speed", "largest difference", "mean", "the same of the first ten"):
        table.add_column(column)
    torch.manual_seed(0)
    for name in ("maest_10s", "maest_30s_519l"):
        compare(f"{name}, random", get_model(name, pretrained=False).eval(), rounds, table)
    try:
        compare("musicnn-mtt", get_model("musicnn-mtt").eval(), rounds, table)
    except WeightsNotFoundError:
        table.caption = "musicnn's weights are not on this machine"
    Console(width=120).print(table)


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:2]))
