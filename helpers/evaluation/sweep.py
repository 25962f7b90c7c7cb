"""A score per block and kind of token: which layer of a network knows most of a target, and in which token.

Heads of one block (kinds of tokens x seeds x learning rates) train side by side; only one block's embeddings are in memory. Every finished cell
is kept in a folder whose name is made of all that decides its numbers, so that a sweep that was killed goes on, and one that is run again does no
work. Blocks are to be compared and chosen by their validation scores; the test scores of all cells are what the figure shows.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from datasets.groundtruth.annotations import Truth
from datasets.store.track_store import TrackStore
from datasets.utils.files import atomic
from datasets.utils.ragged import Ragged
from datasets.utils.spreadsheet import safe_cell
from models.errors import ConfigError

from ..extraction.embeddings import has_tokens
from ..metrics.scores import SystemScores
from ..probe.head_training import HeadSpec, TrainedHead, train_heads
from ..probe.inputs import check_tracks, layer_folders, read_split
from ..probe.protocol import Protocol
from ..probe.run import ProbeResult, ProbeSettings, Split, chosen_rates, prepare, score_test
from ..utils.json_values import plain
from .comparison import probe_progress

log = logging.getLogger(__name__)
VECTORS = "vectors"
CODE_VERSION = 2  # raised when a change here, or in the probe, changes numbers: older cells are then made anew


@dataclass(frozen=True)
class Cell:
    """One block and kind of token (VECTORS: of a network without): the scores of all seeds on the test split, with their validation scores."""

    block: int
    types: str
    scores: SystemScores

    @property
    def monitor(self) -> str:
        """The validation curve that heads were chosen by."""
        return str(self.scores.settings["chosen_by"])

    @property
    def validation(self) -> float:
        """Its mean over seeds."""
        return float(np.mean(self.scores.validation[self.monitor]))


def run_sweep(
    source: str | Path,
    truths: Mapping[str, Truth],
    protocol: Protocol | None = None,
    *,
    layers: Sequence[int] | None = None,
    types: Sequence[str] = ("c", "d", "t"),
    cache: Path,
) -> list[Cell]:
    """Probe every block with every kind of token; cells in the order of `layers`, then `types`.

    Args:
        source: folder with a sub-folder of embeddings per block.
        truths: groundtruth by split.
        protocol: how all of them are probed.
        layers: blocks; none: all of them.
        types: letters of tokens, each entry a line of the figure (several letters: reduced as the inputs say); embeddings without tokens
            make one line.
        cache: folder of finished cells.

    Raises ConfigError, StoreError or GroundtruthError before training for what is not there or does not fit.
    """
    how = protocol or Protocol()
    inputs, settings, seeds = how.inputs, how.settings, how.seeds
    if inputs.layers:
        raise ConfigError("A sweep takes the blocks one by one: leave data.layers out, and name them in sweep.layers.")
    if not types or len({frozenset(kind) for kind in types}) != len(types):
        raise ConfigError(f"sweep.types names each kind of token once, such as c,d,t,cdt; got {','.join(types)}.")
    chosen = {kind: replace(inputs, types=kind) for kind in types}  # refuses unknown letters
    folders = layer_folders(source, layers)
    if not has_tokens(next(iter(folders.values())), inputs.token_size):
        log.info("%s holds one vector per window: there are no tokens to choose of, and one line is drawn.", source)
        types, chosen = (VECTORS,), {VECTORS: inputs}
    for folder in folders.values():
        check_tracks(folder, truths, skip_missing=how.skip_missing)
    labels = next(iter(truths.values())).labels
    done: dict[tuple[int, str], SystemScores] = {}
    for block, folder in folders.items():
        key = _key(folder, truths, how)
        places = {kind: cache / key / kind for kind in types}
        lacking = [kind for kind in types if not (places[kind] / "scores.json").is_file()]
        splits = {
            kind: {
                part: read_split(part, folder, truth, chosen[kind], how.skip_missing, how.data) for part, truth in truths.items()
            }
            for kind in lacking
        }
        log.info("Block %d: %s", block, f"{len(lacking)} of {len(types)} kinds of token" if lacking else "there already")
        about = {"block": block, "embeddings": str(folder)}
        with probe_progress(settings, how.heads, [s["train"] for s in splits.values()]) as on_epoch:
            for kind, result in _probe(splits, labels, seeds, settings, about, on_epoch).items():
                result.save(places[kind])
        done |= {(block, kind): SystemScores.load(places[kind]) for kind in types}
    return [Cell(block, kind, done[block, kind]) for block in folders for kind in types]


def _probe(
    splits: Mapping[str, Mapping[str, Split]],
    labels: Sequence[str],
    seeds: Sequence[int],
    settings: ProbeSettings,
    about: dict[str, Any],
    on_epoch: Callable[[], object] | None,
) -> dict[str, ProbeResult]:
    """All kinds of tokens of one block, their heads side by side."""
    kinds = list(splits)
    sources = [prepare((s["train"], s["val"], s["test"]), labels, seeds, settings) for s in splits.values()]
    specs = [HeadSpec(int(seed), rate, i) for i in range(len(kinds)) for seed in seeds for rate in settings.rates]
    heads: dict[int, list[TrainedHead]] = {i: [] for i in range(len(kinds))}
    for head in chosen_rates(train_heads(specs, sources, settings, labels, on_epoch), settings) if specs else []:
        heads[head.spec.source].append(head)
    return {
        kind: score_test(
            f"block {about['block']}, {kind}",
            heads[i],
            sources[i],
            splits[kind]["test"],
            labels,
            settings,
            {**about, "types": kind},
        )
        for i, kind in enumerate(kinds)
    }


def _key(
    folder: Path,
    truths: Mapping[str, Truth],
    protocol: Protocol,
) -> str:
    """A name made of everything that decides a block's numbers: embeddings, labels, settings, code."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(folder)} {path.stat().st_size} {path.stat().st_mtime_ns}\n".encode())
    if any(folder.glob("*.h5*")):
        digest.update(json.dumps(TrackStore.open(folder).attrs, sort_keys=True).encode())
    for part, truth in truths.items():
        digest.update("\n".join([part, *truth.keys, *truth.labels]).encode())
        matrix = truth.matrix()
        digest.update(matrix.tobytes() if isinstance(matrix, Ragged) else np.ascontiguousarray(matrix).tobytes())
    about = {
        "settings": asdict(protocol.settings), "inputs": {**asdict(protocol.inputs), "types": "", "memory": 0}, "seeds": list(protocol.seeds),
        "skip": protocol.skip_missing,
        "code": CODE_VERSION,
    }  # fmt: skip
    digest.update(json.dumps(plain(about), sort_keys=True).encode())
    return digest.hexdigest()[:16]


