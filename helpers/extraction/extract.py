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
from models.layers import layer_numbers
from models.untrained import check_trained

from .frames import FrameJob
from .job import Extraction, Job
from .outputs import Output
from .settings import ExtractionSettings

__all__ = ["Extraction", "ExtractionSettings", "extract_embeddings", "extract_logits"]


def extract_embeddings(
    network: AudioEncoder,
    source: str | Path | TrackStore,
    out: str | Path,
    blocks: Sequence[int] = (7,),
    settings: ExtractionSettings | None = None,
    *,
    names: Sequence[str] | None = None,
    shard: int | None = None,
) -> Extraction:
    """Store what the network keeps of blocks (`AudioEncoder.summaries`), for every window of every track; all blocks in one pass.

    Of a MAEST that is CLS, DIST and mean token, of others the mean over time. Writes for each block the store `<out>/<block>/embeddings.h5`,
    [windows, 3, C] per track (an undistilled MAEST: [windows, 2, C]; its block -1, the features after the final norm, and other families:
    [windows, C]) and beside it `<out>/<block>/windows/windows.h5`, [windows, 2]: start and stop frame of each window.
    With format "npy": `<out>/<block>/<name>.embeddings.npy`. With settings.frames every vector in time, [T, C] per track, and beside it
    `<out>/<block>/times/times.h5`, [T, 2] (frames.py).

    Args:
        network: on the device that shall compute.
        source: TrackStore of what the network takes, mels or waveforms (opened, or path).
        out: folder of the outputs.
        blocks: 0-based outputs of blocks; -1: the last (of a MAEST: the features).
        settings: windows, batches, formats.
        names: tracks of the source (default: all).
        shard: of the stores, when several processes each write one (shards.py).

    Raises StoreError for a store of another front end, output of other settings or weights, a full disk; ConfigError for settings that the network
    or format does not have. Run again, it goes on where it was stopped, and does nothing when all is there.
    """
    chosen = list(dict.fromkeys(layer_numbers(blocks)))
    if settings is not None and settings.frames:
        frames = FrameJob(network, source, settings, names, shard, chosen)
        return frames.run(lambda stack: frames.open_outputs(stack, Path(out)), lambda windows: network.moments(windows, chosen))
    shapes = network.summary_shapes(chosen)
    job = Job(network, source, settings or ExtractionSettings(), names, shard)

    def outputs(stack: ExitStack) -> dict[int | str, list[Output]]:
        return {
            block: job.outputs(stack, Path(out) / str(block), "embeddings", shapes[block], {"block": block}) for block in chosen
        }

    return job.run(outputs, lambda windows: network.summaries(windows, chosen))


def extract_logits(
    network: AudioEncoder,
    source: str | Path | TrackStore,
    out: str | Path,
    settings: ExtractionSettings | None = None,
    *,
    names: Sequence[str] | None = None,
    shard: int | None = None,
) -> Extraction:
    """Store the logits of every window of every track: `<out>/logits.h5`, [windows, L] per track, or `<out>/<name>.logits.npy`.

    A network with separated heads gives the logits of the mean of both heads' probabilities. What does not fill a window is judged as heads were
    trained and as `tag` does, in silence. Everything else as `extract_embeddings`.
    """
    check_trained(network, "give logits")
    job = Job(network, source, settings or ExtractionSettings(), names, shard, own=False)
    labels = network.label_names

    def outputs(stack: ExitStack) -> dict[int | str, list[Output]]:
        return {"logits": job.outputs(stack, Path(out), "logits", (len(labels),), {"labels": list(labels)})}

    return job.run(outputs, lambda windows: [network.window_logits(windows)])
