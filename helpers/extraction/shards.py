"""Extraction in shards: by processes of this machine, or on a dask cluster, each worker writing whole shards of the outputs by itself.

The tracks of a shard are fixed by datasets/jobs/shard_plan.py, and its batches by its tracks: a shard holds the same bits whoever computes it on
the same kind of machine, and however often that is interrupted. Each worker builds the network from the config and compares its weights' hash.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from datasets.jobs.cluster import check_place, connect, run_tasks
from datasets.jobs.shard_plan import Plan, Planned, planned_names, write_manifest
from datasets.store.track_store import TrackStore, shard_path
from datasets.utils.progress import JobProgress
from models.backends import precision_on, with_backend
from models.encoder import AudioEncoder
from models.errors import ConfigError, StoreBusyError, StoreError, WeightsError
from models.weights.head_origin import weights_sha256

from ..families import get_family
from ..families.base import Config
from ..runtime.devices import resolve_accelerator, resolve_precision, work_of
from .extract import Extraction, extract_embeddings, extract_logits
from .frames import TIMES
from .settings import ExtractionSettings

SHARD_TRACKS = 1024
ROUNDS = 3  # times that a shard is begun whose workers died
ATTEMPTS = ".attempts"


@dataclass(frozen=True)
class Recipe:
    """How a worker builds the network: from its config, the seed of random weights, and the hash that must come out.

    settings: of the network that this process has built, as JSON: with the hash they tell recipes apart.
    """

    family: str
    config: Config = field(compare=False, repr=False)
    accelerator: str
    seed: int
    settings: str
    sha256: str

    @staticmethod
    def of(network: AudioEncoder, config: Config, seed: int) -> Recipe:
        """Return the recipe of the network that this process has built from the same config."""
        settings = json.dumps(network.saved_settings, sort_keys=True)
        return Recipe(network.family, config, config.trainer.accelerator, seed, settings, weights_sha256(network))

    def build(self) -> AudioEncoder:
        """Return the network, on its device in eval mode. Raises WeightsError where its weights are others."""
        made = get_family(self.family).in_use(self.config, self.seed)
        made = made.to("cuda" if resolve_accelerator(self.accelerator) == "gpu" else "cpu").eval()
        if weights_sha256(made) != self.sha256:
            raise WeightsError(
                "This worker's weights are not those of the process that started the job: do both see the same files?"
            )
        return cast(AudioEncoder, with_backend(made, self.config.predict.backend))


@dataclass(frozen=True)
class Place:
    """Where shards are computed: in `jobs` processes of this machine, or by `workers` of a dask `scheduler`; `shard_tracks` tracks to a shard."""

    jobs: int | None = 1
    scheduler: str | None = None
    workers: int | None = None
    shard_tracks: int | None = None


@dataclass(frozen=True)
class ExtractTask:
    """One shard to extract. blocks: of embeddings; None: logits. private: in a folder of its own."""

    blocks: tuple[int, ...] | None
    out: str
    shard: int
    place: int
    source: tuple[str, ...]
    recipe: Recipe
    settings: ExtractionSettings
    private: bool = False

    def extract(self, names: Sequence[str], folder: Path, network: AudioEncoder, source: TrackStore) -> Extraction:
        """Extract the tracks of `names` into the task's shard of the outputs in `folder`."""
        more = {"names": names, "shard": self.shard}
        if self.blocks is None:
            return extract_logits(network, source, folder, self.settings, **more)  # type: ignore[arg-type]
        return extract_embeddings(network, source, folder, self.blocks, self.settings, **more)  # type: ignore[arg-type]


@lru_cache(maxsize=1)
def _network(recipe: Recipe) -> AudioEncoder:
    return recipe.build()


@lru_cache(maxsize=1)
def _store(paths: tuple[str, ...]) -> TrackStore:
    return TrackStore.open(paths)


def extract_shard(task: ExtractTask) -> int:
    """Extract a shard, or go on with it; returns the number of its tracks that were lacking."""
    out = Path(task.out)
    names = planned_names(out, task.shard, task.place)
    network, store = _network(task.recipe), _store(task.source)

    def into(folder: Path) -> int:
        return task.extract(names, folder, network, store).n_new

    if not task.private:
        try:
            return into(out)
        except StoreBusyError:
            pass  # it is made apart, whoever else is at it
    apart = out / ATTEMPTS / uuid.uuid4().hex[:12]
    try:
        n = into(apart)
        for path in sorted(apart.rglob("*.h5")):
            target = out / path.relative_to(apart)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, target)
        return n
    finally:
        shutil.rmtree(apart, ignore_errors=True)