def best_by_validation(cells: Sequence[Cell]) -> Cell:
    """The cell whose mean validation score is best: what a user of the network would have chosen without the test split."""
    sign = cells[0].scores.spec.sign(cells[0].monitor)
    return min(cells, key=lambda cell: -sign * cell.validation)


def write_tables(cells: Sequence[Cell], folder: Path) -> tuple[Path, Path]:
    """sweep.csv, a row per block, kind of token and seed, and sweep.json, a summary per cell. Returns both paths."""
    metrics = cells[0].scores.spec.metrics
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["block", "types", "seed", "split", "best_epoch", cells[0].monitor, *(f"test_{m.name}" for m in metrics)])
    for cell in cells:
        s = cell.scores
        for i, seed in enumerate(s.seeds):
            scores = [f"{s.scores(metric)[i]:.6f}" for metric in metrics]
            row = [cell.block, cell.types, seed, safe_cell(s.split), int(s.validation["best_epoch"][i])]
            writer.writerow([*row, f"{s.validation[cell.monitor][i]:.6f}", *scores])
    table, about = folder / "sweep.csv", folder / "sweep.json"
    with atomic(table) as part:
        part.write_text(text.getvalue(), encoding="utf-8", errors="surrogateescape")
    best = best_by_validation(cells)
    found = {
        "chosen_on_validation": {"block": best.block, "types": best.types},
        "cells": [{"block": c.block, "types": c.types, **c.scores.summary()} for c in cells],
    }
    with atomic(about) as part:
        part.write_text(json.dumps(plain(found), indent=1) + "\n")
    return table, about
