"""Sacred's observers, cured of what stands in this suite's way.

FileStorageObserver writes its files in place (a kill leaves half of one) and refuses a number that a database observer chose while the folder has
it. SqlObserver takes nothing but a number as a result, its heartbeats, which come from another thread, reach no database before the run ends, and
runs that begin at the same time fail at its tables or get one number. MongoObserver waits 30 s for a server that is not there, and ends in a
traceback.
"""

from __future__ import annotations

import copy
import datetime
import json
import logging
import os
import random
import re
import sqlite3
import threading
import time
import warnings
from collections.abc import Mapping
from typing import Any

from sacred.observers import FileStorageObserver, MongoObserver, SqlObserver, mongo
from sacred.serializer import flatten

from datasets.utils.files import atomic
from models.errors import ConfigError

log = logging.getLogger(__name__)
PATIENCE = 120  # s that a run waits for a database that others write
MONGO_PATIENCE_MS = 3000  # that a server is waited for
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
    self.noted = dict(self.machine)  # what `info` holds: the session's own object does not see what heartbeats write
    self.run.info = json.dumps(self.machine)
    self.save()
    return made


def _heartbeat(self: Any, info: Mapping[str, Any], captured_out: str, beat_time: datetime.datetime, result: Any) -> None:
    """Written at once: SQLAlchemy's sessions belong to threads, and the run's object to the main one."""
    import sqlalchemy as sa
    from sacred.observers.sql_bases import Run

    self.noted = {**self.machine, **flatten(info)}
    values = {"info": json.dumps(self.noted), "captured_out": captured_out, "heartbeat": beat_time}
    with self.lock, self.engine.begin() as connection:
        connection.execute(sa.update(Run.__table__).where(Run.__table__.c.id == self.key).values(**values))


def _completed(self: Any, stop_time: datetime.datetime, result: Any) -> None:
    """A result that is a number goes into its column; others (here: named metrics) into `info`."""
    number = float(result) if isinstance(result, (int, float)) else None
    if result is not None and number is None:
        self.run.info = json.dumps({**self.noted, "result": flatten(result)})
    _SQL_COMPLETED(self, stop_time, number)


def _sql_made(self: Any, url: str, *args: Any, **kwargs: Any) -> None:
    """As Sacred's; a database that several runs write is waited for."""
    _SQL_MADE(self, url, *args, **kwargs)
    if self.engine.dialect.name == "sqlite":
        import sqlalchemy as sa

        @sa.event.listens_for(self.engine, "connect")
        def wait(connection: Any, record: Any) -> None:
            connection.execute(f"PRAGMA busy_timeout = {1000 * PATIENCE}")


def _added(self: Any, ex_info: Any, *args: Any, **kwargs: Any) -> Any:
    """As Sacred's; where another run makes the tables, or its entry, at the same time, it is done again."""
    import sqlalchemy as sa

    in_file = self.engine.dialect.name == "sqlite" and self.engine.url.database not in (None, "", ":memory:")
    until = time.monotonic() + PATIENCE
    while True:
        try:
            if in_file:
                _make_tables(self.engine)
                self.session.execute(sa.text("BEGIN IMMEDIATE"))  # who reads the last number writes the next one, alone
            return _SQL_ADDED(self, copy.deepcopy(ex_info), *args, **kwargs)
        except (sa.exc.OperationalError, sa.exc.IntegrityError) as error:
            self.session.rollback()
            self.session.expunge_all()
            if time.monotonic() > until or not isinstance(error.orig, _passing()):
                raise ConfigError(
                    f"The run cannot be written to {self.engine.url}: {error.orig}. Choose another database, or leave -s out."
                ) from error
            time.sleep(random.Random().uniform(0.02, 0.2))


def _make_tables(engine: Any) -> None:
    from sacred.observers.sql_bases import Base

    Base.metadata.create_all(engine)


def _passing() -> tuple[type[Exception], ...]:
    """Errors of the database that pass: it is locked, a table has just been made by another."""
    return (sqlite3.OperationalError, sqlite3.IntegrityError)


def _mongo_made(self: Any, *args: Any, **kwargs: Any) -> None:
    """As Sacred's; a server that does not answer is said at once."""
    import pymongo.errors

    if kwargs.get("client") is None:
        kwargs = {"serverSelectionTimeoutMS": MONGO_PATIENCE_MS, "connectTimeoutMS": MONGO_PATIENCE_MS, **kwargs}
    try:
        _MONGO_MADE(self, *args, **kwargs)
        self._client.server_info()
    except (pymongo.errors.PyMongoError, ValueError) as error:  # ValueError: of an address that is none
        where = re.sub(
            r"//[^/]*@", "//...@", str(kwargs.get("url") or (args[0] if args else None) or "localhost:27017")
        )  # no password
        why = "it does not answer" if isinstance(error, pymongo.errors.ConnectionFailure) else str(error)
        raise ConfigError(
            f"The run cannot be written to MongoDB at {where}: {why}. Start it, name another with -m, or leave -m out."
        ) from error


def _mongo_argument(text: str) -> Any:
    """As Sacred's, which ends in a traceback where -m is none of its forms."""
    try:
        return _MONGO_ARGUMENT(text)
    except (AttributeError, ValueError) as error:
        raise ConfigError(f"-m takes HOST:PORT:DATABASE, such as localhost:27017:runs, not {text!r}.") from error


# in place, because Sacred's own `-s` and whoever appends an SqlObserver mean this class
_SQL_STARTED, _SQL_COMPLETED, _SQL_MADE, _SQL_ADDED = (
    SqlObserver.started_event,
    SqlObserver.completed_event,
    SqlObserver.__init__,
    SqlObserver._add_event,
)
for _name, _function in {
    "__init__": _sql_made,
    "_add_event": _added,
    "started_event": _started,
    "heartbeat_event": _heartbeat,
    "completed_event": _completed,
}.items():
    setattr(SqlObserver, _name, _function)
_MONGO_MADE = MongoObserver.__init__
MongoObserver.__init__ = _mongo_made  # type: ignore[method-assign]

_MONGO_ARGUMENT = mongo.parse_mongo_db_arg
mongo.parse_mongo_db_arg = _mongo_argument

__all__ = ["FolderObserver"]
