"""Runs as they were recorded: Sacred's run folders and SQLite databases, read alike, without Sacred.

Times are UTC. Nothing is written, and a run whose files are half there (its machine died) is shown as far as they go.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from models.errors import ConfigError

from .provenance import process_is_gone

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
        records = [_read_folder(p) for p in path.iterdir() if p.name.isdigit() and p.is_dir()]
    else:
        raise ConfigError(
            f"There are no runs at {place}: name a folder of run folders (exp_logs) or an SQLite database (runs.db)."
        )
    return sorted(records, key=lambda r: (not r.number.isdigit(), int(r.number) if r.number.isdigit() else 0, r.number))


def settings(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested config as dotted key -> value."""
    out: dict[str, Any] = {}
    for key, value in config.items():
        out |= settings(value, f"{prefix}{key}.") if isinstance(value, Mapping) and value else {f"{prefix}{key}": value}
    return out


def differences(records: Iterable[Record]) -> dict[str, list[Any]]:
    """Dotted key -> its value in each of the runs ("-" where it has none), for the keys in which they are not all alike."""
    flat = [settings(record.config) for record in records]
    keys = dict.fromkeys(key for one in flat for key in one)
    found = {key: [one.get(key, "-") for one in flat] for key in keys}
    return {key: values for key, values in found.items() if any(value != values[0] for value in values)}


# ---- run folders
def _read_folder(folder: Path) -> Record:
    run, info = _json(folder / "run.json"), _json(folder / "info.json")
    experiment = run.get("experiment", {})
    return Record(
        number=folder.name,
        place=folder.parent,
        experiment=experiment.get("name", "?"),
        command=run.get("command", "?"),
        status=run.get("status", "?"),
        folder=folder,
        started=_time(run.get("start_time")),
        stopped=_time(run.get("stop_time")),
        heartbeat=_time(run.get("heartbeat")),
        config=_json(folder / "config.json"),
        host=run.get("host", {}),
        failure="".join(run.get("fail_trace") or ()).strip(),
        result=run.get("result", info.get("result")),
        metrics=_metrics(folder),
        **_commit(experiment.get("repositories", ())),
    )


def _metrics(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Sacred's metrics, and those of history.json, which is newer where a run was killed between two heartbeats."""
    told = _json(folder / "metrics.json")
    found = {name: list(zip(m.get("steps", ()), m.get("values", ()))) for name, m in told.items() if isinstance(m, dict)}
    rows = _json(folder / "history.json", [])
    for name in sorted({key for row in rows for key in row} - {"epoch", "step", "seconds", "lr"}):
        curve = [(int(row["epoch"]), row[name]) for row in rows if row.get(name) is not None]
        if len(curve) > len(found.get(name, ())):
            found[name] = curve
    return {name: [(int(s), float(v)) for s, v in curve if isinstance(v, (int, float))] for name, curve in found.items()}


def _commit(repositories: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    first = next(iter(repositories), None)
    return {"commit": first["commit"], "dirty": bool(first["dirty"])} if first else {}


def _json(path: Path, default: Any = None) -> Any:
    """Return a file's content; the default ({}) for one that is absent or torn."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {} if default is None else default


# ---- databases
_QUERY = """select r.run_id, e.name, r.command, r.status, r.start_time, r.stop_time, r.heartbeat, r.config, r.info, r.fail_trace,
r.result, h.hostname, r.experiment_id from run r left join experiment e on e.experiment_id = r.experiment_id
left join host h on h.host_id = r.host_id"""
_COMMIT = """select p."commit", p.dirty from repository p join experiments_repositories x on x.repository_id = p.repository_id
where x.experiment_id = ?"""


def _read_database(path: Path) -> list[Record]:
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
    more = json.loads(info or "{}")
    folder = Path(more["folder"]) if more.get("folder") else None
    return Record(
        number=str(number),
        place=path,
        experiment=experiment or "?",
        command=command or "?",
        status=status or "?",
        folder=folder,
        started=_time(started),
        stopped=_time(stopped),
        heartbeat=_time(heartbeat),
        config=json.loads(config or "{}"),
        host={"hostname": hostname, **more.get("host", {})},
        failure=(failure or "").strip(),
        result=result if result is not None else more.get("result"),
        metrics=_metrics(folder) if folder is not None and folder.is_dir() else {},
        **_commit([{"commit": commit, "dirty": dirty} for commit, dirty in commits]),
    )


def _time(text: str | None) -> datetime | None:
    return None if not text else datetime.fromisoformat(str(text)).replace(tzinfo=timezone.utc)


def _now() -> datetime:
    return datetime.now(timezone.utc)
