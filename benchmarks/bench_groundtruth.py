"""Groundtruth of Discogs' size: what 3.3 million tracks of 400 styles cost, beside reading the same table with Python's csv into a dict.

Each way runs in a process of its own, in turn, round after round; seconds are CPU and wall medians, memory is the process's peak. The plain way keeps
{path: [styles]}, as a pickled groundtruth does, and makes no matrix of it (a boolean one alone would take 1.3 GB).

Measured on 2 cores of an AMD EPYC, otherwise idle (one round): first reading 7.6 s and 0.83 GB, from the cache beside the table 1.6 s and 0.57 GB;
csv into the dict 9.4 s and 1.65 GB.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.pop(0)  # this folder: its coverage.py would be taken for the package
sys.path.insert(0, str(ROOT))

from synthetic_discogs import write_table  # noqa: E402

MEASURE = """
import json, resource, sys, time
path = sys.argv[1]
{imports}
began, cpu = time.perf_counter(), time.process_time()
{work}
print(json.dumps([time.perf_counter() - began, time.process_time() - cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6]))
"""
READ = "truth = Groundtruth.read(path, label_column='styles', group_column='artist')"
IMPORTS = "import h5py, numpy, pyarrow.csv\nfrom datasets.groundtruth import Groundtruth\nimport datasets.groundtruth_files"
WAYS = {
    "csv into a dict of lists": (
        "import csv",
        "truth = {row['path']: row['styles'].split('|') for row in csv.DictReader(open(path))}",
    ),
    "Groundtruth.read, first time": (
        f"{IMPORTS}\nimport pathlib\npathlib.Path(path + '.cache').unlink(missing_ok=True)",
        READ,
    ),
    "Groundtruth.read, from its cache": (IMPORTS, READ),
    "... and the weights of sampling": (
        f"{IMPORTS}\nfrom datasets.sampler import sample_weights",
        f"{READ}\nsample_weights(truth)",
    ),
    "... and its rows found in a store's names": (
        f"{IMPORTS}\nfrom datasets.groundtruth import match",
        f"{READ}\nmatch(truth.keys, truth.keys)",
    ),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tracks", type=int, default=3_300_000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    found: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        path = write_table(Path(folder) / "labels.csv", args.tracks)
        size = path.stat().st_size / 1e6
        for _ in range(args.rounds):
            for way, (imports, work) in WAYS.items():
                code = MEASURE.format(imports=imports, work=work)
                run = subprocess.run(
                    [sys.executable, "-c", code, str(path)], cwd=ROOT, capture_output=True, text=True, check=True
                )
                found[way].append(json.loads(run.stdout))
    table = Table(title=f"{args.tracks:,} tracks, 400 labels, a table of {size:.0f} MB; median of {args.rounds}")
    for column in ("way", "s", "CPU s", "peak GB"):
        table.add_column(column, justify="left" if column == "way" else "right")
    for way, rounds in found.items():
        wall, cpu, memory = (statistics.median(values) for values in zip(*rounds))
        table.add_row(way, f"{wall:.1f}", f"{cpu:.1f}", f"{memory:.2f}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
