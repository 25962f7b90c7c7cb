"""OMAR-RQ: a layer in the middle beside the straightforward computation of all blocks, in processor time; memory of an extraction by a file's length.

python benchmarks/bench_omar_rq.py [--width 256] [--seconds 5]
python benchmarks/bench_omar_rq.py --memory        # two runs of ex_ssl.py extract_embeddings, on 10 minutes and on 2 hours
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch

sys.path.pop(0)  # this folder: its coverage.py would be taken for the package
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from models.omar_rq import OmarRQ

ROOT = Path(__file__).resolve().parents[1]
DEPTH, LAYER, ROUNDS, RATE = 24, 6, 5, 16000
_JOB = """
import json, re, runpy, sys, threading, time
most, done = {"RssAnon": 0, "RssFile": 0}, threading.Event()
def watch():
    while not done.wait(0.02):
        status = open("/proc/self/status").read()
        for name in most:
            most[name] = max(most[name], int(re.search(name + r":\\s+(\\d+)", status)[1]) / 1024)
threading.Thread(target=watch, daemon=True).start()
out, sys.argv = sys.argv[1], ["ex_ssl.py", *sys.argv[2:]]
try:
    runpy.run_path("ex_ssl.py", run_name="__main__")
finally:
    done.set()
    json.dump(most, open(out, "w"))
"""


def costs(*calls: Callable[[], object]) -> list[float]:
    """Processor seconds of calls: medians of some rounds of all of them, interleaved, after one to warm up."""
    found: list[list[float]] = [[] for _ in calls]
    for round_ in range(ROUNDS + 1):
        for call, seconds in zip(calls, found):
            start = time.process_time()
            call()
            if round_:
                seconds.append(time.process_time() - start)
    return [statistics.median(seconds) for seconds in found]


def peak_rate(size: int = 1024) -> float:
    """What this machine's matrix product reaches, float32, in GFLOP a processor second."""
    a = torch.randn(size, size)
    (seconds,) = costs(lambda: a @ a)
    return 2 * size**3 / seconds / 1e9


def layers(width: int, seconds: float) -> None:
    """Print what a layer in the middle costs of the whole."""
    torch.manual_seed(0)
    net = OmarRQ(embed_dim=width, depth=DEPTH, num_heads=8).eval()
    x = torch.randn(1, int(seconds * net.sample_rate)) * 0.1

    def every() -> None:
        """All blocks, with gradients kept, as the reference does; the asked one is picked at the end."""
        net.net.outputs(net.embedded(net.input_patches(x)), range(DEPTH))[LAYER].clone()

    whole, part = costs(every, lambda: net.extract_embeddings(x, [LAYER]))
    print(
        f"{DEPTH} blocks of width {width}, {seconds:g} s of audio, one clip; matrix products reach {peak_rate():.0f} GFLOP/s here"
    )
    print(f"all blocks        {whole:.3f} s")
    print(f"layer {LAYER} alone     {part:.3f} s   {part / whole:.2f} of it")


def memory() -> None:
    """Print the most memory of an extraction of every vector in time, of a short and of a long file."""
    print(
        "MB at most: anonymous (what the process has taken), and of files (the store's pages, which the system takes back where it needs room)"
    )
    with tempfile.TemporaryDirectory() as folder:
        for minutes in (10, 120):
            place = Path(folder, str(minutes))
            (place / "audio").mkdir(parents=True)
            rng = np.random.default_rng(0)
            with soundfile.SoundFile(place / "audio/long.flac", "w", RATE, 1) as file:
                for _ in range(minutes):
                    file.write(0.1 * rng.standard_normal(60 * RATE))
            prepared = [sys.executable, "-m", "datasets.prepare", place / "audio", place / "store", "--waveform", str(RATE)]
            subprocess.run([*prepared, "--max-seconds", "0"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
            words = [
                "extract_embeddings", "with", "omar_rq_inference_smoke", "omar_rq.overlap=0.5", "omar_rq.max_seconds=30", "predict.frames=True",
                f"datamodule.base_dir={place / 'store'}", f"predict.out_dir={place / 'out'}", "trainer.accelerator=cpu",
            ]  # fmt: skip
            env = {**os.environ, "OMP_NUM_THREADS": "1"}
            subprocess.run(
                [sys.executable, "-c", _JOB, place / "most.json", *words],
                cwd=ROOT,
                check=True,
                stdout=subprocess.DEVNULL,
                env=env,
            )
            most = json.loads((place / "most.json").read_text())
            print(f"{minutes:4d} minutes   anonymous {most['RssAnon']:.0f}   files {most['RssFile']:.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--memory", action="store_true", help="memory of an extraction in place of times")
    args = parser.parse_args()
    if args.memory:
        memory()
    else:
        layers(args.width, args.seconds)


if __name__ == "__main__":
    main()
