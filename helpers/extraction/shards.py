"""Extraction in shards: by processes of this machine, or on a dask cluster, each worker writing whole shards of the outputs by itself.

The tracks of a shard are fixed by a plan (datasets/plans.py), and its batches by its tracks: a shard holds the same bits whoever computes it on
the same kind of machine, and however often that is interrupted. Each worker builds the network from the config and compares its weights' hash.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from datasets.jobs.cluster import check_place, connect, run_tasks
from datasets.jobs.shard_plan import Plan, planned_names, write_manifest
from datasets.store.track_store import TrackStore, shard_path
from datasets.utils.progress import JobProgress
from models.errors import ConfigError, StoreBusyError, StoreError, WeightsError
from models.weights.head_origin import weights_sha256

from ..families import family
from ..families.maest import build_network
from ..runtime.devices import resolve_accelerator, resolve_precision
from .extract import Extraction, extract_embeddings, extract_logits

Kind = Literal["embeddings", "logits"]
SHARD_TRACKS = 1024
ROUNDS = 3  # times that a shard is begun whose workers died
ATTEMPTS = ".attempts"


@dataclass(frozen=True)
class Recipe:
    """How a worker builds the network: its sections of the config as JSON, the seed of random weights, and the hash that must come out."""

    config: str
    accelerator: str
    seed: int
    sha256: str

    @staticmethod
    def of(network: Any, config: Mapping[str, Any], accelerator: str, seed: int) -> Recipe:
        """Of the network that this process has built from the same sections: `family` and its section, or `maest` and `datamodule`."""
        return Recipe(json.dumps(dict(config)), accelerator, seed, weights_sha256(network))

    def build(self) -> Any:
        """The network, on its device in eval mode. Raises WeightsError where its weights are others."""
        c = json.loads(self.config)
        if "family" in c:
            made = family(c["family"]).network(c, None, self.seed)
        else:
            made = build_network(c["maest"], c["datamodule"], None, self.seed)
        made = made.to("cuda" if resolve_accelerator(self.accelerator) == "gpu" else "cpu").eval()
        if weights_sha256(made) != self.sha256:
            raise WeightsError(
                "This worker's weights are not those of the process that started the job: do both see the same files?"
            )
        return made


@dataclass(frozen=True)
class ExtractTask:
    """One shard to extract. settings: further arguments of the extracting function; private: in a folder of its own."""

    kind: Kind
    out: str
    shard: int
    place: int
    source: tuple[str, ...]
    recipe: Recipe
    settings: tuple[tuple[str, Any], ...]
    private: bool = False


@lru_cache(maxsize=1)
def _network(recipe: Recipe) -> Any:
    return recipe.build()


@lru_cache(maxsize=1)
def _store(paths: tuple[str, ...]) -> TrackStore:
    return TrackStore.open(paths)


def extract_shard(task: ExtractTask) -> int:
    """Extract a shard, or go on with it; returns the number of its tracks that were lacking."""
    out = Path(task.out)
    names = planned_names(out, task.shard, task.place)
    network, store = _network(task.recipe), _store(task.source)
    extract = extract_embeddings if task.kind == "embeddings" else extract_logits

    def into(folder: Path) -> int:
        return extract(network, store, folder, names=names, shard=task.shard, **dict(task.settings)).n_new  # type: ignore[operator]

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
    kind: Kind,
    network: Any,
    source: TrackStore,
    out: Path,
    recipe: Recipe,
    *,
    names: Sequence[str] | None,
    size: int | None = None,
    scheduler: str | None = None,
    workers: int | None = None,
    jobs: int | None = None,
    **settings: Any,
) -> Extraction:
    """`extract_embeddings` or `extract_logits` into shards of `size` tracks (1024, or as begun), and a manifest.json beside each output.

    network: the one of this process, made by `recipe`. scheduler, workers: datasets.cluster.connect; jobs: of run_tasks. settings: further
    arguments of the extracting function. The paths returned are those of the stores, which TrackStore.open opens with all their shards.

    Raises ConfigError for format npy, StoreError for outputs of other settings or begun as one store, ClusterError.
    """
    began = time.monotonic()
    check_place(scheduler, workers, jobs)
    if settings.get("format", "store") != "store":
        raise ConfigError(
            "Shards are track stores: extract in shards with predict.format=store (datasets.layouts writes .npy of it afterwards)."
        )
    settings["precision"] = resolve_precision(
        settings.get("precision", "32"), "cpu" if recipe.accelerator == "cpu" else _device(network)
    )
    bases = _bases(kind, out, settings)
    for base in bases.values():
        if TrackStore.state(base) != "absent":
            raise StoreError(
                f"{base} was begun as one store. Go on without shards, processes and scheduler, or choose another predict.out_dir."
            )
    chosen = set(source.names if names is None else names)
    ordered = [name for name in source.names if name in chosen]
    out.mkdir(parents=True, exist_ok=True)
    plan = Plan(out, size or Plan.size_of(out) or SHARD_TRACKS)
    planned = {name for one in plan.shards for name in one.names}
    fresh = [name for name in ordered if name not in planned]
    paths = tuple(str(path.resolve()) for path in source.paths)
    given = tuple(sorted((key, tuple(value) if isinstance(value, list) else value) for key, value in settings.items()))
    done = {one.shard for one in plan.shards if all(_is_sealed(base, one.shard) for base in bases.values())}
    if done:
        _refuse_others(kind, network, source, out, plan, min(done), settings)
    with connect(scheduler if fresh or len(done) < len(plan.shards) else None, workers) as client:
        plan.add(fresh)  # only now: a scheduler that cannot be reached leaves no plan behind, and one store may still be chosen
        todo = [
            ExtractTask(kind, str(out.resolve()), one.shard, one.place, paths, recipe, given)
            for one in plan.shards
            if one.shard not in done
        ]
        new = _run(todo, {one.shard: len(one.names) for one in plan.shards}, client, jobs)
    for base in bases.values():
        if todo:
            write_manifest(base, TrackStore.open([shard_path(base, 0)]).attrs, (one.shard for one in plan.shards))
    return Extraction(dict(bases), len(ordered), new, 0, time.monotonic() - began)


def _device(network: Any) -> str:
    return "cpu" if next(network.parameters()).device.type == "cpu" else "gpu"


def _bases(kind: Kind, out: Path, settings: Mapping[str, Any]) -> dict[int | str, Path]:
    if kind == "logits":
        return {"logits": out / "logits.h5"}
    return {block: out / str(block) / "embeddings.h5" for block in dict.fromkeys(settings["blocks"])}


def _is_sealed(base: Path, shard: int) -> bool:
    windows = base.parent / "windows" / "windows.h5"
    return TrackStore.state(base, shard) == TrackStore.state(windows, shard) == "sealed"


def _refuse_others(
    kind: Kind, network: Any, source: TrackStore, out: Path, plan: Plan, shard: int, settings: Mapping[str, Any]
) -> None:
    """A shard that is done is opened as if to be extracted: that refuses other weights and settings, and computes nothing."""
    extract = extract_embeddings if kind == "embeddings" else extract_logits
    extract(network, source, out, names=plan.shards[shard].names, shard=shard, **settings)  # type: ignore[operator]


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
