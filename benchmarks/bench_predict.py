"""Whole files: what decoding, front end and cutting add to the network's own time, and whether memory grows with a file's length.

Time: the full-size 30 s network on a 4-minute stereo FLAC, `tag` against `probabilities` on the same windows in the same batches, interleaved,
medians. Memory: peak resident memory of a fresh process that tags one file and writes its page, by the file's length (a small network: the
file's share is what is asked).

Measured on 2 cores, idle: network 19.1 s, whole file 19.5 s, ratio 1.024. Memory 413 MB for 1 minute, 436 MB for 10 (its sound is part of the
page), 466 MB for 120; beside other work, minutes: MB were 30: 434, 60: 447, 120: 548, 240: 467.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.pop(0)  # this folder: its coverage.py would be taken for the package
sys.path.insert(0, str(ROOT))
ROUNDS, BATCH = 3, 4
_TAG = """
import json, re, sys
from models.maest import MAEST
from helpers.prediction.predict import predict
net = MAEST(input_t=625, n_classes=400, embed_dim=64, depth=2, num_heads=4).eval()
predict(net, sys.argv[1], sys.argv[2], tables=["csv"])
status = open("/proc/self/status").read()  # getrusage would tell the parent's peak too
print(json.dumps(int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) / 1024))
"""


def make_file(path: Path, minutes: float, rate: int = 44100) -> Path:
    """Stereo noise of changing loudness, and a tone."""
    rng = np.random.default_rng(0)
    t = np.arange(60 * rate) / rate
    with soundfile.SoundFile(path, "w", rate, 2) as file:
        for minute in range(round(minutes)):
            tone = 0.2 * np.sin(2 * np.pi * (110 + 20 * (minute % 40)) * t)
            file.write((tone + 0.05 * rng.standard_normal(len(t)))[:, None].repeat(2, axis=1).astype(np.float32))
    return path


def whole_file(path: Path) -> tuple[float, float, int]:
    """Seconds of the network alone and of the whole file, medians, and windows."""
    import torch

    from models.audio import load
    from models.maest import MAEST
    from models.tagging import tag
    from models.windows import plan_windows

    torch.manual_seed(0)
    net = MAEST(input_t=1875).eval()
    mel = net.melspectrogram(torch.from_numpy(load(path))[None])[0]
    windows = torch.stack([mel[:, a:b] for a, b in plan_windows(mel.shape[-1], net.input_t, tail="drop").tolist()])

    def alone() -> None:
        with torch.no_grad():
            for part in windows.split(BATCH):
                net.probabilities(part)

    def whole() -> None:
        tag(net, path, batch_size=BATCH)

    times: dict[str, list[float]] = {"alone": [], "whole": []}
    with torch.no_grad():
        net.probabilities(windows[:1])
    for _ in range(ROUNDS):
        for name, run in (("alone", alone), ("whole", whole)):
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return statistics.median(times["alone"]), statistics.median(times["whole"]), len(windows)


def peak(path: Path, out: Path) -> float:
    """MB at their most."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _TAG, str(path), str(out)], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    return float(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        alone, whole, count = whole_file(make_file(Path(folder) / "song.flac", 4))
        table = Table(title="4-minute file, full-size network")
        for column in ("windows", "network alone, s", "whole file, s", "ratio"):
            table.add_column(column, justify="right")
        table.add_row(str(count), f"{alone:.1f}", f"{whole:.1f}", f"{whole / alone:.3f}")
        console.print(table)
        table = Table(title="Peak memory of tagging one file, page and tables included")
        for column in ("minutes", "MB"):
            table.add_column(column, justify="right")
        for minutes in (1, 10, 120):
            file = make_file(Path(folder) / f"{minutes}.flac", minutes)
            table.add_row(str(minutes), f"{peak(file, Path(folder) / 'out'):.0f}")
            file.unlink()
        console.print(table)


if __name__ == "__main__":
    main()
