"""Runs as they were recorded: Sacred's run folders and SQLite databases, read alike, without Sacred.

Times are UTC. Nothing is written, and a run whose files are half there (its machine died) is shown as far as they go.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from models.bounded_files import check_regular, parsed, read_json
from models.errors import ConfigError

from .provenance import process_is_gone

MOST_BYTES = 1 << 28  # of a file of a record
MOST_DEEP = 40  # tables within one another that a config has at most
DEAD_AFTER = 120.0  # s without a heartbeat; Sacred's beats are 10 s apart
# the first of these that a run has is its score
SCORES = ("test_track_ap", "test_ap", "val_ap", "val_roc", "test_roc", "val_loss", "train_loss")


def is_loss(name: str) -> bool:
    """Return whether less of the metric is better."""
    return name.removesuffix("_swa").endswith("loss")


@dataclass(frozen=True)
class Record:
    """One run. number: as its observer counts. status: Sacred's, see `state`. place: the folder or database it was found in.

    metrics: name -> [(step, value), ...]. result: what the command returned. Anything unknown is None or empty.
    remark: what of the record could not be read.
    """

    number: str
    place: Path
    experiment: str = "?"
    command: str = "?"
    status: str = "?"
    folder: Path | None = None
    started: datetime | None = None
    stopped: datetime | None = None
    heartbeat: datetime | None = None
    config: dict[str, Any] = field(default_factory=dict)
    host: dict[str, Any] = field(default_factory=dict)
    commit: str | None = None
    dirty: bool = False
    failure: str = ""
    result: Any = None
    metrics: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    remark: str = ""

    def state(self, dead_after: float = DEAD_AFTER, now: datetime | None = None) -> str:
        """Return the status, or DEAD for a run that says RUNNING and is not: its process is gone (known on the same machine), or where that cannot be

        known it has not given a heartbeat for `dead_after` seconds.
        """
        if self.status != "RUNNING":
            return self.status
        gone = process_is_gone(self.host.get("hostname"), self.host.get("process"))
        if gone is None:
            gone = self.silence(now) > dead_after
        return "DEAD" if gone else "RUNNING"

    def silence(self, now: datetime | None = None) -> float:
        """Seconds since the last sign of life."""
        last = self.heartbeat or self.started
        return float("inf") if last is None else max(((now or _now()) - last).total_seconds(), 0.0)

    def seconds(self, now: datetime | None = None) -> float | None:
        """Return how long it ran: to its end, to now, or (dead) to its last heartbeat."""
        if self.started is None:
            return None
        end = self.stopped or (self.heartbeat or self.started if self.state(now=now) == "DEAD" else now or _now())
        return max((end - self.started).total_seconds(), 0.0)

    def best(self, name: str | None = None) -> tuple[str, float, int] | None:
        """Return (name, value, step) of the best value of a metric: the largest, of a loss the smallest. None: the first of SCORES that it has."""
        for one in SCORES if name is None else (name,):
            if values := [(v, s) for s, v in self.metrics.get(one, ()) if v == v]:
                value, step = (min if is_loss(one) else max)(values, key=lambda pair: pair[0])
                return one, value, step
        return None


def read_runs(place: str | Path) -> list[Record]:
    """Return the runs of a folder of run folders, or of an SQLite database (a file, or Sacred's sqlite:///FILE), oldest first.

    Raises ConfigError for a place that is neither.
    """
    text = str(place)
    path = Path(text.removeprefix("sqlite:///")) if text.startswith("sqlite:///") else Path(place)
    if path.is_file():
        records = _read_database(path)
    elif path.is_dir():
        if (path / "run.json").is_file():
            return [_read_folder(path)]
        records = [
            _read_folder(p) for p in path.iterdir() if p.is_dir() and (p.name.isdigit() or os.path.lexists(p / "run.json"))
        ]
    else:
        raise ConfigError(
            f"There are no runs at {place}: name a folder of run folders (exp_logs) or an SQLite database (runs.db)."
        )
    return sorted(records, key=lambda r: (not is_number(r.number), int(r.number) if is_number(r.number) else 0, r.number))


def is_number(name: str) -> bool:
    """Return whether a folder's name is a run's number: plain digits (a superscript two is a digit too), as many as are counted with."""
    return name.isascii() and name.isdigit() and len(name) < 19


def settings(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested config as dotted key -> value. What is nested beyond MOST_DEEP is named, and not shown: a file may say anything."""
    out: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value and name.count(".") < MOST_DEEP:
            out.update(settings(value, f"{name}."))
        else:
            out[name] = value if _is_flat(value) else "nested too deeply"
    return out


def _is_flat(value: Any) -> bool:
    """Whether a value holds others no deeper than MOST_DEEP."""
    level = [value]
    for _ in range(MOST_DEEP):
        inner = [list(one.values()) if isinstance(one, Mapping) else one for one in level if isinstance(one, list | Mapping)]
        level = [one for values in inner for one in values]
    return not level


def differences(records: Iterable[Record]) -> dict[str, list[Any]]:
    """Dotted key -> its value in each of the runs ("-" where it has none), for the keys in which they are not all alike."""
    flat = [settings(record.config) for record in records]
    keys = dict.fromkeys(key for one in flat for key in one)
    found = {key: [one.get(key, "-") for one in flat] for key in keys}
    return {key: values for key, values in found.items() if any(value != values[0] for value in values)}


# ---- run folders
class _Reading:
    """Values of a record that are taken where they are of the wanted kind; what is not is remarked."""

    def __init__(self) -> None:
        self.remarks: list[str] = []

    @property
    def remark(self) -> str:
        """Return the remarks as one text."""
        return "; ".join(dict.fromkeys(self.remarks))

    def file(self, path: Path, kind: type) -> Any:
        """Return a file's content; an empty `kind` for one that is absent, torn or of another kind."""
        if not os.path.lexists(path):
            return kind()
        try:
            found = read_json(path, MOST_BYTES)
        except (OSError, ValueError):
            self.remarks.append(f"{path.name} cannot be read")
            return kind()
        return self.of(found, kind, path.name)

    def of(self, value: Any, kind: type, what: str) -> Any:
        """Return a value of `kind`; an empty one for none, and, remarked, for one of another kind."""
        if value is None or isinstance(value, kind):
            return kind() if value is None else value
        self.remarks.append(f"{what} is no {'text' if kind is str else 'list' if kind is list else 'table'}")
        return kind()

    def time(self, value: Any, what: str) -> datetime | None:
        """Return a time; None for none, and, remarked, for what is no time."""
        if value is None or value == "":
            return None
        try:
            return _time(value)
        except (ValueError, OverflowError):
            self.remarks.append(f"{what} is no time")
            return None


def _read_folder(folder: Path) -> Record:
    read = _Reading()
    run, info = read.file(folder / "run.json", dict), read.file(folder / "info.json", dict)
    if not run:
        read.remarks.append("no record")
    if folder.name.isdigit() and not is_number(folder.name):
        read.remarks.append("the name is no number")
    experiment = read.of(run.get("experiment"), dict, "experiment")
    trace = run.get("fail_trace")
    return Record(
        number=folder.name,
        place=folder.parent,
        experiment=read.of(experiment.get("name"), str, "its name") or "?",
        command=read.of(run.get("command"), str, "command") or "?",
        status=read.of(run.get("status"), str, "status") or "?",
        folder=folder,
        started=read.time(run.get("start_time"), "start_time"),
        stopped=read.time(run.get("stop_time"), "stop_time"),
        heartbeat=read.time(run.get("heartbeat"), "heartbeat"),
        config=_config(folder, read),
        host=read.of(run.get("host"), dict, "host"),
        failure=(trace if isinstance(trace, str) else "".join(map(str, read.of(trace, list, "fail_trace")))).strip(),
        result=run.get("result", info.get("result")),
        metrics=_metrics(folder, read),
        **_commit(read.of(experiment.get("repositories"), list, "repositories")),
        remark=read.remark,
    )


def _config(folder: Path, read: _Reading) -> dict[str, Any]:
    if not os.path.lexists(folder / "config.json"):
        read.remarks.append("no config.json")
    found: dict[str, Any] = read.file(folder / "config.json", dict)
    return found


def _metrics(folder: Path, read: _Reading) -> dict[str, list[tuple[int, float]]]:
    """Sacred's metrics, and those of history.json, which is newer where a run was killed between two heartbeats."""
    told = read.file(folder / "metrics.json", dict)
    found: dict[str, list[tuple[Any, Any]]] = {}
    for name, m in told.items():
        table = read.of(m, dict, "a metric")
        found[name] = list(zip(read.of(table.get("steps"), list, "steps"), read.of(table.get("values"), list, "values")))
    rows = [row for row in read.file(folder / "history.json", list) if isinstance(row, dict)]
    for name in sorted({key for row in rows for key in row} - {"epoch", "step", "seconds", "lr"}):
        curve = [(row.get("epoch"), row[name]) for row in rows if row.get(name) is not None]
        if len(curve) > len(found.get(name, ())):
            found[name] = curve
    return {name: [(int(s), float(v)) for s, v in curve if _is_plain(s) and _is_plain(v)] for name, curve in found.items()}


def _is_plain(value: Any) -> bool:
    """Whether a value is a number that a float can hold; NaN is one, as a value."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not (abs(value) > 1e300)


def _commit(repositories: Iterable[Any]) -> dict[str, Any]:
    first = next(iter(repositories), None)
    if not isinstance(first, Mapping) or not isinstance(first.get("commit"), str):
        return {}
    return {"commit": first["commit"], "dirty": bool(first.get("dirty"))}


# ---- databases
_QUERY = """select r.run_id, e.name, r.command, r.status, r.start_time, r.stop_time, r.heartbeat, r.config, r.info, r.fail_trace,
r.result, h.hostname, r.experiment_id from run r left join experiment e on e.experiment_id = r.experiment_id
left join host h on h.host_id = r.host_id"""
_COMMIT = """select p."commit", p.dirty from repository p join experiments_repositories x on x.repository_id = p.repository_id
where x.experiment_id = ?"""


def _read_database(path: Path) -> list[Record]:
    check_regular(path, ConfigError)
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            rows = database.execute(_QUERY).fetchall()
            commits = {row[-1]: database.execute(_COMMIT, (row[-1],)).fetchall() for row in rows}
    except sqlite3.Error as error:
        raise ConfigError(
            f"{path} is not a database of runs ({error}): Sacred's `-s sqlite:///{path.name}` writes one."
        ) from None
    return [_database_record(path, row, commits[row[-1]]) for row in rows]


def _database_record(path: Path, row: tuple[Any, ...], commits: list[tuple[str, int]]) -> Record:
    number, experiment, command, status, started, stopped, heartbeat, config, info, failure, result, hostname, _ = row
    read = _Reading()
    more = read.of(_parsed(info, read), dict, "info")
    folder = Path(more["folder"]) if isinstance(more.get("folder"), str) and "\0" not in more["folder"] else None
    return Record(
        number=str(number),
        place=path,
        experiment=experiment or "?",
        command=command or "?",
        status=status or "?",
        folder=folder,
        started=read.time(started, "start_time"),
        stopped=read.time(stopped, "stop_time"),
        heartbeat=read.time(heartbeat, "heartbeat"),
        config=read.of(_parsed(config, read), dict, "config"),
        host={"hostname": hostname, **read.of(more.get("host"), dict, "host")},
        failure=str(failure or "").strip(),
        result=result if result is not None else more.get("result"),
        metrics=_metrics(folder, read) if folder is not None and folder.is_dir() else {},
        **_commit([{"commit": commit, "dirty": dirty} for commit, dirty in commits]),
        remark=read.remark,
    )


def _parsed(text: Any, read: _Reading) -> Any:
    try:
        return parsed(text or "{}")
    except (ValueError, TypeError):
        read.remarks.append("a part of it cannot be read")
        return None


def _time(text: str | None) -> datetime | None:
    return None if not text else datetime.fromisoformat(str(text)).replace(tzinfo=timezone.utc)


def _now() -> datetime:
    return datetime.now(timezone.utc)
