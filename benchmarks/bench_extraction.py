"""Extraction: windows/s against the plain way (track by track, one block per pass), and peak memory at 200 and 2000 tracks.

Memory is what the process itself holds (anonymous pages); pages of the mel store that the system maps in and may drop are not counted. Each figure
comes from a process of its own.

Measured on 2 cores (busy with other work, one thread): 1.7x the windows/s of the plain way for three blocks; peak 311 MiB at 200 tracks and
327 MiB at 2000, of which 263 MiB stand before the first window (0.5 MiB per 1000 tracks are their names).
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.pop(0)  # this folder: its coverage.py would be taken for the package
sys.path.insert(0, str(ROOT))
BLOCKS = [1, 2, 3]
ROUNDS = 3


def make_store(path: Path, n_tracks: int, frames: int = 400) -> None:
    from datasets.store.track_store import TrackStore

    rng = np.random.default_rng(0)
    attrs = {"kind": "mel", "front_end": "maest-essentia", "sample_rate": 16000, "hop": 256}
    with TrackStore.create(path, (96,), "float16", attrs) as writer:
        for i in range(n_tracks):
            writer.append(f"{i}.flac", (4 * rng.random((frames + i % 100, 96))).astype(np.float16))
        writer.seal()


def network():
    import torch

    from models.maest import MAEST

    torch.manual_seed(0)
    return MAEST(input_t=312, n_classes=20, embed_dim=64, depth=4, num_heads=4).eval()


def anonymous_mib() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("No RssAnon in /proc/self/status: this benchmark needs Linux.")


def peak_of_extraction(store: str, out: str, send) -> None:
    """Peak anonymous memory over that before the first window, MiB, and windows/s."""
    from helpers.extraction.extract import extract_embeddings

    net, peak, stop = network(), 0.0, threading.Event()
    extract_embeddings(net, store, f"{out}/warm", BLOCKS, names=["0.flac"])

    def watch() -> None:
        nonlocal peak
        while not stop.wait(0.02):
            peak = max(peak, anonymous_mib())

    before = anonymous_mib()
    thread = threading.Thread(target=watch)
    thread.start()
    done = extract_embeddings(net, store, out, BLOCKS)
    stop.set()
    thread.join()
    send.send((before, peak, done.n_windows / done.seconds))


def plain(net, store, hop: int = 312) -> int:
    """Track by track, one block per pass, everything held until the end."""
    import torch

    from models.frontend import normalise
    from models.windows import left_padding, plan_windows

    held, n = {}, 0
    for name in store.names:
        mel = store.read(name).astype(np.float32)
        spans = plan_windows(len(mel), hop)
        x = np.zeros((len(spans), hop, 96), np.float32)
        for row, (start, stop) in zip(x, spans):
            left = left_padding(stop - start, hop)
            row[left : left + stop - start] = mel[start:stop]
        with torch.inference_mode():
            y = normalise(torch.from_numpy(x).transpose(1, 2))
            held[name] = [net(y, transformer_block=block)[1].numpy() for block in BLOCKS]
        n += len(spans)
    return n


def main() -> None:
    from datasets.store.track_store import TrackStore
    from helpers.extraction.extract import extract_embeddings

    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for n in (60, 200, 2000):
            make_store(root / f"{n}.h5", n)
        net, store = network(), TrackStore.open(root / "60.h5")
        rates: dict[str, list[float]] = {"plain": [], "here": []}
        for i in range(ROUNDS):
            start = time.perf_counter()
            n_windows = plain(net, store)
            rates["plain"].append(n_windows / (time.perf_counter() - start))
            done = extract_embeddings(net, store, root / f"out{i}", BLOCKS)
            rates["here"].append(done.n_windows / done.seconds)
        speed = Table(title=f"Windows/s, {len(BLOCKS)} blocks, median of {ROUNDS} interleaved rounds")
        for column in ("way", "windows/s", "ratio"):
            speed.add_column(column)
        reference = statistics.median(rates["plain"])
        for way, found in rates.items():
            speed.add_row(way, f"{statistics.median(found):.1f}", f"{statistics.median(found) / reference:.2f}")
        console.print(speed)
        memory = Table(title="Peak memory of extraction")
        for column in ("tracks", "before, MiB", "peak, MiB", "windows/s"):
            memory.add_column(column)
        context = multiprocessing.get_context("spawn")
        for n in (200, 2000):
            receive, send = context.Pipe(duplex=False)
            process = context.Process(target=peak_of_extraction, args=(str(root / f"{n}.h5"), str(root / f"peak{n}"), send))
            process.start()
            before, peak, rate = receive.recv()
            process.join()
            memory.add_row(str(n), f"{before:.0f}", f"{peak:.0f}", f"{rate:.1f}")
        console.print(memory)


if __name__ == "__main__":
    main()
