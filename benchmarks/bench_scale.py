"""The data side at Discogs' size: the sampler over a million tracks, and crops of 625 frames from a store of 40 000 tracks, cached and not.

The first batch is timed in a process of its own, from the table's file and the store's on disk to the tensors of the first batch, and again from
the opened ones; memory is that process's peak. Its million tracks have 16 to 18 frames (3.3 GB in eight shards), its clips 16. Crops come from
40 000 tracks of 10 to 11.2 s (625 to 700 frames, of which a crop of 625 begins anywhere in 75; 5.1 GB, written into FOLDER and removed afterwards):
"not cached" reads after the files were dropped from the page cache (posix_fadvise), which also counts what the disk delivers; "cached" reads after
every page was touched. The plain way is a memory map opened per item.

Measured on 2 cores of an AMD EPYC with a virtual disk, otherwise idle: first batch 0.42 s, 2.4 s with reading the table (cached), opening the
store and finding its rows; peak 0.80 GB with 0.50 GB of imports; crops 54 600/s cached (a map opened per item 13 200/s), 472/s not cached.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.pop(0)  # this folder: its coverage.py would be taken for the package
sys.path.insert(0, str(ROOT))

from synthetic_discogs import BANDS, check_room, write_store, write_table  # noqa: E402

from datasets.store.track_store import TrackStore  # noqa: E402
from datasets.store.track_store import files as store_files  # noqa: E402

FRAMES, LONGEST, CLIP, BATCH = 625, 700, 625, 12
FIRST_BATCH = """
import json, resource, sys, time
import h5py, numpy, pyarrow.csv
from datasets.loading.batching import Batching
from datasets.loading.datamodule import TrackDataModule
from datasets.groundtruth.groundtruth import Groundtruth
from datasets.store.track_store import TrackStore
import datasets.groundtruth.read
table, store, frames = sys.argv[1], sys.argv[2], int(sys.argv[3])
memory = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
figures, clock = {"imports": memory()}, [time.perf_counter(), time.process_time()]
def took(step):
    now = time.perf_counter(), time.process_time()
    figures[step], figures[step + " cpu"] = now[0] - clock[0], now[1] - clock[1]
    clock[:] = now
truth = Groundtruth.read(table, label_column="styles")
took("table")
opened = TrackStore.open(store)
took("store")
module = TrackDataModule(opened, {"train": truth}, Batching(frames, epoch_len=200_000))
module.setup("fit")
took("matching")
loader = module.train_dataloader()
batch = next(iter(loader))
took("first batch")
assert batch["x"].shape == (12, 96, frames) and batch["y"].shape == (12, 400)
loader.set_epoch(1)
next(iter(loader))
took("next epoch")
figures["peak"] = memory()
print(json.dumps(figures))
"""


def first_batch(folder: Path, n_tracks: int, rounds: int) -> dict[str, float]:
    """Medians of the seconds of each step, and GB."""
    frames = 16
    table = write_table(folder / "labels.csv", n_tracks)
    store = write_store(folder / "index", n_tracks, frames, frames + 2)
    runs = []
    for _ in range(rounds + 1):  # the first leaves the table's cache
        run = subprocess.run(
            [sys.executable, "-c", FIRST_BATCH, str(table), str(store), str(frames)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            raise RuntimeError(run.stderr)
        runs.append(json.loads(run.stdout.splitlines()[-1]))
    shutil.rmtree(folder / "index")
    return {key: statistics.median(run[key] for run in runs[1:]) for key in runs[0]}


def forget(store: Path) -> None:
    """Drop the store's files from the page cache."""
    for path in TrackStore.open(store).paths:
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def starts_of(store: TrackStore, tracks: np.ndarray) -> np.ndarray:
    """A random first frame for each, the same for both ways."""
    return np.random.default_rng(2).integers(0, store.lengths[tracks] - CLIP + 1)


