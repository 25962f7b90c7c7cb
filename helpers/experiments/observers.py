"""Sacred's observers, cured of what stands in this suite's way.

FileStorageObserver writes its files in place (a kill leaves half of one) and refuses a number that a database observer chose while the folder has
it. SqlObserver takes nothing but a number as a result, and its heartbeats, which come from another thread, reach no database before the run ends.
"""

from __future__ import annotations

import datetime
import json
import logging
import os
import threading
import warnings
from collections.abc import Mapping
from typing import Any

from sacred.observers import FileStorageObserver, SqlObserver
from sacred.serializer import flatten

from datasets.utils.files import atomic

log = logging.getLogger(__name__)
# SQLAlchemy's remark on the order in which Sacred fills its tables
warnings.filterwarnings("ignore", message=r"Object of type <Experiment> not in session")


class FolderObserver(FileStorageObserver):
    """A folder per run, <root>/<number>; every file of it is replaced whole."""

    _writing = threading.Lock()  # heartbeats come from another thread

    def save_json(self, obj: Any, filename: str) -> None:
        """`obj` as JSON into the run's folder."""
        with self._writing, atomic(os.path.join(str(self.dir), filename)) as part:
            part.write_text(json.dumps(flatten(obj), sort_keys=True, indent=2))

    def _make_run_dir(self, _id: Any) -> None:
        """A new folder: the next number, or one that a database or the command chose, where it is above all that are here."""
        there = [int(name) for name in os.listdir(self.basedir) if name.isdigit()] if os.path.isdir(self.basedir) else []
        if str(_id).isdigit() and int(_id) <= max(there, default=0):
            log.info(
                "Run %s of the database gets the next number here: %s goes up to %s.", _id, self.basedir, max(there, default=0)
            )
            _id = None
        super()._make_run_dir(_id)


def _started(self: Any, *, ex_info: Mapping[str, Any], host_info: Mapping[str, Any], **kwargs: Any) -> Any:
    """As Sacred's; what the machine and the process are goes into `info` (the table of hosts has five columns)."""
    made = _SQL_STARTED(self, ex_info=ex_info, host_info=host_info, **kwargs)
    self.key, self.machine = self.run.id, {"host": flatten(dict(host_info))}
    self.run.info = json.dumps(self.machine)
    self.save()
    return made


def _heartbeat(self: Any, info: Mapping[str, Any], captured_out: str, beat_time: datetime.datetime, result: Any) -> None:
    """Written at once: SQLAlchemy's sessions belong to threads, and the run's object to the main one."""
    import sqlalchemy as sa
    from sacred.observers.sql_bases import Run

    values = {"info": json.dumps({**self.machine, **flatten(info)}), "captured_out": captured_out, "heartbeat": beat_time}
    with self.lock, self.engine.begin() as connection:
        connection.execute(sa.update(Run.__table__).where(Run.__table__.c.id == self.key).values(**values))


def _completed(self: Any, stop_time: datetime.datetime, result: Any) -> None:
    """A result that is a number goes into its column; others (here: named metrics) into `info`."""
    number = float(result) if isinstance(result, (int, float)) else None
    if result is not None and number is None:
        self.run.info = json.dumps({**json.loads(self.run.info or "{}"), "result": flatten(result)})
    _SQL_COMPLETED(self, stop_time, number)


# in place, because Sacred's own `-s` and whoever appends an SqlObserver mean this class
_SQL_STARTED, _SQL_COMPLETED = SqlObserver.started_event, SqlObserver.completed_event
for _name, _function in {"started_event": _started, "heartbeat_event": _heartbeat, "completed_event": _completed}.items():
    setattr(SqlObserver, _name, _function)

__all__ = ["FolderObserver"]
