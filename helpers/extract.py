"""Extraction: every window of every track through a network, its tokens or logits into stores.

Windows are batched across tracks on one fixed grid: batch k always holds the same windows, whatever was done before, so that a run that was killed
and resumed writes the same bits as an unbroken one. Memory does not grow with the number of tracks: a track is written once its last window is
through. Tracks follow the order of the mel store.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from datasets.store import TrackStore
from models.errors import ConfigError
from models.frontend import MelSettings
from models.windows import Tail

from .extraction_job import Extraction, Format, Job, weights_sha256
from .outputs import Output, Pool

__all__ = ["Extraction", "extract_embeddings", "extract_logits", "weights_sha256"]


def extract_embeddings(
    network: torch.nn.Module,
    source: str | Path | TrackStore,
    out: str | Path,
    blocks: Sequence[int] = (7,),
    *,
    model: str = "maest",
    names: Sequence[str] | None = None,
    clip_frames: int | None = None,
    half_overlap: bool = False,
    tail: Tail = "pad",
    batch_size: int = 20,
    precision: str = "32",
    dtype: str = "float32",
    format: Format = "store",
    pool: Pool = "none",
    settings: MelSettings | None = None,
    shard: int | None = None,
) -> Extraction:
    """CLS, DIST and mean token of blocks, for every window of every track; all blocks in one pass.

    Writes for each block the store `<out>/<block>/embeddings.h5`, [windows, 3, C] per track (an undistilled network: [windows, 2, C]; block -1, the
    features after the final norm: [windows, C]) and beside it `<out>/<block>/windows/windows.h5`, [windows, 2]: start and stop frame of each window.
    With format "npy": `<out>/<block>/<name>.embeddings.npy`.

    network: a MAEST, on the device that shall compute. model: its name, kept with the output.
    source: mel TrackStore (opened, or path). names: tracks of it (default: all).
    blocks: 0-based outputs of blocks; -1: the features.
    clip_frames: length of a window (default: the network's); half_overlap: windows every half of it; tail: models/windows.py.
    batch_size: windows at once. precision: "32", or "bf16-mixed" / "16-mixed" for autocast; "auto" as in training.
    dtype: of the stored values, float32 (as computed) or float16 (half the disk, 3 digits).
    pool: of format "npy": "none", or "mean" over windows weighted by valid frames, [3, C].
    settings: the front end that the network takes, whose mean and divisor normalise the raw mel; None: the network's own.
    shard: of the stores, when several processes each write one (extract_shards.py).

    Raises StoreError for a store of another front end, output of other settings or weights, a full disk; ConfigError for settings that the network
    or format does not have. Run again, it goes on where it was stopped, and does nothing when all is there.
    """
    chosen = list(dict.fromkeys(int(block) for block in blocks))
    depth = int(network.depth)
    wrong = [block for block in chosen if not -1 <= block < depth]
    if wrong or not chosen:
        raise ConfigError(f"Blocks {wrong or 'none'} asked for: this network has 0 to {depth - 1}, and -1 for the features.")
    tokens = _tokens_of(network, chosen)
    width = int(network.embed_dim)
    shapes = {block: (width,) if block == -1 else (int(network.n_extra) + 1, width) for block in chosen}
    job = Job(network, source, model, names, clip_frames, half_overlap, tail, batch_size, precision, settings, shard)

    def outputs(stack: ExitStack) -> dict[int | str, list[Output]]:
        return {
            block: job.outputs(stack, Path(out) / str(block), "embeddings", shapes[block], dtype, format, pool, {"block": block})
            for block in chosen
        }

    return job.run(outputs, tokens)


def extract_logits(
    network: torch.nn.Module,
    source: str | Path | TrackStore,
    out: str | Path,
    *,
    model: str = "maest",
    names: Sequence[str] | None = None,
    clip_frames: int | None = None,
    half_overlap: bool = False,
    tail: Tail = "pad",
    batch_size: int = 20,
    precision: str = "32",
    dtype: str = "float32",
    format: Format = "store",
    settings: MelSettings | None = None,
    shard: int | None = None,
) -> Extraction:
    """Logits of every window of every track: store `<out>/logits.h5`, [windows, L] per track, or `<out>/<name>.logits.npy`.

    A network with separated heads gives the logits of the mean of both heads' probabilities. Everything else as `extract_embeddings`.
    """
    job = Job(network, source, model, names, clip_frames, half_overlap, tail, batch_size, precision, settings, shard)
    labels = getattr(network, "label_names", None)

    def outputs(stack: ExitStack) -> dict[int | str, list[Output]]:
        more = {"labels": list(labels)} if labels else {}
        return {"logits": job.outputs(stack, Path(out), "logits", (int(network.n_classes),), dtype, format, "none", more)}

    def logits(mel: torch.Tensor) -> list[torch.Tensor]:
        *heads, _ = network(mel)
        if len(heads) == 1:
            return heads
        return [torch.stack([head.float().sigmoid() for head in heads]).mean(dim=0).logit(eps=1e-7)]

    return job.run(outputs, logits)


def _tokens_of(network: Any, blocks: list[int]) -> Callable[[torch.Tensor], list[torch.Tensor]]:
    """One pass: normalised mel [B, F, M] -> one [B, 3, C] (block -1: [B, C]) for each of `blocks`, in their order."""
    inner = sorted({block for block in blocks if block >= 0})
    if blocks == [-1]:
        return lambda mel: [network(mel)[-1]]
    deepest = [*inner, network.depth - 1] if -1 in blocks and network.depth - 1 not in inner else inner

    def tokens(mel: torch.Tensor) -> list[torch.Tensor]:
        pooled = dict(zip(deepest, network.embed_blocks(mel, deepest)))
        if -1 in blocks:  # the head reads CLS and DIST only, which the pooled tokens hold
            pooled[-1] = network.classify(pooled[network.depth - 1])[-1]
        return [pooled[block] for block in blocks]

    return tokens
