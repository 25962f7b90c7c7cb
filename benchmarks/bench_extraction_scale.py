"""Extraction at 100, 1000 and 10 000 tracks: seconds per track and memory must not grow with their number.

python benchmarks/bench_extraction_scale.py [--tracks 100 1000 10000] [--rounds 3]

A tiny network, and stores of noise with one window per track: what is timed is what each track costs beside the network, from opening the store to
sealing the outputs. Each figure comes from a process of its own, the sizes in turn over the rounds, medians; "again" is the same call once all is
there. Memory is what the process itself holds (anonymous pages), at most, over what it held before the call.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.pop(0)  # this folder: its coverage.py would be taken for the package
sys.path.insert(0, str(ROOT))
FRAMES, BLOCKS = 64, [1]


def make_store(path: Path, tracks: int) -> None:
    """A sealed store of so many tracks of FRAMES frames."""
    from datasets.store.track_store import TrackStore

    rng = np.random.default_rng(0)
    attrs = {"kind": "mel", "front_end": "maest-essentia", "sample_rate": 16000, "hop": 256}
    with TrackStore.create(path, (96,), "float16", attrs) as writer:
        for i in range(tracks):
            writer.append(f"{i // 1000:02d}/{i}.flac", (4 * rng.random((FRAMES, 96))).astype(np.float16))
        writer.seal()


def anonymous_mib() -> float:
    """Memory of this process that no file stands behind."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("No RssAnon in /proc/self/status: this benchmark needs Linux.")


def extraction(store: str, out: str, warm: str, send: Any) -> None:
    """Send seconds on the clock, of the processor, and of a second call; MiB at most over those before."""
    import torch

    from helpers.extraction.extract import extract_embeddings
    from models.maest import MAEST

    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = MAEST(input_t=FRAMES, n_classes=20, embed_dim=16, depth=2, num_heads=2).eval()
    extract_embeddings(net, warm, f"{out}/warm", BLOCKS)
    before, peak, stop = anonymous_mib(), 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not stop.wait(0.05):
            peak = max(peak, anonymous_mib())

    thread = threading.Thread(target=watch)
    thread.start()
    wall, processor = time.perf_counter(), time.process_time()
    extract_embeddings(net, store, out, BLOCKS)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    stop.set()
    thread.join()
    again = time.process_time()
    extract_embeddings(net, store, out, BLOCKS)
    send.send((wall, processor, time.process_time() - again, max(peak, anonymous_mib()) - before))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tracks", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    context, seen = multiprocessing.get_context("spawn"), {n: [] for n in args.tracks}  # type: dict[int, list[tuple[float, ...]]]
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        make_store(root / "warm.h5", 8)
        for n in args.tracks:
            make_store(root / f"{n}.h5", n)
        for k in range(args.rounds):
            for n in args.tracks:
                receive, send = context.Pipe(duplex=False)
                process = context.Process(
                    target=extraction, args=(str(root / f"{n}.h5"), str(root / f"out{k}-{n}"), str(root / "warm.h5"), send)
                )
                process.start()
                send.close()
                seen[n].append(receive.recv())
                process.join()
    table = Table(title=f"Extraction, one window per track, 1 thread, medians of {args.rounds}")
    columns = ("tracks", "ms per track", "processor ms per track", "to the smallest's", "again, ms per track", "MiB over before")
    for column in columns:
        table.add_column(column, justify="right")
    base = 0.0
    for n, found in seen.items():
        wall, processor, again, memory = (statistics.median(column) for column in zip(*found))
        base = base or processor / n
        ms = [f"{1000 * seconds / n:.2f}" for seconds in (wall, processor, again)]
        table.add_row(str(n), *ms[:2], f"{processor / n / base:.2f}", ms[2], f"{memory:.0f}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
