"""Preparation: a folder of audio to a track store, `prepare(AUDIO_DIR, OUT)`.

OUT is a folder that holds the store (mel.h5 or waveform.h5; further shards beside it when audio was added later), prepare.json
(the settings it was made with), sources.json (by which a file that has changed since is known) and, when files were bad,
failed.csv. The same command goes on where a killed one stopped, and does nothing when all is done. Files that failed are tried
again when they have changed, or when the reason was none of theirs (a disk, a missing library, a kill); tracks that stand are not
made again: when their file has changed since, it is said. Tracks stand in the order of their names, whatever the number of
processes and however often the work was interrupted.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from joblib import cpu_count

from models.audio import AUDIO_SUFFIXES, find_audio
from models.bounded_files import check_writable, read_json
from models.errors import AudioError, StoreBusyError, StoreError

from ..jobs.cluster import LOCAL, Cluster, check_place
from ..jobs.file_marks import changed, mark_of, read_marks, warn_changed, write_marks
from ..jobs.parallel import parallel_map
from ..jobs.shard_plan import Plan
from ..store import files as store_files
from ..store.track_store import TrackStore, shard_path
from ..store.writer import StoreWriter
from ..utils.exit_codes import EXIT_OK, EXIT_SOME_BAD
from ..utils.files import remove_parts, write_whole
from ..utils.locks import open_locked
from ..utils.progress import JobProgress
from .failures import FAILED_FILE, Failures
from .features import MAX_SECONDS, Kind, kind_of
from .shards import SHARD_TRACKS, discard, prepare_shards

log = logging.getLogger(__name__)
SETTINGS_FILE = "prepare.json"


@dataclass(frozen=True)
class Preparation:
    """What a preparation did: the store to open, tracks made now and found made already, why files failed (by name), and which files have
    changed since their tracks were made.
    """

    store: Path
    made: int = 0
    already: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    changed: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 when every file is in the store as it is now; 3 when some could not be, or have changed since."""
        return EXIT_SOME_BAD if self.failed or self.changed else EXIT_OK

    def summary(self) -> str:
        """Return one line: the store (of shards: their folder), tracks made and found."""
        place = self.store if self.store.is_file() else self.store.parent
        return f"{place}: {self.made} tracks made in {self.seconds:.1f} s, {self.already} were there already."


def prepare(
    audio_dir: str | os.PathLike[str],
    out: str | os.PathLike[str],
    waveform: int | None = None,
    jobs: int | None = None,
    max_seconds: float | None = MAX_SECONDS,
    retry: bool = False,
    shard_tracks: int | None = None,
    cluster: Cluster = LOCAL,
) -> Preparation:
    """Make a track store of all audio under `audio_dir` in the folder `out`; names are the files' relative paths.

    Files that cannot be used are left out and listed in `out`/failed.csv.

    Args:
        audio_dir: folder of audio, searched through.
        out: folder of the store.
        waveform: None stores MAEST's raw log-mel, float16 [frames, 96]; a rate in Hz mono samples, int16 [N] (32768 is full scale).
        jobs: worker processes; None: one per usable core.
        max_seconds: longer tracks are cut around their middle (only that part is decoded where the format can be sought); None or 0: never.
        retry: try also those failed files again that have not changed.
        shard_tracks: files to a shard; the store is then made in shards, each whole by one worker, with a manifest.json at the end, the same bit for
            bit whoever makes them (shards.py).
        cluster: whose workers make it, in shards (of 256 files unless said).

    Raises:
        AudioError: `audio_dir` is no folder or holds no audio.
        StoreError: `out` was made with other settings, from another folder or is being written by another process, or the disk is full: what was
            written stays readable, and the same call goes on from there.
        ClusterError: the scheduler cannot be reached.
    """
    began = time.monotonic()
    check_place(cluster.scheduler, cluster.workers, jobs)
    audio_dir, out = Path(audio_dir), Path(out)
    kind = kind_of(waveform, max_seconds)
    names = find_audio(audio_dir)
    if not names:
        raise AudioError(f"{audio_dir} holds no audio files ({', '.join(sorted(AUDIO_SUFFIXES))}).")
    if shard_tracks is not None and shard_tracks < 1:
        raise StoreError(f"shard_tracks is {shard_tracks}; a shard has 1 file or more.")
    check_writable(out, StoreError, "OUT")
    with _nothing_where_refused(out):
        return _prepare(audio_dir, out, kind, names, began, retry=retry, shard_tracks=shard_tracks, work=(cluster, jobs))


def _prepare(
    audio_dir: Path,
    out: Path,
    kind: Kind,
    names: list[str],
    began: float,
    *,
    retry: bool,
    shard_tracks: int | None,
    work: tuple[Cluster, int | None],
) -> Preparation:
    cluster, jobs = work
    _settle(out, {"audio_dir": str(audio_dir.resolve()), **kind.attrs})
    base = out / kind.file
    failures = Failures(out / FAILED_FILE, audio_dir, retry)
    planned = Plan.size_of(out)
    if shard_tracks is not None or cluster.scheduler is not None or planned is not None:
        if TrackStore.state(base) != "absent":
            raise StoreError(f"{out} was prepared as one store. Go on without shards and scheduler, or choose another OUT.")
        with _alone(out):
            remove_parts(out)
            size = shard_tracks or planned or SHARD_TRACKS
            made, already, other = prepare_shards(base, audio_dir, kind, names, failures, size=size, cluster=cluster, jobs=jobs)
        failures.write()
    else:
        made, already, other = _prepare_one(base, audio_dir, kind, names, failures, jobs)
    return Preparation(base, made, already, failures.reasons, time.monotonic() - began, other)


