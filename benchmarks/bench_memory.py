"""Peak memory of long jobs at 200 and at 2000 tracks: it must not grow with their number.

Each job runs in a fresh process; figures are the peak resident memory of that process and of its largest worker, as the kernel
counted them, in MB. Tracks are 30 s FLAC files. The last rows prepare one file of two hours, cut to its middle 300 s and whole
(whose mel alone is 86 MB).

Measured on 2 cores: 76 MB and 253 MB per worker at 200 tracks, 77 and 256 MB at 2000; for the two-hour file 85 and 260 MB (middle), 211
and 576 MB (whole).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
RATE = 22050
_PROGRAM = """
import json, resource, sys
{body}
peak = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(json.dumps(peak))
"""


def peak_of(body: str, *arguments: object) -> tuple[float, float]:
    """MB at their most: of a fresh process that runs `body` (which finds `arguments` in sys.argv[1:]), and of its largest child
    process (0: none).
    """
    command = [sys.executable, "-c", _PROGRAM.format(body=body), *map(str, arguments)]
    run = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    own, child = json.loads(run.stdout.splitlines()[-1])
    return own, child


def make_tracks(folder: Path, count: int) -> None:
    """`count` tracks of 30 s, links to ten different ones."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for k in range(10):
        soundfile.write(folder.parent / f"{k}.flac", 0.1 * rng.standard_normal(30 * RATE), RATE)
    for k in range(count):
        os.link(folder.parent / f"{k % 10}.flac", folder / f"{k:05d}.flac")


def make_long(folder: Path, hours: float) -> None:
    """One file."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(folder / "long.flac", "w", 44100, 2) as file:
        for _ in range(round(hours * 60)):
            file.write(0.1 * rng.standard_normal((60 * 44100, 2)))


PREPARE = "from datasets.prepare import prepare; prepare(sys.argv[1], sys.argv[2], jobs=2, max_seconds=float(sys.argv[3]))"


def preparation(table: Table, folder: Path) -> None:
    """Rows for preparation."""
    for count in (200, 2000):
        work = folder / str(count)
        work.mkdir()
        make_tracks(work / "audio", count)
        own, worker = peak_of(PREPARE, work / "audio", work / "out", 300)
        table.add_row("prepare, 2 workers", f"{count} x 30 s", f"{own:.0f}", f"{worker:.0f}")
    make_long(folder / "long", 2)
    for seconds in (300, 0):
        own, worker = peak_of(PREPARE, folder / "long", folder / f"out{seconds}", seconds)
        what = "1 x 2 h, " + (f"middle {seconds} s" if seconds else "whole")
        table.add_row("prepare, 2 workers", what, f"{own:.0f}", f"{worker:.0f}")


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    table = Table(title="Peak memory, MB")
    for column in ("job", "tracks", "process", "largest worker"):
        table.add_column(column, justify="left" if column in ("job", "tracks") else "right")
    for rows in (preparation,):
        with tempfile.TemporaryDirectory() as folder:
            rows(table, Path(folder))
    Console().print(table)


if __name__ == "__main__":
    main()
