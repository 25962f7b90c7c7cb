"""Preparation in shards: many workers, of one machine or many, each writing whole shards of the store by itself.

A worker takes a shard of the plan (plans.py), appends its tracks in order, and seals it. What a worker left that was killed, the next one goes
on with. A file that ends its worker's process again and again (a crash in a decoder, no memory) is given up, and named; the others of its
shard are not lost. A shard that another process seems to be writing still is made in a folder of its own and moved into place: both are the
same, bit for bit.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import shutil
import uuid
from dataclasses import dataclass, replace
from pathlib import Path

from models.errors import StoreError

from . import store_files
from .cluster import run_tasks
from .failures import Failures
from .features import Kind
from .parallel import attempt
from .plans import MANIFEST, Plan, Record, drop_record, planned_names, read_record, write_manifest
from .progress import JobProgress
from .store import TrackStore, shard_path
from .store_writer import StoreWriter

log = logging.getLogger(__name__)
SHARD_TRACKS = 256
DEATHS = 3  # times that a file may end its process before it is given up
ATTEMPTS = ".attempts"


@dataclass(frozen=True)
class ShardTask:
    """One shard to make: of the store `base`, planned at byte `place` of the plan. private: in a folder of its own, whoever else is at it."""

    base: str
    shard: int
    place: int
    audio_dir: str
    kind: Kind
    private: bool = False


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
            if "Another process is writing" not in str(error):
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
    with _Deaths(writer.path.with_name(writer.path.name + ".deaths")) as deaths:
        for name in names:
            if name in writer:
                continue
            if deaths.of(name) >= DEATHS:
                failed[name] = f"It ended its worker process {DEATHS} times.", False
                continue
            deaths.begin(name)
            value, error, lasting = attempt(task.kind.function, Path(task.audio_dir) / name)
            if error is None and value is not None:
                writer.append(name, value)
            else:
                failed[name] = error or "no result", lasting
        deaths.end()
    made = len(writer) - before
    Record(len(writer), failed).write(Path(task.base), task.shard)
    if len(writer):
        sealed = writer.seal()
        if target is not None:
            os.replace(sealed, target)
            store_files.sync_folder(target.parent)
    else:
        discard(writer)
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


class _Deaths:
    """How often each file of a shard ended the process that was at it, kept in a file beside the shard while it is made."""

    def __init__(self, path: Path):
        self.path = path
        self._counts: dict[str, int] = {}
        self._handle = -1

    def __enter__(self) -> _Deaths:
        self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        with contextlib.suppress(ValueError, TypeError, KeyError):  # torn, or new
            there = json.loads(os.read(self._handle, 1 << 22))
            self._counts = there["deaths"]
            at = there["at"]
            if at is not None:
                self._counts[at] = self._counts.get(at, 0) + 1
        return self

    def __exit__(self, *_: object) -> None:
        if self._handle >= 0:  # an error, such as a full disk: nobody died
            with contextlib.suppress(OSError):
                self._write(None)
            os.close(self._handle)

    def of(self, name: str) -> int:
        return self._counts.get(name, 0)

    def begin(self, name: str) -> None:
        self._write(name)

    def _write(self, name: str | None) -> None:
        data = json.dumps({"at": name, "deaths": self._counts}).encode()
        os.pwrite(self._handle, data, 0)
        os.ftruncate(self._handle, len(data))

    def end(self) -> None:
        """The shard is through."""
        os.close(self._handle)
        self._handle = -1
        self.path.unlink(missing_ok=True)

    @staticmethod
    def total(path: Path) -> int:
        """All deaths so far, of a shard that is not done."""
        try:
            there = json.loads(path.read_bytes())
            return sum(there["deaths"].values()) + (there["at"] is not None)
        except (OSError, ValueError, TypeError, KeyError):
            return 0


# -- the whole


def prepare_shards(
    base: Path,
    audio_dir: Path,
    kind: Kind,
    names: list[str],
    failures: Failures,
    *,
    size: int = SHARD_TRACKS,
    scheduler: str | None = None,
    workers: int | None = None,
    jobs: int | None = None,
) -> tuple[int, int]:
    """All of `names` (files under audio_dir) into shards of the store `base`, `size` files to a shard, then the manifest. Returns how many were made
    now, and how many stood already.

    scheduler, workers, jobs: see cluster.run_tasks. What is done is the same whoever does it.

    Raises StoreError for a plan of another size, a full disk; ClusterError.
    """
    plan = Plan(base.parent, size)
    there = set(names)
    records = {one.shard: read_record(base, one.shard) for one in plan.shards}
    made = _made(plan, records)
    already = len(made & there)
    for record in records.values():
        for name, (why, lasting) in record.failed.items() if record else ():
            if lasting and name in there and name not in made:
                failures.keep(name, why)
    begun = {name for one in plan.shards if records[one.shard] is None for name in one.names}
    n_before = len(plan.shards)
    plan.add([name for name in names if name not in made and name not in begun and not failures.known(name)])
    todo = [ShardTask(str(base), one.shard, one.place, str(audio_dir), kind) for one in plan.shards if not records.get(one.shard)]
    new = _make_all(todo, plan, already, scheduler, workers, jobs) if todo else 0
    for task in todo:
        record = records[task.shard] = read_record(base, task.shard)
        if record is None:
            raise StoreError(f"Shard {task.shard} of {base} was not made. The same command goes on.")
    made = _made(plan, records)
    for task in todo:
        for name, (why, lasting) in records[task.shard].failed.items():
            if name in there and name not in made:
                failures.add(name, why, lasting)
    _tidy(base, plan, n_before, records)
    if made and (todo or not (base.parent / MANIFEST).is_file()):
        write_manifest(base, dict(kind.attrs), (one.shard for one in plan.shards if records[one.shard].tracks))
    gone = len(made - there)
    if gone:
        log.warning("%d tracks of %s are no longer under %s; the store keeps them.", gone, base, audio_dir)
    return new, already


def _made(plan: Plan, records: dict[int, Record | None]) -> set[str]:
    """Names that stand in a shard that is done."""
    return {name for one in plan.shards if (record := records.get(one.shard)) for name in one.names if name not in record.failed}


def _make_all(
    todo: list[ShardTask], plan: Plan, already: int, scheduler: str | None, workers: int | None, jobs: int | None
) -> int:
    """Run the tasks until all shards are done; those whose workers died again as long as that leads on."""
    base = Path(todo[0].base)
    sizes = {one.shard: len(one.names) for one in plan.shards}
    made, progressed = 0, -1
    with JobProgress("Preparing", already + sum(sizes[task.shard] for task in todo), "files", done=already) as progress:
        while todo:
            errors: dict[int, str] = {}
            for outcome in run_tasks(
                make_shard, todo, scheduler=scheduler, workers=workers, jobs=jobs, again=lambda task: replace(task, private=True)
            ):
                if outcome.error is None:
                    made += outcome.value or 0
                    progress.advance(sizes[outcome.item.shard])
                elif outcome.lasting or "worker process" not in outcome.error:
                    raise StoreError(f"Shard {outcome.item.shard}: {outcome.error}")
                else:
                    errors[outcome.item.shard] = outcome.error
            todo = [task for task in todo if task.shard in errors]
            now = sum(_Deaths.total(_deaths_path(base, task.shard)) for task in todo) - 1000 * len(todo)
            if todo and now <= progressed != -1:
                raise StoreError(f"Shard {todo[0].shard}: {errors[todo[0].shard]} Nothing comes of trying on.")
            progressed = now
    return made


def _deaths_path(base: Path, shard: int) -> Path:
    path = shard_path(base, shard)
    return path.with_name(path.name + ".deaths")


def _tidy(base: Path, plan: Plan, n_before: int, records: dict[int, Record | None]) -> None:
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
            with contextlib.suppress(OSError), open(journal) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                store_files.part_path(path).unlink(missing_ok=True)
                journal.unlink(missing_ok=True)
                _deaths_path(base, one.shard).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        (base.parent / ATTEMPTS).rmdir()