def _prepare_one(
    base: Path, audio_dir: Path, kind: Kind, names: list[str], failures: Failures, jobs: int | None
) -> tuple[int, int, list[str]]:
    """Make one store, or go on with it. Return what prepare_shards does."""
    made_before, shard = _look(base, kind)
    marks = read_marks(base.parent)
    todo = [name for name in names if name not in made_before and not failures.known(name)]
    made = 0
    if todo or TrackStore.state(base, shard) == "parts":
        with TrackStore.create(base, kind.item_shape, kind.dtype, kind.attrs, shard) as writer:
            resumed = len(writer)
            remove_parts(base.parent)  # of a run that was killed; no other writes here now
            todo = [name for name in todo if name not in writer]
            marks |= {name: mark_of(audio_dir / name) for name in todo}
            write_marks(base.parent, marks)
            if resumed:
                log.info("Going on after %d of %d tracks.", len(made_before) + resumed, len(names))
            _fill(writer, audio_dir, todo, len(names), kind.function, jobs, failures)
            made = len(writer) - resumed
            made_before |= set(list(writer.names)[:resumed])
            if not made_before and not made:
                write_marks(base.parent, {})
            _finish(writer)
    failures.write()
    other = changed(audio_dir, sorted((name, mark) for name, mark in marks.items() if name in made_before))
    warn_changed(other, base)
    gone = len(made_before - set(names))
    if gone:
        log.warning("%d tracks of %s are no longer under %s; the store keeps them.", gone, base, audio_dir)
    return made, len(made_before), other


@contextlib.contextmanager
def _nothing_where_refused(out: Path) -> Iterator[None]:
    """Leave no folder, and no settings, behind a call that ends before anything was begun: a scheduler that does not answer."""
    there, settled = out.is_dir(), (out / SETTINGS_FILE).exists()
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            if not settled and [path.name for path in out.iterdir()] == [SETTINGS_FILE]:
                (out / SETTINGS_FILE).unlink()
            if not there:
                out.rmdir()  # where it is empty
        raise


def _settle(out: Path, settings: dict) -> None:
    """Write down what `out` is made of and with, or refuse when that differs from what is written there."""
    if out.exists() and not out.is_dir():
        raise StoreError(f"{out} is a file; OUT is the folder that gets the store.")
    out.mkdir(parents=True, exist_ok=True)
    file = out / SETTINGS_FILE
    if not file.exists():
        stores = sorted(path.name for path in out.iterdir() if path.suffix == ".h5" or path.name.endswith(".h5.journal"))
        if stores:
            raise StoreError(f"{out} holds a store that was not made by this command ({stores[0]}). Choose another OUT.")
        write_whole(file, json.dumps(settings, indent=1) + "\n")
        return
    try:
        there = read_json(file, errors="surrogateescape")
        items = dict(there).items()
    except (ValueError, TypeError) as error:
        raise StoreError(f"{file} is not readable as settings ({error}). Restore it, or choose another OUT.") from error
    differ = [f"{key} was {value!r}, now {settings.get(key)!r}" for key, value in items if settings.get(key) != value]
    differ += [f"{key} was absent, now {value!r}" for key, value in settings.items() if key not in there]
    if differ:
        moved = f" When the folder has only moved, put its new place into {file}." if differ[0].startswith("audio_dir") else ""
        raise StoreError(
            f"{out} was prepared differently: {'; '.join(differ)}. Use the old settings, or choose another OUT.{moved}"
        )


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    """No second command plans shards in the same folder."""
    file = open_locked(out / SETTINGS_FILE, "r")
    if file is None:
        raise StoreBusyError(f"Another process is preparing {out}. Wait for it to end, or choose another OUT.")
    with file:
        yield


def _look(base: Path, kind: Kind) -> tuple[set[str], int | None]:
    """Names in the sealed shards, and the shard to write: the first that is not sealed."""
    sealed, shard = [], None
    while TrackStore.state(base, shard) == "sealed":
        path = shard_path(base, shard)
        if store_files.journal_path(
            path
        ).exists():  # killed after sealing, before its parts were gone: the refused writer removes them
            with contextlib.suppress(StoreError):
                TrackStore.create(base, kind.item_shape, kind.dtype, kind.attrs, shard)
        sealed.append(path)
        shard = 0 if shard is None else shard + 1
    if not sealed:
        return set(), shard
    store = TrackStore.open(sealed[0])
    store.require(**kind.attrs, cure="Choose another OUT.")
    return {name for path in sealed for name in store_files.read_sealed(path).names}, shard


def _fill(
    writer: StoreWriter, root: Path, todo: Sequence[str], total: int, function: Callable, jobs: int | None, failures: Failures
) -> None:
    """Append what the workers make of each file, in the files' order: this process is the only writer."""
    if jobs is None:
        jobs = max(2, min(cpu_count(), len(todo)))  # never 1 by itself: a decoder's crash must be a worker's
    with (
        contextlib.closing(parallel_map(function, (root / name for name in todo), jobs, watch=writer.check_there)) as outcomes,
        JobProgress("Preparing", total, "files", done=total - len(todo)) as progress,
    ):
        for name, outcome in zip(todo, outcomes):
            if outcome.error is None and outcome.value is not None:
                writer.append(name, outcome.value)
            else:
                failures.add(name, outcome.error or "no result", outcome.lasting)
            progress.advance(note=f"{len(failures)} bad" if len(failures) else "")


def _finish(writer: StoreWriter) -> None:
    """Seal the store, or remove what stands of one in which no track arrived."""
    if len(writer):
        writer.seal()
    else:
        discard(writer)
