"""What is this song? A 4-minute mp3 from the shell, process start included, beside the script that one would write with transformers and librosa.

Both tag the same file in 8 windows of 30 s through a network of the same size (12 blocks of 768, 519 classes, random weights saved to a folder); the
plain script decodes with librosa, makes an STFT mel and runs AST by `ASTForAudioClassification`. Interleaved, medians. "torch" is in the precision
that is fastest here; the first songs begin with an empty cache, and graphs are written and backends tried in them. Beside the seconds stands
processor time, which other work on the machine changes less.

python benchmarks/bench_shell.py [ROUNDS]
"""

from __future__ import annotations

import os
import resource
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
GOALS = {"ours, torch in float32": 0.6, "ours, onnx (float32)": 0.6, "ours, auto": 0.35}
_SAVE = """
import sys
import torch
from models import export_model, get_model
torch.manual_seed(0)
net = get_model("discogs-maest-30s-pw-129e-519l", pretrained=False).eval()
export_model(net, sys.argv[1] + "/maest")
export_model(net, sys.argv[1] + "/ast", "ast")
"""
_PLAIN = """
import sys
import librosa
import numpy as np
import torch
TORCHVISION = "operator torchvision::nms does not exist"
try:
    from transformers import ASTForAudioClassification
except (RuntimeError, ModuleNotFoundError) as error:  # a torchvision that was built for another torch
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from transformers import ASTForAudioClassification
wave, _ = librosa.load(sys.argv[2], sr=16000)
net = ASTForAudioClassification.from_pretrained(sys.argv[1] + "/ast").eval()
mel = librosa.feature.melspectrogram(y=wave, sr=16000, n_fft=512, hop_length=256, n_mels=96, power=2.0)
mel = ((np.log10(1 + 10000 * mel) - 2.06755686098554) / (2 * 1.268292820667291)).astype(np.float32).T
frames = net.config.max_length
windows = [mel[i : i + frames] for i in range(0, len(mel) - frames + 1, frames)]
scores = []
with torch.no_grad():
    for window in windows:
        scores.append(net(torch.from_numpy(window)[None]).logits.sigmoid())
mean = torch.cat(scores).mean(dim=0)
for p, i in zip(*mean.topk(10)):
    print(net.config.id2label[int(i)], float(p))
"""


def make_song(path: Path, minutes: float = 4.0, rate: int = 44100) -> None:
    """Stereo tones and noise that change, as mp3."""
    rng, t = np.random.default_rng(0), np.arange(10 * rate) / rate
    with soundfile.SoundFile(path, "w", rate, 2, format="MP3") as file:
        for k in range(round(6 * minutes)):
            tone = 0.2 * np.sin(2 * np.pi * 110 * 2 ** (k % 24 / 12) * t) + 0.05 * rng.standard_normal(len(t))
            file.write(tone[:, None].repeat(2, axis=1).astype(np.float32))


def run(command: list[str], cache: Path) -> tuple[float, float]:
    """Seconds on the clock and of processor time."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env={**os.environ, "MAEST_CACHE": str(cache)})
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(rounds: int = 3) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        song, cache = folder / "song.mp3", folder / "cache"
        make_song(song)
        subprocess.run([sys.executable, "-W", "ignore", "-c", _SAVE, name], cwd=ROOT, check=True, capture_output=True)
        plain = folder / "plain.py"
        plain.write_text(_PLAIN)
        words = [
            "ex_maest.py",
            "predict",
            "with",
            f"maest.checkpoint={folder / 'maest'}",
            f"predict.audio={song}",
            f"predict.out_dir={folder}",
        ]

        def ours(backend: str, *more: str) -> list[str]:
            return [sys.executable, *words, f"predict.backend={backend}", *more]

        commands = {
            "transformers and librosa": [sys.executable, "-W", "ignore", str(plain), name, str(song)],
            "ours, torch in float32": ours("torch", "trainer.precision=32"),
            "ours, torch": ours("torch"),
            "ours, onnx (float32)": ours("onnx"),
            "ours, auto": ours("auto"),
        }
        first = {f"ours, auto, {which} song": run(ours("auto"), cache) for which in ("first", "second")}
        first["ours, onnx, first song"] = run(ours("onnx"), folder / "other")
        times: dict[str, list[tuple[float, float]]] = {key: [] for key in commands}
        for _ in range(rounds):
            for key, command in commands.items():
                times[key].append(run(command, cache))
        chosen = [
            path.read_text() for path in (cache / "backends").glob("*.json") if not path.name.startswith(("trials", "untried"))
        ]
    table = Table(title=f"4-minute mp3 from the shell, {os.cpu_count()} processors, medians of {rounds}")
    for column in ("", "seconds", "ratio", "processor s", "ratio", "goal"):
        table.add_column(column, justify="right" if column else "left")
    base: list[float] = []
    for key, found in [*times.items(), *((key, [one]) for key, one in first.items())]:
        clock, processor = (statistics.median(column) for column in zip(*found))
        base = base or [clock, processor]
        goal = f"<= {GOALS[key]}" if key in GOALS else ""
        table.add_row(key, f"{clock:.1f}", f"{clock / base[0]:.2f}", f"{processor:.1f}", f"{processor / base[1]:.2f}", goal)
    console = Console(width=120)
    console.print(table)
    for text in chosen:
        console.print(f"auto: {text}")


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:2]))
