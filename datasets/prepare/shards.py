"""Preparation in shards: many workers, of one machine or many, each writing whole shards of the store by itself.

A worker takes a shard of the plan (jobs/shard_plan.py), appends its tracks in order, and seals it. What a killed worker left, the next one goes
on with. A file that ends its worker's process again and again (a crash in a decoder, no memory) is given up, and named; the others of its
shard are not lost (crash_counts.py). A shard that another process seems to be writing still is made in a folder of its own and moved into place: both
are the same, bit for bit.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from joblib import cpu_count

from models.errors import StoreBusyError, StoreError

from ..jobs.cluster import LOCAL, Cluster, connect, run_tasks
from ..jobs.crash_counts import MAX_CRASHES, CrashCounts, crash_counts_path
from ..jobs.file_marks import changed, mark_of, warn_changed
from ..jobs.parallel import attempt
from ..jobs.shard_plan import MANIFEST, Plan, Record, drop_record, planned_names, read_record, write_manifest
from ..store import files as store_files
from ..store.track_store import TrackStore, shard_path
from ..store.writer import StoreWriter
from ..utils.locks import open_locked
from ..utils.progress import JobProgress
from .failures import Failures
from .features import Kind

if TYPE_CHECKING:
    from distributed import Client

log = logging.getLogger(__name__)
SHARD_TRACKS = 256
ATTEMPTS = ".attempts"
IDLE_ROUNDS = 3  # rounds that bring nothing before it is given up: the crash of a shard that is made apart is not counted


@dataclass(frozen=True)
class ShardTask:
    """One shard to make: of the store `base`, planned at byte `place` of the plan. private: in a folder of its own, whoever else is at it.
    alone: no other shard's crash can end the process that makes it.
    """

    base: str
    shard: int
    place: int
    audio_dir: str
    kind: Kind
    private: bool = False
    alone: bool = True


def make_shard(task: ShardTask) -> int:
    """Make a shard, or go on with it; returns how many tracks were made now.

    Raises StoreError when the disk does not do, or the shard was begun with other settings.
    """
    base = Path(task.base)
    path = shard_path(base, task.shard)
    if read_record(base, task.shard) is not None:
        return 0
    names = planned_names(base.parent, task.shard, task.place)
    private = task.private
    if not private:
        try:
            with TrackStore.create(base, task.kind.item_shape, task.kind.dtype, task.kind.attrs, task.shard) as writer:
                return _make(task, names, writer)
        except StoreError as error:
            if read_record(base, task.shard) is not None:  # sealed by another just now
                return 0
            if path.exists():  # sealed, its record lost
                return _record_again(task, names)
            if not isinstance(error, StoreBusyError):
                raise
    folder = base.parent / ATTEMPTS / f"{path.stem}-{uuid.uuid4().hex[:12]}"
    try:
        with StoreWriter(
            folder / path.name, store_files.Header.make(task.kind.item_shape, task.kind.dtype, task.kind.attrs)
        ) as writer:
            return _make(task, names, writer, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make(task: ShardTask, names: list[str], writer: StoreWriter, target: Path | None = None) -> int:
    """Fill and seal; `target`: where the sealed file goes."""
    before = len(writer)
    failed: dict[str, tuple[str, bool]] = {}
    with CrashCounts(crash_counts_path(writer.path), task.alone) as crashes:
        for name in names:
            if name in writer:
                continue
            if crashes.of(name) >= MAX_CRASHES:
                failed[name] = f"It ended its worker process {MAX_CRASHES} times.", False
                continue
            crashes.begin(name)
            value, error, lasting = attempt(task.kind.function, Path(task.audio_dir) / name)
            if error is None and value is not None:
                writer.append(name, value)
            else:
                writer.check_there()
                failed[name] = error or "no result", lasting
        made = len(writer) - before
        Record(len(writer), failed).write(Path(task.base), task.shard)
        if len(writer):
            sealed = writer.seal()
            if target is not None:
                os.replace(sealed, target)
                store_files.sync_folder(target.parent)
        else:
            discard(writer)
        crashes.end()  # last: who goes on after a kill in between would count from nothing again
    return made


def _record_again(task: ShardTask, names: list[str]) -> int:
    """Of a shard that is sealed and whose record is gone: why its other files are not in it."""
    there = set(store_files.read_sealed(shard_path(Path(task.base), task.shard)).names)
    failed = {}
    for name in names:
        if name not in there:
            _, error, lasting = attempt(task.kind.function, Path(task.audio_dir) / name)
            failed[name] = (
                error or "It could be used when it was looked at again; run once more with --retry.",
                lasting and error is not None,
            )
    Record(len(there), failed).write(Path(task.base), task.shard)
    return 0


def discard(writer: StoreWriter) -> None:
    """Remove what stands of a store in which no track arrived."""
    writer.close()
    store_files.part_path(writer.path).unlink(missing_ok=True)
    store_files.journal_path(writer.path).unlink(missing_ok=True)


# -- the whole


def prepare_shards(
    base: Path,
    audio_dir: Path,
    kind: Kind,
    names: list[str],
    failures: Failures,
    *,
    size: int = SHARD_TRACKS,
    cluster: Cluster = LOCAL,
    jobs: int | None = None,
) -> tuple[int, int, list[str]]:
    """Return all of `names` (files under audio_dir) into shards of the store `base`, `size` files to a shard, then the manifest. Returns
    how many were made
    now, how many stood already (those of shards that are not done included), and which files have changed since.

    cluster: whose workers make them; jobs: of cluster.run_tasks. What is done is the same whoever does it.

    Raises StoreError for a plan of another size, a full disk; ClusterError, and then nothing is planned that was not before.
    """
    plan = Plan(base.parent, size)
    there = set(names)
    records = {one.shard: read_record(base, one.shard) for one in plan.shards}
    made = _made(plan, records)
    other = _changed(plan, records, audio_dir)
    warn_changed(other, base)
    begun_tracks = {one.shard: _written(base, one.shard) for one in plan.shards if records[one.shard] is None}
    stood = made.union(*begun_tracks.values()) & there
    for record in records.values():
        for name, (why, lasting) in record.failed.items() if record else ():
            if lasting and name in there and name not in made:
                failures.keep(name, why)
    begun = {name for one in plan.shards if records[one.shard] is None for name in one.names}
    n_before = len(plan.shards)
    fresh = [name for name in names if name not in made and name not in begun and not failures.known(name)]
    with connect(cluster.scheduler if fresh or begun_tracks else None, cluster.workers) as client:
        plan.mark_again(_marks_now(plan, begun_tracks, audio_dir))
        plan.add(fresh, lambda name: mark_of(audio_dir / name))
        alone = client is not None or (jobs or cpu_count()) == 1
        open_ = [one for one in plan.shards if not records.get(one.shard)]
        todo = [ShardTask(str(base), one.shard, one.place, str(audio_dir), kind, alone=alone) for one in open_]
        if todo:
            _make_all(todo, plan, len(made & there), client, jobs)
    done: dict[int, Record] = {shard: record for shard, record in records.items() if record is not None}
    for task in todo:
        record = read_record(base, task.shard)
        if record is None:
            raise StoreError(f"Shard {task.shard} of {base} was not made. The same command goes on.")
        done[task.shard] = record
    made = _made(plan, done)
    for task in todo:
        for name, (why, lasting) in done[task.shard].failed.items():
            if name in there and name not in made:
                failures.add(name, why, lasting)
    _tidy(base, plan, n_before, done)
    if made and (todo or not (base.parent / MANIFEST).is_file()):
        write_manifest(base, dict(kind.attrs), (one.shard for one in plan.shards if done[one.shard].tracks))
    gone = len(made - there)
    if gone:
        log.warning("%d tracks of %s are no longer under %s; the store keeps them.", gone, base, audio_dir)
    return len((made & there) - stood), len(stood), other


def _changed(plan: Plan, records: dict[int, Record | None], audio_dir: Path) -> list[str]:
    """Files that have changed since the shard with their track was done."""
    marked = (
        (name, mark)
        for one in plan.shards
        if (record := records[one.shard])
        for name, mark in one.marked
        if name not in record.failed
    )
    return changed(audio_dir, marked)


def _marks_now(plan: Plan, begun: dict[int, set[str]], audio_dir: Path) -> dict[int, dict[str, str]]:
    """Of the shards that were begun: marks of the files that are still to be read."""
    return {
        shard: {name: mark_of(audio_dir / name) for name, _ in plan.shards[shard].marked if name not in written}
        for shard, written in begun.items()
    }


def _written(base: Path, shard: int) -> set[str]:
    """Tracks that stand of a shard that is not done: in its parts, or sealed without a record."""
    path = shard_path(base, shard)
    with contextlib.suppress(StoreError, FileNotFoundError):  # a damaged one is for who goes on with it to name
        index = store_files.read_sealed(path) if path.is_file() else store_files.read_parts(path)
        return set() if index is None else set(index.names)
    return set()


def _made(plan: Plan, records: Mapping[int, Record | None]) -> set[str]:
    """Names that stand in a shard that is done."""
    return {name for one in plan.shards if (record := records.get(one.shard)) for name in one.names if name not in record.failed}


def _make_all(todo: list[ShardTask], plan: Plan, already: int, client: Client | None, jobs: int | None) -> None:
    """Run the tasks until all shards are done; those whose workers died again as long as that leads on. already: files that stand."""
    base = Path(todo[0].base)
    sizes = {one.shard: len(one.names) for one in plan.shards}
    progressed, idle = -1, 0
    with JobProgress("Preparing", already + sum(sizes[task.shard] for task in todo), "files", done=already) as progress:
        while todo:
            errors: dict[int, str] = {}
            for outcome in run_tasks(
                make_shard,
                todo,
                client=client,
                jobs=jobs,
                alone=lambda task: replace(task, alone=True),
                again=lambda task: replace(task, private=True),
            ):
                if outcome.error is None:
                    progress.advance(sizes[outcome.item.shard])
                elif not outcome.crashed:
                    raise StoreError(f"Shard {outcome.item.shard}: {outcome.error}")
                else:
                    errors[outcome.item.shard] = outcome.error
            todo = [task for task in todo if task.shard in errors]
            now = sum(CrashCounts.total(crash_counts_path(shard_path(base, task.shard))) for task in todo) - 1000 * len(todo)
            idle = idle + 1 if now <= progressed != -1 else 0
            if todo and idle == IDLE_ROUNDS:
                raise StoreError(f"Shard {todo[0].shard}: {errors[todo[0].shard]} Nothing comes of trying on.")
            progressed = now


def _tidy(base: Path, plan: Plan, n_before: int, records: Mapping[int, Record]) -> None:
    """Remove what lost races left, and the last shards of this run that no track came of: their files stand in failed.csv."""
    empty = 0
    for one in reversed(plan.shards[n_before:]):
        if records[one.shard].tracks:
            break
        drop_record(base, one.shard)
        empty += 1
    plan.drop_last(empty)
    for one in plan.shards:
        path = shard_path(base, one.shard)
        journal = store_files.journal_path(path)
        if path.is_file() and journal.exists():
            with contextlib.suppress(OSError):
                if (file := open_locked(journal, "r")) is not None:
                    with file:
                        store_files.part_path(path).unlink(missing_ok=True)
                        journal.unlink(missing_ok=True)
        if path.is_file() or records.get(one.shard):
            crash_counts_path(path).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        (base.parent / ATTEMPTS).rmdir()