def extract_in_shards(
    network: AudioEncoder,
    source: TrackStore,
    out: Path,
    recipe: Recipe,
    *,
    blocks: Sequence[int] | None,
    settings: ExtractionSettings,
    names: Sequence[str] | None,
    place: Place,
) -> Extraction:
    """`extract_embeddings` or `extract_logits` into shards of tracks (1024, or as begun), and a manifest.json beside each output.

    Args:
        network: the one of this process, made by `recipe`.
        source: store of what the network takes.
        out: folder of the outputs.
        recipe: by which workers make the network.
        blocks: of embeddings; None: logits are extracted.
        settings: windows, batches, formats.
        names: tracks of the source; None: all.
        place: where the shards are computed, and how large they are.

    Returns the paths of the stores, which TrackStore.open opens with all their shards.

    Raises ConfigError for format npy, StoreError for outputs of other settings or begun as one store, ClusterError.
    """
    began = time.monotonic()
    check_place(place.scheduler, place.workers, place.jobs)
    if settings.format != "store":
        raise ConfigError(
            "Shards are track stores: extract in shards with predict.format=store (datasets.store.layouts writes .npy of it afterwards)."
        )
    device = "cpu" if recipe.accelerator == "cpu" or network.device.type == "cpu" else "gpu"
    asked = precision_on(getattr(network, "backend", None), settings.precision)
    settings = replace(settings, precision=resolve_precision(asked, device, work_of(network)))
    chosen_blocks = None if blocks is None else tuple(dict.fromkeys(blocks))
    bases = _bases(chosen_blocks, out)
    for base in bases.values():
        if TrackStore.state(base) != "absent":
            raise StoreError(
                f"{base} was begun as one store. Go on without shards, processes and scheduler, or choose another predict.out_dir."
            )
    chosen = set(source.names if names is None else names)
    ordered = [name for name in source.names if name in chosen]
    out.mkdir(parents=True, exist_ok=True)
    plan = Plan(out, place.shard_tracks or Plan.size_of(out) or SHARD_TRACKS)
    planned = {name for one in plan.shards for name in one.names}
    fresh = [name for name in ordered if name not in planned]
    paths = tuple(str(path.resolve()) for path in source.paths)

    def task(shard: Planned) -> ExtractTask:
        return ExtractTask(chosen_blocks, str(out.resolve()), shard.shard, shard.place, paths, recipe, settings)

    beside = TIMES if settings.frames and blocks is not None else "windows"
    done = {one.shard for one in plan.shards if all(_is_sealed(base, one.shard, beside) for base in bases.values())}
    if done:  # opened as if to be extracted: that refuses other weights and settings, and computes nothing
        first = plan.shards[min(done)]
        task(first).extract(first.names, out, network, source)
    with connect(place.scheduler if fresh or len(done) < len(plan.shards) else None, place.workers) as client:
        plan.add(fresh)  # only now: a scheduler that cannot be reached leaves no plan behind, and one store may still be chosen
        todo = [task(one) for one in plan.shards if one.shard not in done]
        new = _run(todo, {one.shard: len(one.names) for one in plan.shards}, client, place.jobs)
    for base in bases.values():
        if todo:
            write_manifest(base, TrackStore.open([shard_path(base, 0)]).attrs, (one.shard for one in plan.shards))
    return Extraction(dict(bases), ordered, new, 0, time.monotonic() - began)


def _bases(blocks: Sequence[int] | None, out: Path) -> dict[int | str, Path]:
    if blocks is None:
        return {"logits": out / "logits.h5"}
    return {block: out / str(block) / "embeddings.h5" for block in blocks}


def _is_sealed(base: Path, shard: int, beside: str) -> bool:
    return all(TrackStore.state(path, shard) == "sealed" for path in (base, base.parent / beside / f"{beside}.h5"))


def _run(todo: list[ExtractTask], sizes: Mapping[int, int], client: Any, jobs: int | None) -> int:
    new = 0
    with JobProgress("Extracting", sum(sizes[task.shard] for task in todo), "tracks") as progress:
        for _ in range(ROUNDS):
            died: dict[int, str] = {}
            again = lambda task: replace(task, private=True)  # noqa: E731
            for outcome in run_tasks(extract_shard, todo, client=client, jobs=jobs, again=again) if todo else ():
                if outcome.error is None:
                    new += outcome.value or 0
                    progress.advance(sizes[outcome.item.shard])
                elif outcome.crashed:
                    died[outcome.item.shard] = outcome.error
                else:
                    raise StoreError(f"Shard {outcome.item.shard}: {outcome.error}")
            todo = [task for task in todo if task.shard in died]
            if not todo:
                return new
    raise StoreError(
        f"Shard {todo[0].shard}: {died[todo[0].shard]} Is there enough memory? A smaller datamodule.batch_size_test takes less."
    )
