"""Preparation to mels in files per second: this project beside librosa in one process and beside one Python process per file.

All three do the same work on the same files (30 s, half of them MP3, the rest FLAC, Ogg Vorbis and WAV, 44.1 kHz stereo): decode,
mix, resample to 16 kHz, 96-band log-mel, float16 to disk. Rounds are interleaved, figures are medians of the rounds. "Process per
file" runs as many processes at once as the preparation has workers, with this project's own function, on a smaller number of
files, as each costs the same. The share of decoding (file to mono at 16 kHz) is measured in one process, file by file,
interleaved with the whole.

Measured on 2 cores of an AMD EPYC, nothing else running. File by file, in turn: 37 ms of CPU, 78 % of it decoding, mixing and
resampling; librosa 1.51 times that. Two workers cost about 4 s of CPU to start, as each imports torch: few files are made sooner
with --jobs 1. In files per second, median of 3 rounds: 33.0 with two workers on 240 files, their start included, 24.2 in one
process that had torch already, librosa 17.4, a process per file 1.4.
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.pop(0)  # this folder: its coverage.py would be taken for the package
sys.path.insert(0, str(ROOT))
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, "1")  # one thread per process for everyone

import numpy as np  # noqa: E402
import soundfile  # noqa: E402
from joblib import cpu_count  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from datasets.prepare import prepare  # noqa: E402
from datasets.prepare.features import mel_of_file  # noqa: E402
from models import audio  # noqa: E402

SECONDS = 30
SUFFIXES = ("mp3", "flac", "mp3", "ogg", "mp3", "wav")
ONE_FILE = (
    "import sys, numpy; from datasets.prepare.features import mel_of_file; numpy.save(sys.argv[2], mel_of_file(sys.argv[1]))"
)


def make_files(folder: Path, count: int) -> list[Path]:
    """`count` files, links to a dozen different ones."""
    rng = np.random.default_rng(0)
    t = np.arange(SECONDS * 44100) / 44100
    originals = []
    for k, suffix in enumerate(SUFFIXES * 2):
        partials = sum(np.sin(2 * np.pi * f * t + p) for f, p in zip(rng.uniform(60, 5000, 8), rng.uniform(0, 6, 8)))
        sound = 0.05 * np.stack([partials, np.roll(partials, 1000)], axis=1) + 0.02 * rng.standard_normal((len(t), 2))
        originals.append(folder.parent / f"original{k}.{suffix}")
        soundfile.write(originals[-1], sound, 44100)
    folder.mkdir()
    files = []
    for k, original in zip(range(count), itertools.cycle(originals)):
        files.append(folder / f"track{k:05d}{original.suffix}")
        os.link(original, files[-1])
    return files


def by_librosa(files: list[Path], out: Path) -> None:
    """One process, the usual calls."""
    import librosa

    for file in files:
        wave, _ = librosa.load(file, sr=16000)
        mel = librosa.feature.melspectrogram(y=wave, sr=16000, n_fft=512, hop_length=256, n_mels=96, fmax=8000)
        np.save(out / f"{file.name}.npy", np.log10(1 + 10000 * mel).T.astype(np.float16))


def by_process_per_file(files: list[Path], out: Path, jobs: int) -> None:
    """A fresh interpreter for each file, `jobs` at once."""
    running: list[subprocess.Popen] = []
    for file in files:
        if len(running) == jobs:
            running.pop(0).wait()
        running.append(subprocess.Popen([sys.executable, "-c", ONE_FILE, str(file), str(out / file.name)], cwd=ROOT))
    if any(process.wait() for process in running):
        raise RuntimeError("A process failed.")


def cpu() -> float:
    """CPU seconds of this process and of those it has waited for."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def per_file(work: Callable[[], object], count: int) -> tuple[float, float]:
    """Files per second, and CPU milliseconds per file."""
    began, cpu_began = time.perf_counter(), cpu()
    work()
    return count / (time.perf_counter() - began), 1000 * (cpu() - cpu_began) / count


def prepared(folder: Path, out: Path, jobs: int) -> None:
    """The way of this project; a file that fails would make it look fast."""
    done = prepare(folder, out / "store", jobs=jobs)
    if done.failed:
        raise RuntimeError(f"{len(done.failed)} files failed: {next(iter(done.failed.values()))}")


def file_by_file(files: list[Path], out: Path) -> tuple[float, float, float]:
    """CPU milliseconds of a file's work, the share of decoding in it, and librosa's CPU as a multiple, in turn for each file:
    medians.
    """
    mel_of_file(files[0])
    milliseconds, shares, multiples = [], [], []
    for file in files:
        times = [time.process_time()]
        for work in (
            lambda file=file: audio.load(file),
            lambda file=file: mel_of_file(file),
            lambda file=file: by_librosa([file], out),
        ):
            work()
            times.append(time.process_time())
        decoding, whole, librosa = (after - before for before, after in itertools.pairwise(times))
        milliseconds.append(1000 * whole)
        shares.append(decoding / whole)
        multiples.append(librosa / whole)
    return statistics.median(milliseconds), statistics.median(shares), statistics.median(multiples)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=240)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=cpu_count())
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "audio"
        files = make_files(folder, args.files)
        few, some = files[: max(2 * args.jobs, args.files // 10)], files[: max(12, args.files // 4)]
        works: dict[str, tuple[list[Path], Callable[[Path], object]]] = {
            f"datasets.prepare, {args.jobs} workers": (files, lambda out: prepared(folder, out, args.jobs)),
            "datasets.prepare, in this process": (some, lambda out: prepared(few_folder, out, 1)),
            "librosa, one process, .npy per file": (some, lambda out: by_librosa(some, out)),
            f"a Python process per file, {args.jobs} at once": (few, lambda out: by_process_per_file(few, out, args.jobs)),
        }
        few_folder = Path(temporary) / "some"
        few_folder.mkdir()
        for file in some:
            os.link(file, few_folder / file.name)
        by_librosa(files[:1], Path(temporary))  # its first call compiles
        mel_of_file(files[0])  # and this one imports torch
        figures: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
        for _ in range(args.rounds):
            for name, (over, work) in works.items():
                out = Path(temporary) / "out"
                out.mkdir()
                figures[name].append(per_file(lambda out=out, work=work: work(out), len(over)))
                shutil.rmtree(out)
        alone, share, multiple = file_by_file(some, Path(temporary))
    table = Table(title=f"Mels of files of {SECONDS} s, median of {args.rounds} rounds, start and writing included")
    for column in ("how", "files", "files/s", "CPU ms per file", "CPU, first = 1"):
        table.add_column(column, justify="left" if column == "how" else "right")
    medians = {name: [statistics.median(values) for values in zip(*rounds)] for name, rounds in figures.items()}
    base = next(iter(medians.values()))[1]
    for name, (rate, milliseconds) in medians.items():
        table.add_row(name, str(len(works[name][0])), f"{rate:.1f}", f"{milliseconds:.0f}", f"{milliseconds / base:.2f}")
    Console(width=110).print(table)
    Console(width=110).print(
        f"File by file, in turn: {alone:.0f} ms of CPU, {100 * share:.0f} % of it decoding, mixing and resampling; "
        f"librosa takes {multiple:.2f} times that."
    )


if __name__ == "__main__":
    main()
