"""A collection of Discogs' size that is no collection: a table of millions of tracks with 400 styles, and stores of mels to match. No audio.

    python benchmarks/synthetic_discogs.py table FOLDER --tracks 3300000
    python benchmarks/synthetic_discogs.py store FOLDER --tracks 40000 --frames 625 --longest 700

Styles follow a Zipf law over the 400 labels, 1 to 5 to a track; artists have one to hundreds of tracks. Paths look like
"3f/3fa9c1d2/00001234.mp3". The mels are slices of one block of noise, 625 to 700 frames long (10 to 11.2 s): reading does not care what is read,
and a crop of 625 frames begins anywhere in the first 75.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import numpy as np

sys.path.pop(0)  # this folder: its coverage.py would be taken for the package
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from datasets.store.track_store import TrackStore
from datasets.utils.progress import JobProgress

LABELS, BANDS = 400, 96
ATTRS = {"kind": "mel", "front_end": "maest-essentia", "sample_rate": 16000, "hop": 256}


def name(i: int) -> str:
    """The path of track i."""
    key = (i * 2654435761) & 0xFFFFFFFF
    return f"{key >> 24:02x}/{key:08x}/{i:08d}.mp3"


def write_table(path: Path, n_tracks: int, seed: int = 0) -> Path:
    """path, styles and artist of every track, as csv."""
    rng = np.random.default_rng(seed)
    chances = 1 / np.arange(1, LABELS + 1)
    edges = np.cumsum(chances / chances.sum())
    labels = [f"Genre {i % 15}---Style {i:03d}" for i in range(LABELS)]
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as file, JobProgress("Writing the table", n_tracks, "tracks") as progress:
        file.write("path,styles,artist\n")
        for begin in range(0, n_tracks, 50_000):
            n = min(50_000, n_tracks - begin)
            counts = rng.integers(1, 6, n)
            drawn = np.searchsorted(edges, rng.random(int(counts.sum())))
            parts = np.split(drawn, np.cumsum(counts)[:-1])
            artists = (n_tracks / 5 * rng.random(n) ** 3).astype(int)
            rows = zip(range(begin, begin + n), parts, artists.tolist())
            file.writelines(
                f"{name(i)},{'|'.join(labels[c] for c in set(part.tolist()))},artist {artist}\n" for i, part, artist in rows
            )
            progress.advance(n)
    return path


def check_room(folder: Path, n_tracks: int, longest: int, shards: int = 8) -> None:
    """Raises SystemExit where a store of this size does not fit: all of it, and one shard more while that is sealed."""
    needed, free = n_tracks * longest * BANDS * 2 * (shards + 1) / shards, shutil.disk_usage(folder).free
    if needed > free:
        raise SystemExit(
            f"The store takes {needed / 1e9:.1f} GB; {free / 1e9:.1f} GB are free in {folder}. Name another folder, or fewer --tracks."
        )


def write_store(folder: Path, n_tracks: int, frames: int = 625, longest: int = 700, shards: int = 8) -> Path:
    """A sealed mel store of tracks of `frames` to `longest` frames, in shards: about n_tracks * (frames + longest) * 96 bytes, and one shard more
    while it is made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    check_room(folder, n_tracks, longest, shards)
    rng = np.random.default_rng(0)
    noise = rng.random((max(4 * longest, 4096), BANDS), dtype=np.float32).astype(np.float16)
    lengths = rng.integers(frames, longest + 1, n_tracks).tolist()
    places = rng.integers(0, len(noise) - longest + 1, n_tracks).tolist()
    path = folder / "mel.h5"
    with JobProgress("Writing the store", n_tracks, "tracks") as progress:
        for shard, tracks in enumerate(np.array_split(np.arange(n_tracks), shards)):
            with TrackStore.create(path, (BANDS,), np.float16, ATTRS, shard) as writer:
                for i in tracks.tolist():
                    writer.append(name(i), noise[places[i] : places[i] + lengths[i]])
                writer.seal()
            progress.advance(len(tracks))
    return path


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("table", "store"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tracks", type=int, default=1_000_000)
    parser.add_argument("--frames", type=int, default=625)
    parser.add_argument("--longest", type=int, default=700)
    parser.add_argument("--shards", type=int, default=8)
    args = parser.parse_args()
    if args.what == "table":
        print(write_table(args.folder / "labels.csv", args.tracks))
    else:
        print(write_store(args.folder, args.tracks, args.frames, args.longest, args.shards))


if __name__ == "__main__":
    main()
