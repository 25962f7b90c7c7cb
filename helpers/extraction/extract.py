"""Extraction: every window of every track through a network, its tokens or logits into stores.

Windows are batched across tracks on one fixed grid: batch k always holds the same windows, whatever was done before, so that a run that was killed
and resumed writes the same bits as an unbroken one. Memory does not grow with the number of tracks: a track is written once its last window is
through. Tracks follow the order of the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from datasets.store.track_store import TrackStore
from models.encoder import AudioEncoder
from models.windows import Tail

from .job import Extraction, Format, Job
from .outputs import Output, Pool

__all__ = ["Extraction", "extract_embeddings", "extract_logits"]


def extract_embeddings(
    network: AudioEncoder,
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
    shard: int | None = None,
) -> Extraction:
    """What the network keeps of blocks (`AudioEncoder.summaries`), for every window of every track; all blocks in one pass.

    Of a MAEST that is CLS, DIST and mean token, of others the mean over time. Writes for each block the store `<out>/<block>/embeddings.h5`,
    [windows, 3, C] per track (an undistilled MAEST: [windows, 2, C]; its block -1, the features after the final norm, and other families:
    [windows, C]) and beside it `<out>/<block>/windows/windows.h5`, [windows, 2]: start and stop frame of each window.
    With format "npy": `<out>/<block>/<name>.embeddings.npy`.

    network: on the device that shall compute. model: its name, kept with the output.
    source: TrackStore of what the network takes, mels or waveforms (opened, or path). names: tracks of it (default: all).
    blocks: 0-based outputs of blocks; -1: the last (of a MAEST: the features).
    clip_frames: length of a window in frames or samples (default: the network's); half_overlap: windows every half of it; tail: models/windows.py.
    batch_size: windows at once. precision: "32", or "bf16-mixed" / "16-mixed" for autocast; "auto" as in training.
    dtype: of the stored values, float32 (as computed) or float16 (half the disk, 3 digits).
    pool: of format "npy": "none", or "mean" over windows weighted by valid frames, [3, C].
    shard: of the stores, when several processes each write one (extract_shards.py).

    Raises StoreError for a store of another front end, output of other settings or weights, a full disk; ConfigError for settings that the network
    or format does not have. Run again, it goes on where it was stopped, and does nothing when all is there.
    """
    chosen = list(dict.fromkeys(int(block) for block in blocks))
    shapes = network.summary_shapes(chosen)
    job = Job(network, source, model, names, clip_frames, half_overlap, tail, batch_size, precision, shard)

    def outputs(stack: ExitStack) -> dict[int | str, list[Output]]:
        return {
            block: job.outputs(stack, Path(out) / str(block), "embeddings", shapes[block], dtype, format, pool, {"block": block})
            for block in chosen
        }

    return job.run(outputs, lambda windows: network.summaries(windows, chosen))


def extract_logits(
    network: AudioEncoder,
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
    shard: int | None = None,
) -> Extraction:
    """Logits of every window of every track: store `<out>/logits.h5`, [windows, L] per track, or `<out>/<name>.logits.npy`.

    A network with separated heads gives the logits of the mean of both heads' probabilities. Everything else as `extract_embeddings`.
    """
    job = Job(network, source, model, names, clip_frames, half_overlap, tail, batch_size, precision, shard)
    labels = getattr(network, "label_names", None)

    def outputs(stack: ExitStack) -> dict[int | str, list[Output]]:
        more = {"labels": list(labels)} if labels else {}
        return {"logits": job.outputs(stack, Path(out), "logits", (int(network.n_classes),), dtype, format, "none", more)}

    return job.run(outputs, lambda windows: [network.window_logits(windows)])
