"""The run folder: kept to one process, and continued by a run that resumes it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from datasets.utils.files import atomic, remove_parts
from models.bounded_files import parsed, read_bytes, read_json, read_text
from models.errors import AudioError, ConfigError, DataSetError, GroundtruthError, StoreError, WeightsError

from .observers import FolderObserver
from .provenance import process_is_gone
from .run_lock import LOCK, RunLock

log = logging.getLogger(__name__)
# Errors of what a command was given. Where it had not begun its work, nothing of it is worth a record.
REFUSALS = (AudioError, ConfigError, DataSetError, GroundtruthError, StoreError, WeightsError)
_OF_THE_RECORD = {"run.json", "config.json", "cout.txt", "info.json", "metrics.json", LOCK}
_MADE_AGAIN = {"split.csv"}  # what checks leave there, the same by the same seed


class RunFolder(FolderObserver):
    """Stores runs under `root`, or goes on in `continues`, the folder of an earlier run.

    A continued run keeps its number, its start time, its output, artefacts and info; "resumed" in run.json lists when it was taken up again. Its
    metrics are told anew by whoever continues them, and replace the old ones.

    Where the disk is full, what could not be written is written at a later heartbeat.
    """

    def __init__(self, root: str | Path, continues: Path | None = None):
        super().__init__(Path(root) if continues is None else continues.parent)
        self.continues = continues
        self.begun = False  # whether the command's checks have passed (job.work_begins)
        self._before: dict[str, str] = {}  # files of the run that is continued, until that has begun
        self._lock: RunLock | None = None
        self._metrics: dict[str, dict[str, list[Any]]] = {}

    def _make_run_dir(self, _id: Any) -> None:
        try:
            super()._make_run_dir(_id)
        except (FileExistsError, NotADirectoryError, PermissionError) as error:
            raise ConfigError(
                f"No run folder can be made below {self.basedir}: {error.strerror}. Choose another folder."
            ) from error
        self._lock = RunLock(Path(str(self.dir)))

    def started_event(
        self, ex_info: Any, command: str, host_info: Any, start_time: datetime, config: Any, meta_info: Any, _id: Any
    ) -> Any:
        """Make the folder, or take it up again. Raises ConfigError where another process works in it."""
        if self.continues is None:
            try:
                return super().started_event(ex_info, command, host_info, start_time, config, meta_info, _id)
            except OSError:  # a full disk: a folder with a part of the record is no run
                self._release()
                self.discard_unless_begun()
                raise
        self.dir = str(self.continues)
        self._lock = RunLock(self.continues)
        remove_parts(self.continues)
        self._before = {name: read_text(self.continues / name, error=ConfigError) for name in ("run.json", "config.json")}
        before = parsed(self._before["run.json"])
        ex_info["sources"] = self.save_sources(ex_info)
        _warn_of_changed_code(before["experiment"].get("sources", []), ex_info["sources"])
        kept = {k: v for k, v in before.items() if k not in ("stop_time", "fail_trace", "result")}
        now = {"experiment": dict(ex_info), "command": command, "host": dict(host_info), "meta": meta_info, "status": "RUNNING"}
        resumed = [*before.get("resumed", []), start_time.isoformat()]
        self.run_entry = {**kept, **now, "heartbeat": None, "resumed": resumed}
        info = self.continues / "info.json"
        self.config, self.info = config, read_json(info) if info.is_file() else {}
        self.cout, self.cout_write_cursor = "", 0  # appended to what is there
        self.save_json(self.run_entry, "run.json")
        self.save_json(self.config, "config.json")
        return self.continues.name

    def find_or_save(self, filename: str, store_dir: Path) -> Any:
        """Keep a file under its hash, whole or not at all, and return where; one that a full disk once cut short is replaced."""
        source = Path(filename)
        if not self.copy_artifacts and Path(self.basedir).resolve() in source.resolve().parents:
            return filename
        content = read_bytes(source)
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()  # as Sacred names them
        stored = store_dir / f"{source.stem}_{digest}{source.suffix}"
        if stored.is_symlink() or not stored.is_file() or stored.stat().st_size != len(content):
            with atomic(stored) as part:
                part.write_bytes(content)
        return stored

    def log_metrics(self, metrics_by_name: Any, info: Any) -> None:
        """Add to metrics.json."""
        for name, new in metrics_by_name.items():
            known = self._metrics.setdefault(name, {"values": [], "steps": [], "timestamps": []})
            known["values"] += new["values"]
            known["steps"] += new["steps"]
            known["timestamps"] += [at.isoformat() for at in new["timestamps"]]
        if metrics_by_name:
            self._before = {}
            self._unless_full(lambda: self.save_json(self._metrics, "metrics.json"))

    def heartbeat_event(self, info: Any, captured_out: str, beat_time: datetime, result: Any) -> None:
        """Write output and state."""
        beat = super().heartbeat_event
        self._unless_full(lambda: beat({**(self.info or {}), **info}, captured_out, beat_time, result))

    def _unless_full(self, write: Any, hope: str = " It is tried again.") -> None:
        try:
            write()
        except OSError as error:  # Sacred would never call this observer again
            log.warning("%s cannot be written: %s.%s", error.filename or self.dir, error.strerror or error, hope)

    def completed_event(self, stop_time: datetime, result: Any) -> None:
        """The run has ended well. Where its folder was removed meanwhile, what it was run with is written again, and that is said."""
        if self.dir is not None and not os.path.lexists(os.path.join(str(self.dir), "config.json")):
            log.warning(
                "%s was removed while the run went on: what it had written before is gone. Its config is written again.", self.dir
            )
            self._unless_full(lambda: self.save_json(self.config, "config.json"), "")
        super().completed_event(stop_time, result)
        self._release()

    def interrupted_event(self, interrupt_time: datetime, status: str) -> None:
        """The run was ended."""
        ended = super().interrupted_event
        self._unless_full(lambda: self._restored() or ended(interrupt_time, status), "")
        self._release()

    def failed_event(self, fail_time: datetime, fail_trace: Any) -> None:
        """The run has failed."""
        failed, ours = super().failed_event, self.run_entry is not None  # else another process works in the folder
        self._unless_full(lambda: self._restored() or (ours and failed(fail_time, fail_trace)), "")
        self._release()

    def discard_unless_begun(self) -> None:
        """Remove the folder of a command that was refused: nothing but the record of that is in it, and no work was announced."""
        if self.begun or self.continues is not None or self.dir is None or self._metrics or not Path(self.dir).is_dir():
            return
        names = {path.name for path in Path(self.dir).iterdir()}
        if names <= _OF_THE_RECORD | _MADE_AGAIN:
            if names & _MADE_AGAIN:
                log.info("%s is removed again, split.csv with it: the command was refused before it began.", self.dir)
            shutil.rmtree(self.dir, ignore_errors=True)
            with contextlib.suppress(OSError):  # others are there
                Path(self.basedir).rmdir()

    def _restored(self) -> bool:
        """A run that was not taken up again after all is left as it was: what ended is the attempt."""
        for name, text in self._before.items():
            with atomic(Path(str(self.dir)) / name) as part:
                part.write_text(text, encoding="utf-8")
        return bool(self._before)

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()


def record_orphaned(folder: Path, why: str, patience: float = 5.0) -> bool:
    """Write FAILED into the folder of a run whose own process is gone without a word; another process of its job does it. Whether it was so.

    patience: s to wait for the end of that process. A run that says how it ended, or whose process lives on or elsewhere, is left alone.
    """
    until = time.monotonic() + patience
    while True:
        run = read_json(folder / "run.json")
        if run.get("status") != "RUNNING":
            return False
        if process_is_gone(run["host"].get("hostname"), run["host"].get("process")):
            break
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    now = datetime.now(timezone.utc).replace(tzinfo=None).isoformat()
    with atomic(folder / "run.json") as part:
        part.write_text(json.dumps({**run, "status": "FAILED", "stop_time": now, "fail_trace": [why]}, sort_keys=True, indent=2))
    return True


def _warn_of_changed_code(before: list[list[str]], now: list[list[str]]) -> None:
    old = {name: os.path.basename(stored) for name, stored in before}
    changed = [name for name, stored in now if old.get(name, os.path.basename(str(stored))) != os.path.basename(str(stored))]
    if changed:
        log.warning("The code is not the one that this run began with: %s. Results may differ.", ", ".join(changed[:8]))
