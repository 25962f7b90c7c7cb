"""Patches left out at inference: how much faster a network is, and what it loses in score, on the test recordings of the demo (or of a table).

python benchmarks/bench_patchout.py [--network CHECKPOINT] [--audio FOLDER] [--groundtruth TABLE] [--rounds 5]

The curve of one network with its own head, every amount in turn: "speed" is the ratio of the least processor times of the rounds. A network that
was trained without patchout (the demo's) loses more than one that was trained with it.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.pop(0)  # this folder: its coverage.py would be taken for the package
sys.path.insert(0, str(ROOT))

from benchmarks.demo_scores import arguments, parse, recordings, scores  # noqa: E402
from helpers.paper.tables.maest import patchout_updates  # noqa: E402
from models.registry import load_model  # noqa: E402

AMOUNTS = ("none", "t2", "t3", "t4", "f2", "f3", "t2 f2")


def main() -> None:
    """Print the table."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=16, help="windows at once")
    args = parse(parser)
    settings = {a: {name.partition(".")[2]: n for name, n in patchout_updates(a).items()} for a in AMOUNTS}
    nets = {amount: load_model(args.network, **given) for amount, given in settings.items()}
    test = recordings(nets["none"], args, "test")
    batch = torch.cat(test.windows)[: args.batch].float()
    taken: dict[str, list[float]] = {amount: [] for amount in AMOUNTS}
    with torch.inference_mode():
        for k in range(args.rounds + 1):
            for amount in AMOUNTS[k % len(AMOUNTS) :] + AMOUNTS[: k % len(AMOUNTS)]:
                begun = time.process_time()
                nets[amount].window_probabilities(batch)
                if k:  # the first one warms up
                    taken[amount].append(time.process_time() - begun)
        tokens = {amount: net.tokens(batch[:1])[0].shape[1] for amount, net in nets.items()}
    whole = scores(nets["none"].window_probabilities, test)
    table = Table(
        title=f"{len(test.windows)} test recordings, {test.targets.shape[1]} labels; {args.batch} windows, {args.rounds} rounds"
    )
    for column in ("patches kept", "tokens", "speed", "ROC-AUC", "difference", "AP", "difference"):
        table.add_column(column, justify="right")
    for amount in AMOUNTS:
        roc, ap = scores(nets[amount].window_probabilities, test)
        speed = min(taken["none"]) / min(taken[amount])
        name = (
            "all"
            if amount == "none"
            else " and ".join(f"1 of {part[1:]} in {dict(t='time', f='frequency')[part[0]]}" for part in amount.split())
        )
        table.add_row(
            name,
            str(tokens[amount]),
            f"{speed:.2f}x",
            f"{roc:.4f}",
            f"{roc - whole[0]:+.4f}",
            f"{ap:.4f}",
            f"{ap - whole[1]:+.4f}",
        )
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
