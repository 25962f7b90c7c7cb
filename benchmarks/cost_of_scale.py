"""What MagnaTagATune, MTG-Jamendo and a collection of Discogs' size cost in hours and disk, on 1, 8 and 64 machines: computed, not measured.

From CPU seconds that were measured (below, on a machine like the one whose cores are counted here, busy with other work, which makes them larger than
they are alone), numbers of tracks and their mean lengths. Hours are CPU seconds / cores: workers are independent, the scheduler does little, and a
disk or network that does not keep up is not in them. Prints the table of docs/scale.md.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.pop(0)  # this folder: its coverage.py would be taken for the package
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from models.windows import plan_windows

MACHINES = (1, 8, 64)
WINDOW = 1875  # frames of 30 s
FRAME_RATE, FRAME_BYTES = 62.5, 96 * 2  # float16 log-mels
# Measured: CPU seconds per file, one thread
PREPARE = {"29 s, 16 kHz mono MP3": 0.0186, "240 s, 44.1 kHz stereo MP3": 0.374, "the middle 30 s of it": 0.131}
# Measured: CPU seconds per window of 30 s up to block 7, the full-size network, one thread, in bfloat16 and in float32
EXTRACT_30 = (2.3, 3.5)
EMBEDDING_BYTES = 3 * 768 * 4


@dataclass(frozen=True)
class Collection:
    """Tracks, the seconds of each that are kept, and what preparing one takes (CPU seconds)."""

    name: str
    tracks: int
    seconds: float
    prepare: float

    @property
    def windows(self) -> int:
        """Of 30 s, as extraction cuts a track of this length."""
        return len(plan_windows(round(self.seconds * FRAME_RATE), WINDOW, WINDOW, "pad"))


COLLECTIONS = (
    Collection("MagnaTagATune, clips of 29 s", 25_860, 29, PREPARE["29 s, 16 kHz mono MP3"]),
    Collection(
        "MTG-Jamendo, whole tracks (--max-seconds 0; mean 244 s)", 55_094, 244, PREPARE["240 s, 44.1 kHz stereo MP3"] * 244 / 240
    ),
    Collection("3.3 M tracks, the middle 30 s (--max-seconds 30)", 3_300_000, 30, PREPARE["the middle 30 s of it"]),
    Collection("3.3 M tracks, whole (--max-seconds 0; mean 240 s)", 3_300_000, 240, PREPARE["240 s, 44.1 kHz stereo MP3"]),
)


def hours(cpu_seconds: float, machines: int, cores: int) -> str:
    """Text of a time."""
    found = cpu_seconds / (machines * cores) / 3600
    return (
        f"{found:,.0f}"
        if found >= 10
        else f"{found:.1f}"
        if found >= 0.1
        else f"{60 * found:.0f} min"
        if found > 1 / 60
        else "< 1 min"
    )


def size(n_bytes: float) -> str:
    """Text of a number of bytes."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9)):
        if n_bytes >= factor:
            return f"{n_bytes / factor:.1f} {unit}"
    return f"{n_bytes / 1e6:.0f} MB"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cores", type=int, default=2, help="of a machine")
    args = parser.parse_args()
    table = Table(title=f"Computed: hours on {', '.join(map(str, MACHINES))} machines of {args.cores} cores, and disk")
    for column in (
        "collection",
        "mels: hours",
        "mels: disk",
        "embeddings (30 s, block 7), bfloat16: hours",
        "float32: hours",
        "disk",
    ):
        table.add_column(column, justify="left" if column == "collection" else "right")
    for one in COLLECTIONS:
        windows = one.tracks * one.windows
        table.add_row(
            one.name,
            " / ".join(hours(one.tracks * one.prepare, n, args.cores) for n in MACHINES),
            size(one.tracks * one.seconds * FRAME_RATE * FRAME_BYTES),
            *(" / ".join(hours(windows * seconds, n, args.cores) for n in MACHINES) for seconds in EXTRACT_30),
            size(windows * EMBEDDING_BYTES),
        )
    Console(width=190).print(table)


if __name__ == "__main__":
    main()
