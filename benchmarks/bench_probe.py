"""Probes on MagnaTagATune's size (18 706 training, 1 825 validation, 5 329 test tracks, 50 labels, batch 128; random numbers).

1. A 60-epoch probe of 2304 inputs, from opening the track store to its test scores, beside the usual loop: a Dataset that reads an .npy file
   per item, a DataLoader, autograd, torch's AdamW. The loop is run for `--loop-batches` of its 147 batches and scaled.
2. The sweep of 12 layers x 5 seeds, 60 epochs, at 768 and at 2304 inputs, in float32 and bfloat16: `--heads` heads for `--sweep-epochs` epochs are
   run and scaled to 60 heads x 60 epochs (every head costs the same; `--heads 60 --sweep-epochs 60` runs all of it). Beside it the same heads as
   one batched model (torch.baddbmm, autograd, one fused AdamW over all), and the score difference of bfloat16.

CPU seconds stand beside the wall's: on a machine that others use they say what two free cores would take (half of them).

Measured on 2 otherwise idle cores of an AMD EPYC (`--heads 8 --sweep-epochs 2 --loop-batches 5`; the sweeps and the loop scaled): 60 epochs of
2304 inputs 46.8 s (bfloat16 51.1 s), the loop 247 s with its files in the page cache; the sweep at 768 inputs 15.1 minutes (bfloat16 11.5; one
batched model 23.7), at 2304 36.2 (27.7; 58.2). bfloat16 changed a head's validation ROC-AUC by 0.00004 at most.
On 2 otherwise idle cores without AVX-512: 73.7 and 83.8 s (two days; the loop 351 s), of which the two large products take about 44 (2.5 ms each,
at 120 GFLOP/s). With a job at low priority beside: 90.6 s (93.9), the loop 854 s; sweeps 34.1 minutes (31.5; 45.1) and 59.7 (75.0; 70.2).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

sys.path.pop(0)  # this folder: its coverage.py would be taken for the package
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from datasets.store.track_store import TrackStore
from helpers.extraction.embeddings import load_embeddings
from helpers.probe.head_training import HeadSpec, Source, initial_head, train_heads
from helpers.probe.run import ProbeSettings, Split, run_probe

SIZES = {"train": 18706, "validation": 1825, "test": 5329}
LABELS = [str(i) for i in range(50)]


def made(folder: Path) -> tuple[dict[str, list[str]], np.ndarray, np.ndarray]:
    """A store of one window per track and an .npy file per training track; keys by split, labels, and the numbers themselves."""
    rng = np.random.default_rng(0)
    n = sum(SIZES.values())
    x = rng.standard_normal((n, 2304), dtype=np.float32)
    y = x[:, :64] @ rng.standard_normal((64, 50)).astype(np.float32) + 4 * rng.standard_normal((n, 50), dtype=np.float32) > 14
    keys = [f"{i % 16:x}/{i}.mp3" for i in range(n)]
    with TrackStore.create(folder / "embeddings.h5", (3, 768), "float32", {"kind": "embeddings", "block": 7}) as writer:
        for key, row in zip(keys, x):
            writer.append(key, row.reshape(1, 3, 768))
        writer.seal()
    for i in range(SIZES["train"]):
        np.save(folder / f"{i}.npy", x[i : i + 1])
    edges = np.cumsum([0, *SIZES.values()])
    return {part: keys[a:b] for part, a, b in zip(SIZES, edges, edges[1:])}, y, x


def own(folder: Path, keys: dict[str, list[str]], y: np.ndarray, settings: ProbeSettings) -> tuple[float, float, float]:
    """Seconds and CPU seconds from the store to the test scores, and the score."""
    began, cpu, at, splits = time.perf_counter(), time.process_time(), 0, []
    for part, names in keys.items():
        x = load_embeddings(folder / "embeddings.h5", names, "cdt", "stack")
        splits.append(Split(part, names, x, y[at : at + len(names)]))
        at += len(names)
    score = run_probe("random", splits, LABELS, seeds=(0,), settings=settings).scores.mean()
    return time.perf_counter() - began, time.process_time() - cpu, score


class Files(torch.utils.data.Dataset):
    """An .npy file per item."""

    def __init__(self, folder: Path, y: np.ndarray):
        self.folder, self.y = folder, y.astype(np.float32)

    def __len__(self) -> int:
        return SIZES["train"]

    def __getitem__(self, i: int) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.from_numpy(np.load(self.folder / f"{i}.npy").mean(0)), torch.from_numpy(self.y[i])


def loop(folder: Path, y: np.ndarray, batches: int) -> tuple[float, float]:
    """Seconds and CPU seconds per epoch of the usual loop, training only."""
    head = initial_head(0, 2304, 50)
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-4, weight_decay=1e-3)
    loader = torch.utils.data.DataLoader(Files(folder, y), batch_size=128, shuffle=True)
    began, cpu = time.perf_counter(), time.process_time()
    for _, (x, target) in zip(range(batches), loader):
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(head(x), target).backward()
        optimizer.step()
    scale = len(loader) / batches
    return (time.perf_counter() - began) * scale, (time.process_time() - cpu) * scale


def batched(x: torch.Tensor, y: torch.Tensor, heads: int, steps: int) -> tuple[float, float]:
    """Seconds, and CPU seconds, of `steps` steps of `heads` heads as one batched model."""
    nets = [initial_head(seed, x.shape[1], 50) for seed in range(heads)]
    parameters = []
    for linears in zip(*(net.linears for net in nets)):
        parameters.append(torch.stack([m.weight.detach().T for m in linears]).contiguous().requires_grad_())
        parameters.append(torch.stack([m.bias.detach() for m in linears])[:, None].requires_grad_())
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=1e-3, fused=True)
    w1, b1, w2, b2 = parameters
    began, cpu = time.perf_counter(), time.process_time()
    for step in range(steps):
        rows = torch.randint(len(x), (heads, 128), generator=torch.Generator().manual_seed(step))
        hidden = torch.nn.functional.dropout(torch.baddbmm(b1, x[rows], w1).relu(), 0.5)
        logits = torch.baddbmm(b2, hidden, w2)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, y[rows], reduction="none").mean((1, 2)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return time.perf_counter() - began, time.process_time() - cpu


def sweep(x: np.ndarray, y: np.ndarray, heads: int, epochs: int, table: Table) -> None:
    """Rows of the sweep at one width."""
    n, v = SIZES["train"], SIZES["validation"]
    train, validation = Split("train", [], x[:n], y[:n]), Split("validation", [], x[n : n + v], y[n : n + v])
    source = Source(train.examples(), validation.examples())
    specs = [HeadSpec(seed, 1e-4) for seed in range(heads)]
    settings = ProbeSettings(max_epochs=epochs, warmup_epochs=1, max_lr_epochs=1)
    scale, scores = 60 * 60 / (heads * epochs), {}
    for precision in ("32", "bf16"):
        source.tensors(precision)  # made once per layer; not part of the scaled time
        began, cpu = time.perf_counter(), time.process_time()
        done = train_heads(specs, [source], replace(settings, precision=precision), LABELS)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        scores[precision] = np.array([head.value("val_roc") for head in done])
        name = f"{x.shape[1]} inputs, {'float32' if precision == '32' else 'bfloat16'}"
        table.add_row(name, f"{heads} x {epochs}", f"{seconds:.1f}", f"{seconds * scale / 60:.1f}", f"{cpu * scale / 60:.1f}")
    steps = 12
    seconds, cpu = batched(torch.from_numpy(x[:n]), torch.from_numpy(y[:n].astype(np.float32)), heads, steps)
    per_minute = -(-n // 128) * epochs * scale / steps / 60
    name = f"{x.shape[1]} inputs, one batched model, float32, no validation"
    table.add_row(name, f"{heads} x {steps} steps", f"{seconds:.1f}", f"{seconds * per_minute:.1f}", f"{cpu * per_minute:.1f}")
    difference = np.abs(scores["32"] - scores["bf16"]).max()
    table.add_row(f"  largest difference of bfloat16 in validation ROC-AUC: {difference:.5f}", "", "", "", "")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=60, help="of the single probe")
    parser.add_argument("--loop-batches", type=int, default=147, help="of the usual loop, scaled to --epochs")
    parser.add_argument("--heads", type=int, default=8, help="of the sweep, scaled to 60")
    parser.add_argument("--sweep-epochs", type=int, default=2, help="of the sweep, scaled to 60")
    args = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        keys, y, x = made(folder)
        table = Table(
            title=f"A probe of 2304 inputs, {args.epochs} epochs, {torch.get_num_threads()} threads", title_justify="left"
        )
        for column in ("", "seconds", "CPU seconds", "ratio of CPU", "test ROC-AUC"):
            table.add_column(column, justify="left" if not column else "right")
        settings = ProbeSettings(max_epochs=args.epochs, warmup_epochs=min(10, args.epochs), max_lr_epochs=min(10, args.epochs))
        usual, usual_cpu = (value * args.epochs for value in loop(folder, y[: SIZES["train"]], args.loop_batches))
        for precision in ("32", "bf16"):
            seconds, cpu, score = own(folder, keys, y, replace(settings, precision=precision))
            name = f"helpers.probe, {precision}: loading, training, validation, test"
            table.add_row(name, f"{seconds:.1f}", f"{cpu:.1f}", f"{usual_cpu / cpu:.1f}x", f"{score:.4f}")
        table.add_row("a file per item: training only", f"{usual:.1f}", f"{usual_cpu:.1f}", "1x", "")
        console.print(table)
        table = Table(title="The sweep of 12 layers x 5 seeds x 60 epochs", title_justify="left")
        for column in ("", "run: heads x epochs", "seconds", "minutes, whole sweep", "CPU minutes"):
            table.add_column(column, justify="left" if not column else "right")
        for width in (768, 2304):
            sweep(np.ascontiguousarray(x[:, :width]), y, args.heads, args.sweep_epochs, table)
        console.print(table)


if __name__ == "__main__":
    main()
