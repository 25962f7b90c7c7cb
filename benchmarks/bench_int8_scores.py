"""What products in 8 bits cost in score: a network's own head, and a probe of its embeddings, in float32 and in 8 bits; and musicnn's tags.

python benchmarks/bench_int8_scores.py [--network CHECKPOINT] [--audio FOLDER] [--groundtruth TABLE]

On the demo's recordings, or those of a table. The probe is a ridge regression on the standardised mean of the last block, in closed form, so that a
difference is that of the embeddings alone: fitted on those of float32 or of 8 bits, and scored on those of 8 bits. musicnn's tags
(where its weights are on this machine) have no groundtruth here: how far the probabilities of test recordings move, and whether the first tags stay.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.pop(0)  # this folder: its coverage.py would be taken for the package
sys.path.insert(0, str(ROOT))

from benchmarks.demo_scores import Recordings, arguments, means, parse, recordings  # noqa: E402
from helpers.metrics import tagging_scores  # noqa: E402
from models.backends import with_backend  # noqa: E402
from models.errors import WeightsNotFoundError  # noqa: E402
from models.onnx_windows import INT8, ONNX  # noqa: E402
from models.registry import get_model, load_model  # noqa: E402

RIDGE = 1.0  # of the squared weights, per standardised input


def probe(train: np.ndarray, targets: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return the scores [N', L] of a ridge regression from embeddings [N, C] to targets [N, L]."""
    mean, deviation = train.mean(axis=0), train.std(axis=0) + 1e-6
    x = (train - mean).astype(np.float64) / deviation
    weights = np.linalg.solve(x.T @ x + RIDGE * len(x) / 100 * np.eye(x.shape[1]), x.T @ (targets - targets.mean(axis=0)))
    found: np.ndarray = (test - mean) / deviation @ weights
    return found


def row(table: Table, name: str, targets: np.ndarray, exact: np.ndarray, rough: np.ndarray) -> None:
    """Add ROC-AUC and AP of scores [N, L] in float32 and in 8 bits."""
    a, b = (tagging_scores(targets, x, warn=False) for x in (exact, rough))
    cells = [f"{a[k]:.4f}" + f" {b[k]:.4f} {b[k] - a[k]:+.4f}" for k in ("macro_roc", "macro_ap")]
    table.add_row(name, *cells[0].split(), *cells[1].split(), f"{np.abs(exact - rough).max():.4f}")


def musicnn(test: list[Path], console: Console) -> None:
    """Say how far musicnn's tags move."""
    try:
        net = get_model("musicnn-mtt").eval()
    except WeightsNotFoundError:
        console.print("musicnn: its weights are not on this machine.")
        return
    from models.tagging import Begun, tag_many

    exact, rough = (
        np.stack([found.probabilities for found in tag_many(net, test, begun=Begun(score=backed.window_probabilities))])  # type: ignore[union-attr]
        for backed in (with_backend(net, ONNX), with_backend(net, INT8))
    )
    first = float(np.mean([set(np.argsort(-a)[:3]) == set(np.argsort(-b)[:3]) for a, b in zip(exact, rough)]))
    apart = np.abs(exact - rough)
    console.print(
        f"musicnn-mtt, {len(test)} recordings: probabilities move by {apart.max():.4f} at most, {apart.mean():.5f} in the mean; the first three "
        f"tags stay in {100 * first:.0f} %."
    )


def main() -> None:
    """Print the table."""
    args = parse(arguments(__doc__.splitlines()[0]))
    net = load_model(args.network)
    train, test = (recordings(net, args, split) for split in ("train", "test"))
    ways = {name: with_backend(net, name) for name in (ONNX, INT8)}
    table = Table(title=f"{len(test.windows)} test recordings, {test.targets.shape[1]} labels")
    for column in ("scores", "ROC-AUC float32", "8 bits", "difference", "AP float32", "8 bits", "difference", "largest change"):
        table.add_column(column, justify="right")
    row(table, "own head", test.targets, *(means(way.window_probabilities, test) for way in ways.values()))
    last = net.depth - 1

    def vectors(name: str, found: Recordings) -> np.ndarray:
        return means(lambda windows: ways[name].summaries(windows, [last])[0].flatten(1), found)

    exact, rough = (tuple(vectors(name, found) for found in (train, test)) for name in (ONNX, INT8))
    probed = probe(exact[0], train.targets, exact[1])
    row(table, "probe, fitted on float32", test.targets, probed, probe(exact[0], train.targets, rough[1]))
    row(table, "probe, fitted on 8 bits", test.targets, probed, probe(rough[0], train.targets, rough[1]))
    console = Console(width=130)
    console.print(table)
    truth = sorted(args.audio.glob("test/*"))[: min(args.tracks, 60)]
    musicnn(truth, console)


if __name__ == "__main__":
    with torch.inference_mode():
        main()