def crops(store: Path, tracks: np.ndarray) -> tuple[float, float]:
    """Crops per second, and per second of CPU, of batches of 12 through the store."""
    opened = TrackStore.open(store)
    places = starts_of(opened, tracks)
    began, cpu = time.perf_counter(), time.process_time()
    for begin in range(0, len(tracks), BATCH):
        starts = places[begin : begin + BATCH]
        opened.read_windows(tracks[begin : begin + BATCH], starts, starts + CLIP, CLIP)
    return len(tracks) / (time.perf_counter() - began), len(tracks) / (time.process_time() - cpu)


def plain_crops(store: Path, tracks: np.ndarray) -> tuple[float, float]:
    """The same by a memory map opened per item."""
    opened = TrackStore.open(store)
    shards = [store_files.read_sealed(path) for path in opened.paths]
    counts = np.cumsum([0, *(len(one.names) for one in shards)])
    starts = starts_of(opened, tracks).tolist()
    began, cpu = time.perf_counter(), time.process_time()
    for begin in range(0, len(tracks), BATCH):
        batch = []
        for i, start in zip(tracks[begin : begin + BATCH].tolist(), starts[begin : begin + BATCH]):
            shard = int(np.searchsorted(counts, i, side="right")) - 1
            one = shards[shard]
            place = one.data_offset + (int(one.offsets[i - counts[shard]]) + start) * BANDS * 2
            batch.append(np.array(np.memmap(one.data_path, np.float16, "r", place, (CLIP, BANDS))))
        np.stack(batch)
    return len(tracks) / (time.perf_counter() - began), len(tracks) / (time.process_time() - cpu)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path(tempfile.gettempdir()), help="where there is room for 10 GB")
    parser.add_argument("--index", type=int, default=1_000_000, help="tracks of the sampler's table")
    parser.add_argument("--tracks", type=int, default=40_000, help="tracks of the store")
    parser.add_argument("--items", type=int, default=12_000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    console = Console(width=110)
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        check_room(Path(name), args.tracks, LONGEST)
        figures = first_batch(Path(name), args.index, args.rounds)
        table = Table(title=f"First batch of 12 over {args.index:,} tracks, 400 labels; median of {args.rounds}")
        table.add_column("step")
        table.add_column("s", justify="right")
        table.add_column("CPU s", justify="right")
        words = {"table": "table, from its cache", "store": "opening the store", "matching": "rows to tracks"}
        for step in ("table", "store", "matching", "first batch", "next epoch"):
            table.add_row(words.get(step, step), f"{figures[step]:.2f}", f"{figures[f'{step} cpu']:.2f}")
        console.print(table, f"Peak memory {figures['peak']:.2f} GB, of it {figures['imports']:.2f} GB for the imports.")
        store = write_store(Path(name) / "crops", args.tracks, FRAMES, LONGEST)
        rng = np.random.default_rng(1)
        cold, rates = [], {"TrackStore.read_windows": [], "a memory map opened per item": []}
        for _ in range(args.rounds):
            forget(store)
            cold.append(crops(store, rng.integers(0, args.tracks, max(args.items // 10, BATCH))))
        for path in TrackStore.open(store).paths:  # touch every page
            with open(path, "rb", buffering=0) as file:
                while file.read(1 << 24):
                    pass
        for _ in range(args.rounds):
            chosen = rng.integers(0, args.tracks, args.items)
            rates["TrackStore.read_windows"].append(crops(store, chosen))
            rates["a memory map opened per item"].append(plain_crops(store, chosen))
        size = sum(path.stat().st_size for path in TrackStore.open(store).paths) / 1e9
    table = Table(
        title=f"Random crops of {CLIP} x {BANDS} from {args.tracks:,} tracks ({size:.1f} GB), one process; median of {args.rounds}"
    )
    table.add_column("way")
    table.add_column("crops/s", justify="right")
    table.add_column("MB/s", justify="right")
    table.add_column("crops per CPU s", justify="right")
    for way, found in {
        **{f"{way}, cached": found for way, found in rates.items()},
        "TrackStore.read_windows, not cached": cold,
    }.items():
        rate, by_cpu = (statistics.median(values) for values in zip(*found))
        table.add_row(way, f"{rate:,.0f}", f"{rate * CLIP * BANDS * 2 / 1e6:,.0f}", f"{by_cpu:,.0f}")
    console.print(table)


if __name__ == "__main__":
    main()
