"""What benchmarks of accuracy share: a trained network, the windows of labelled recordings, and its scores on them, in any way of computing."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from datasets.groundtruth import Groundtruth
from helpers.metrics import tagging_scores
from models.encoder import AudioEncoder
from models.windows import stream_windows

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "exp_out" / "bench"
Way = Callable[[Tensor], Tensor]  # windows [W, ...] -> numbers of each [W, ...]


@dataclass(frozen=True)
class Recordings:
    """Windows of N recordings, one tensor [W, ...] each, and which of the L labels each has, bool [N, L]."""

    windows: list[Tensor]
    targets: np.ndarray


def arguments(description: str) -> argparse.ArgumentParser:
    """Return a parser of what all of them take."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--network", type=Path, help="trained on the table's labels; none: the demo's, which is trained where it is not there"
    )
    parser.add_argument("--audio", type=Path, help="folder that the table's paths are below")
    parser.add_argument("--groundtruth", type=Path, help="table of labels with a split column")
    parser.add_argument("--tracks", type=int, default=1_000_000, help="of a split, at most")
    return parser


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Return the arguments; in place of what is not named the demo's network and data in exp_out/bench, made with a first call (minutes)."""
    args = parser.parse_args()
    if args.network is None:
        DEMO.mkdir(parents=True, exist_ok=True)
        if not (found := sorted(DEMO.glob("exp_logs/*/checkpoints/best.ckpt"))):
            subprocess.run(
                [sys.executable, str(ROOT / "ex_maest.py"), "with", "demo"], cwd=DEMO, check=True, stdout=subprocess.DEVNULL
            )
            found = sorted(DEMO.glob("exp_logs/*/checkpoints/best.ckpt"))
        args.network = found[-1]
    args.audio = args.audio or DEMO / "exp_out" / "demo_data" / "audio"
    args.groundtruth = args.groundtruth or args.audio.parent / "groundtruth.csv"
    return args


def recordings(net: AudioEncoder, args: argparse.Namespace, split: str) -> Recordings:
    """Return the windows of a split's recordings as the network takes them; the last one ends at a recording's end."""
    truth = Groundtruth.read(args.groundtruth).splits[split]
    rows = list(range(min(len(truth), args.tracks)))
    order = [truth.labels.index(label) for label in net.label_names]
    found = []
    for name in (truth.keys[i] for i in rows):
        blocks = net.window_blocks(net.audio_blocks(args.audio / name, None))
        found.append(
            torch.from_numpy(
                np.stack([window.copy() for window, *_ in stream_windows(blocks, net.window_length, None, "shift", net.silence)])
            )
        )
    return Recordings(found, truth.matrix()[rows][:, order])


@torch.inference_mode()
def means(way: Way, found: Recordings) -> np.ndarray:
    """Return a recording's numbers as the mean over its windows, [N, ...]."""
    sizes = [len(windows) for windows in found.windows]
    parts = torch.cat(found.windows).split(64)
    rows = torch.cat([way(part.float()).float() for part in parts]).numpy()
    return np.stack([part.mean(axis=0) for part in np.split(rows, np.cumsum(sizes)[:-1])])


def scores(way: Way, found: Recordings) -> tuple[float, float]:
    """Return macro ROC-AUC and AP of the probabilities that a way of computing gives."""
    scored = tagging_scores(found.targets, means(way, found), warn=False)
    return scored["macro_roc"], scored["macro_ap"]
