"""Observers beside the run's folder: Sacred's own `-s` (SQLite) and `-m` (MongoDB), with this suite's results, heartbeats and numbers."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.experiments import observers
from helpers.experiments.job import SEED_VARIABLE
from helpers.experiments.observers import FolderObserver
from helpers.experiments.run_records import read_runs
from models.errors import ConfigError
from tests.helpers.experiments import toy_experiment

TOY = str(Path(toy_experiment.__file__))


def needs(*libraries):
    """Skip where libraries of the extra `observers` are absent; .ci/run, which installs them, has no skips."""
    if os.environ.get("OBSERVER_TESTS") != "require":
        for library in libraries:
            pytest.importorskip(library)


@pytest.fixture
def command(tmp_path, monkeypatch):
    """command("-s sqlite:///runs.db with epochs=2"): the toy experiment's command line, in this process."""
    monkeypatch.chdir(tmp_path)
    for variable in ("LOCAL_RANK", "NODE_RANK", "RANK", "SLURM_PROCID", SEED_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    handlers = logging.getLogger().handlers
    yield lambda words="": toy_experiment.build().run_commandline(["toy_experiment.py", *words.split()])
    logging.getLogger().handlers = handlers


def test_sqlite_holds_the_whole_run_beside_its_folder(command, tmp_path):
    needs("sqlalchemy")
    command("-s sqlite:///runs.db with big seed=3")
    (row,) = read_runs("runs.db")
    (own,) = read_runs("runs")
    assert (row.status, row.command, row.experiment) == ("COMPLETED", "main", "toy")
    assert row.result == own.result == {"val_ap": 0.5}
    assert row.config == own.config
    assert row.config["inner"]["rate"] == 0.9
    assert row.config["seed"] == 3
    assert row.host["process"] == own.host["process"]
    assert row.folder == own.folder.resolve()
    assert row.best() == own.best() == ("val_ap", 0.5, 1)
    assert abs((row.stopped - own.stopped).total_seconds()) < 1


def test_a_database_and_folders_may_count_differently(command):
    needs("sqlalchemy")
    command()
    command("-s sqlite:///runs.db")
    command("-s sqlite:///runs.db with epochs=1")
    command("-s sqlite:///runs.db")
    rows, own = read_runs("runs.db"), read_runs("runs")
    assert [r.status for r in rows] == ["COMPLETED"] * 3
    assert [r.status for r in own] == ["COMPLETED"] * 4
    assert len({r.folder for r in rows}) == 3
    assert [len(r.metrics["val_ap"]) for r in rows] == [3, 1, 3]


def test_a_failure_reaches_the_database(command):
    needs("sqlalchemy")
    with pytest.raises(SystemExit):
        command("-s sqlite:///runs.db with fail=True")
    (row,) = read_runs("runs.db")
    assert row.status == "FAILED"
    assert "surprise" in row.failure


def test_a_number_as_result_keeps_its_column(tmp_path, monkeypatch, command):
    needs("sqlalchemy")
    ex = toy_experiment.build()
    ex.main(lambda: 0.25)
    ex.run(options={"--sql": "sqlite:///runs.db"})
    assert read_runs("runs.db")[0].result == 0.25
    with sqlite3.connect("runs.db") as database:
        assert database.execute("select result from run").fetchone() == (0.25,)


@pytest.mark.slow
def test_heartbeats_reach_the_database_while_the_run_runs_and_death_is_seen(tmp_path):
    needs("sqlalchemy")
    run = subprocess.Popen(
        [sys.executable, TOY, "-b", "0.2", "-s", "sqlite:///runs.db", "with", "wait=True"],
        cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert run.stdout.readline() == "waiting\n"
        while read_runs(tmp_path / "runs.db")[0].heartbeat is None:
            assert run.poll() is None
        beat = read_runs(tmp_path / "runs.db")[0].heartbeat
        while read_runs(tmp_path / "runs.db")[0].heartbeat == beat:
            assert run.poll() is None
        both = [read_runs(tmp_path / place)[0] for place in ("runs.db", "runs")]
        assert [r.state() for r in both] == ["RUNNING"] * 2
        assert [r.state(dead_after=0.0) for r in both] == ["RUNNING"] * 2  # the process itself is asked on its own machine
    finally:
        run.kill()
        run.wait()
    both = [read_runs(tmp_path / place)[0] for place in ("runs.db", "runs")]
    assert [(r.status, r.state()) for r in both] == [("RUNNING", "DEAD")] * 2
    assert both[0].best() == both[1].best() == ("val_ap", 0.5, 1)


@pytest.mark.slow
@pytest.mark.parametrize("existing", [False, True])
def test_runs_that_begin_at_once_are_all_recorded(tmp_path, existing):
    needs("sqlalchemy")
    start = [sys.executable, TOY, "-s", "sqlite:///runs.db", "with", "epochs=1"]
    if existing:
        subprocess.run(start, cwd=tmp_path, check=True, capture_output=True)
    runs = [subprocess.Popen(start, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(10)]
    said = [run.communicate()[0].decode() for run in runs]
    assert [run.returncode for run in runs] == [0] * 10, said
    rows = read_runs(tmp_path / "runs.db")
    assert [row.status for row in rows] == ["COMPLETED"] * (10 + existing)
    assert len({row.folder for row in rows}) == 10 + existing
    assert all(row.folder.is_dir() for row in rows)
    assert len(read_runs(tmp_path / "runs")) == 10 + existing


def test_an_entry_that_another_run_disturbs_is_made_again(command, monkeypatch):
    needs("sqlalchemy")
    from sacred.observers import sql_bases

    original, calls = sql_bases.Experiment.get_or_create.__func__, []

    def disturbed(cls, *args):
        calls.append(1)
        if len(calls) < 3:
            raise sqlalchemy.exc.OperationalError("insert", {}, sqlite3.OperationalError("database is locked"))
        return original(cls, *args)

    import sqlalchemy

    monkeypatch.setattr(sql_bases.Experiment, "get_or_create", classmethod(disturbed))
    command("-s sqlite:///runs.db")
    (row,) = read_runs("runs.db")
    assert (row.status, len(calls)) == ("COMPLETED", 3)


def test_a_server_that_does_not_answer_is_said_in_a_sentence(command, monkeypatch, capsys):
    needs("pymongo")
    monkeypatch.setattr(observers, "MONGO_PATIENCE_MS", 50)
    with pytest.raises(SystemExit):
        command("-m 127.0.0.1:1:suite")
    said = capsys.readouterr().err
    assert "The run cannot be written to MongoDB at 127.0.0.1:1: it does not answer" in said
    assert "Traceback" not in said
    assert not Path("runs").exists()
    with pytest.raises(ConfigError, match=r"MongoDB at mongodb://\.\.\.@127\.0\.0\.1:1: it does not answer"):
        observers.MongoObserver(url="mongodb://me:secret@127.0.0.1:1", db_name="x")
    with pytest.raises(SystemExit):
        command("-m mongodb://127.0.0.1")
    said = capsys.readouterr().err
    assert "-m takes HOST:PORT:DATABASE, such as localhost:27017:runs, not 'mongodb://127.0.0.1'" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("options", "library"), [("-s sqlite:///runs.db", "sqlalchemy"), ("-m 127.0.0.1:27017:suite", "pymongo")]
)
def test_a_library_that_is_not_there_is_named_with_its_cure(command, monkeypatch, capsys, options, library):
    for name in [name for name in sys.modules if name.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(SystemExit):
        command(options)
    said = capsys.readouterr().err
    assert f"pip install '{library}'" in said
    assert "Traceback" not in said
    assert not Path("runs").exists()


def test_a_mongo_observer_works_unchanged(command, monkeypatch):
    needs("mongomock", "pymongo")
    import mongomock
    import mongomock.gridfs
    import pymongo

    mongomock.gridfs.enable_gridfs_integration()
    client = mongomock.MongoClient()
    monkeypatch.setattr(pymongo, "MongoClient", lambda *args, **kwargs: client)
    command()
    command("-m 127.0.0.1:27017:suite with big")
    (run,) = client["suite"].runs.find()
    assert run["status"] == "COMPLETED"
    assert run["result"] == {"val_ap": 0.5}
    assert run["config"]["epochs"] == 30
    assert run["host"]["process"]["pid"]
    metric = client["suite"].metrics.find_one({"name": "val_ap"})
    assert len(metric["values"]) == 30
    own = read_runs("runs")
    assert [r.status for r in own] == ["COMPLETED"] * 2
    assert Path(run["info"]["folder"]) == own[1].folder.resolve()
    with pytest.raises(SystemExit):
        command("-m suite with fail=True")
    assert sorted(r["status"] for r in client["suite"].runs.find()) == ["COMPLETED", "FAILED"]


def test_files_of_a_run_are_replaced_whole(tmp_path, monkeypatch):
    observer = FolderObserver(str(tmp_path))
    observer.dir = str(tmp_path)
    observer.save_json({"a": 1}, "run.json")

    class Unwritable:
        def __reduce_ex__(self, protocol):
            raise OSError("no space")

    with pytest.raises(Exception, match=r"no space|not JSON|Unwritable"):
        observer.save_json({"a": Unwritable()}, "run.json")
    assert json.loads((tmp_path / "run.json").read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]
