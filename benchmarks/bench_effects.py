"""CLMR's pitch shift and reverb beside SoX's, on recordings: what is heard, and what it costs.

python benchmarks/bench_effects.py FOLDER_OF_RECORDINGS [--crops 3] [--settings 150]        needs sox on the path

Pitch: of each shift the level, the centroid of the spectrum as a share of what the shift asks for, and the level of the quietest of ten parts of
a crop, each against the original without what a shift moves above half the rate. Reverb: the time in which an impulse's tail falls by 60 dB
(Schroeder's integral, from -5 to -35 dB), and wet against dry level, over settings drawn as the augmentation draws them. Time: processor seconds of
one thread, interleaved, medians.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

sys.path.pop(0)  # this folder: its coverage.py would be taken for the package
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from models.audio import load
from models.clmr.effects import reverb
from models.clmr.pitch import pitch_shift

RATE, N = 22050, 59049
Shift = Callable[[np.ndarray, int], np.ndarray]


def sox(x: np.ndarray, *effect: object, length: int) -> np.ndarray:
    """A sound [N] with an effect of SoX's command: [length] float32."""
    line = ["sox", "-D", "-t", "f32", "-r", str(RATE), "-c", "1", "-", "-t", "f32", "-", *map(str, effect)]
    done = subprocess.run(line, input=(x / 2).astype("<f4").tobytes(), capture_output=True, check=True)  # halved: SoX clips
    out = np.frombuffer(done.stdout, "<f4")[:length] * 2
    return np.pad(out, (0, length - len(out)))


def ours(x: np.ndarray, cents: int) -> np.ndarray:
    """A crop [N] moved by the suite's own pitch shift."""
    return pitch_shift(torch.from_numpy(x)[None], [cents])[0].numpy()


def theirs(x: np.ndarray, cents: int) -> np.ndarray:
    """A crop [N] moved by SoX."""
    return sox(x, "pitch", cents, length=len(x))


def crops(folder: Path, each: int) -> list[np.ndarray]:
    """`each` crops [N] of every recording of a folder, from where something is heard; short ones are repeated."""
    out, rng = [], np.random.default_rng(0)
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        try:
            wave = load(path, RATE)
        except ValueError as error:
            print(f"{path.name}: {error}", file=sys.stderr)
            continue
        wave = np.tile(wave, -(-N // max(len(wave), 1))) if len(wave) < N else wave
        for _ in range(each):
            found = [wave[at : at + N] for at in rng.integers(0, len(wave) - N + 1, 10)]
            out.append(np.ascontiguousarray(max(found, key=lambda crop: float(np.square(crop).mean()))))
    return out


def heard(before: np.ndarray, after: np.ndarray, cents: int) -> tuple[float, float, float]:
    """(level in dB, centroid as a share of what the shift asks for, level in dB of the quietest tenth) of a shifted crop."""
    ratio = 2 ** (cents / 1200)
    spectrum = np.fft.rfft(before)
    spectrum[int(len(spectrum) / ratio) :] = 0
    kept = np.fft.irfft(spectrum, len(before))

    def level(part: slice) -> float:
        return float(10 * np.log10(np.square(after[part]).sum() / np.square(kept[part]).sum()))

    parts = [slice(k * len(kept) // 10, (k + 1) * len(kept) // 10) for k in range(10)]
    loud = [part for part in parts if np.square(kept[part]).mean() > 1e-3 * np.square(kept).mean()]  # not what lies 30 dB lower
    return level(slice(None)), centroid(after) / (centroid(kept) * ratio), min(map(level, loud))


def centroid(x: np.ndarray) -> float:
    """Mean frequency of the power spectrum, Hz."""
    power = np.square(np.abs(np.fft.rfft(x * np.hanning(len(x)))))
    return float((power * np.fft.rfftfreq(len(x), 1 / RATE)).sum() / power.sum())


def room(response: np.ndarray) -> tuple[float, float]:
    """(time in seconds in which the tail falls by 60 dB, wet against dry level in dB) of a response [N] to a unit impulse."""
    wet = response[1:].astype(np.float64)
    left = np.cumsum(np.square(wet)[::-1])[::-1]
    fall = 10 * np.log10(left / left[0] + 1e-30)
    first, last = (int(np.argmax(fall < db)) for db in (-5, -35))
    return 60 * (last - first) / 30 / RATE, float(10 * np.log10(left[0]))


def _spread(values: Sequence[float], digits: int = 3) -> list[str]:
    return [f"{value:.{digits}f}" for value in np.quantile(values, [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1])]


def _table(title: str) -> Table:
    table = Table(title=title)
    for column in ("", "least", "5 %", "25 %", "median", "75 %", "95 %", "most"):
        table.add_column(column, justify="right" if column else "left")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--crops", type=int, default=3, help="of each recording")
    parser.add_argument("--settings", type=int, default=150, help="of the reverb")
    asked = parser.parse_args()
    if shutil.which("sox") is None:
        parser.exit(1, "sox is not on the path: on Debian `apt install sox`.\n")
    torch.set_num_threads(1)
    console, rng = Console(width=110), np.random.default_rng(1)

    sounds = crops(asked.folder, asked.crops)
    cents = rng.choice([-1, 1], len(sounds)) * rng.integers(20, 701, len(sounds))
    table = _table(f"{len(sounds)} crops, shifts of 20 to 700 cents")
    for name, shift in (("ours", ours), ("SoX", theirs)):
        found = np.array([heard(x, shift(x, int(c)), int(c)) for x, c in zip(sounds, cents)])
        for k, what in enumerate(("level, dB", "centroid / asked", "quietest tenth, dB")):
            table.add_row(f"{name}: {what}", *_spread(found[:, k]))
    console.print(table)

    impulse, settings = np.zeros(12 * RATE, np.float32), rng.integers(100, size=(asked.settings, 3))
    impulse[0] = 1
    table = _table(f"reverb, {asked.settings} settings")
    rooms = {
        "ours": [room(reverb(torch.from_numpy(impulse)[None], [r], [d], [s], RATE)[0].numpy()) for r, d, s in settings],
        "SoX": [room(sox(impulse, "reverb", r, d, s, length=len(impulse))) for r, d, s in settings],
    }
    for name, found in rooms.items():
        table.add_row(f"{name}: 60 dB, s", *_spread([seconds for seconds, _ in found], 2))
        table.add_row(f"{name}: wet / dry, dB", *_spread([level for _, level in found], 2))
    console.print(table)

    batch = torch.from_numpy(np.stack((sounds * 16)[:16]))
    costs: dict[str, list[float]] = {"pitch, ours": [], "pitch, SoX": [], "reverb, ours": []}
    work: list[Callable[[], object]] = [
        lambda: pitch_shift(batch, (list(cents) * 16)[:16]),
        lambda: [theirs(x, 300) for x in batch.numpy()],
        lambda: reverb(batch, *settings[:16].T, RATE),
    ]
    for _ in range(6):
        for name, call in zip(costs, work):
            start = time.process_time()
            call()
            costs[name].append((time.process_time() - start) / 16)
    for name, values in costs.items():
        note = " (without SoX's own process)" if "SoX" in name else ""
        console.print(f"{name}: {1000 * statistics.median(values[1:]):.1f} ms a crop of {N} samples{note}")


if __name__ == "__main__":
    main()
