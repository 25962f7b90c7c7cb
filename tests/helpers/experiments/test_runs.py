"""What the runs command shows: states, best scores, comparisons, and folders that a dying machine left half written."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest
from rich.console import Console

from helpers.experiments import runs
from helpers.experiments.provenance import process_state
from helpers.experiments.run_records import Record, differences, read_runs
from models.errors import ConfigError

NOW = datetime(2026, 1, 20, 12, 0, 0, tzinfo=timezone.utc)
HERE = platform.node()


def run(folder, number, *, status="COMPLETED", config=None, host=None, metrics=None, history=None, beat=5, **more):
    """A run folder as Sacred leaves it; beat: s before NOW of its last heartbeat."""
    where = folder / str(number)
    where.mkdir(parents=True)
    entry = {
        "experiment": {"name": "maest", "repositories": [{"commit": "abcdef0123456789", "dirty": number == 2, "url": "x"}]},
        "command": "main", "status": status, "start_time": (NOW - timedelta(hours=1)).replace(tzinfo=None).isoformat(),
        "heartbeat": (NOW - timedelta(seconds=beat)).replace(tzinfo=None).isoformat(), "host": host or {"hostname": HERE}, **more,
    }  # fmt: skip
    if status != "RUNNING":
        entry["stop_time"] = (NOW - timedelta(seconds=beat)).replace(tzinfo=None).isoformat()
    (where / "run.json").write_text(json.dumps(entry))
    (where / "config.json").write_text(json.dumps({"seed": number, "maest": {"depth": 4}, **(config or {})}))
    if metrics:
        told = {k: {"steps": list(range(len(v))), "values": v, "timestamps": []} for k, v in metrics.items()}
        (where / "metrics.json").write_text(json.dumps(told))
    if history:
        (where / "history.json").write_text(json.dumps(history))
    return where


def shown(*words, width=110, places=("exp_logs",)):
    console = Console(width=width, force_terminal=False, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    code = runs.main(words, places=places, console=console)
    return code, console.export_text()


def test_a_silent_run_of_another_machine_is_dead_after_the_threshold(tmp_path):
    run(tmp_path, 1, status="RUNNING", host={"hostname": "elsewhere"}, beat=119)
    run(tmp_path, 2, status="RUNNING", host={"hostname": "elsewhere"}, beat=121)
    run(tmp_path, 3, beat=10**6)
    found = read_runs(tmp_path)
    assert [r.state(now=NOW) for r in found] == ["RUNNING", "DEAD", "COMPLETED"]
    assert [r.state(dead_after=60, now=NOW) for r in found] == ["DEAD", "DEAD", "COMPLETED"]
    assert found[1].seconds(NOW) == 3600 - 121
    assert found[0].seconds(NOW) == 3600


def test_on_the_same_machine_the_process_is_asked(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    state = process_state(process.pid)
    if state["started"] is None:
        process.kill()
        pytest.skip("this system has no /proc")
    run(tmp_path, 1, status="RUNNING", host={"hostname": HERE, "process": state}, beat=10**6)
    run(tmp_path, 2, status="RUNNING", host={"hostname": HERE, "process": {**state, "started": state["started"] - 1}}, beat=1)
    run(tmp_path, 3, status="RUNNING", host={"hostname": HERE, "process": {**state, "space": "pid:[1]"}}, beat=1)
    assert [r.state(now=NOW) for r in read_runs(tmp_path)] == ["RUNNING", "DEAD", "RUNNING"]  # 2: the number was given to another
    process.kill()
    process.wait()
    assert [r.state(now=NOW) for r in read_runs(tmp_path)] == ["DEAD", "DEAD", "RUNNING"]


def test_a_killed_process_that_nobody_waited_for_is_gone():
    process = subprocess.Popen([sys.executable, "-c", "pass"], stdout=subprocess.PIPE)
    process.stdout.read()  # until it has ended; its number is still taken
    import os

    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert process_state(process.pid)["started"] is None
    process.wait()


def test_best_scores(tmp_path):
    run(tmp_path, 1, metrics={"val_ap": [0.2, 0.5, 0.4], "val_loss": [3.0, 1.0, 2.0], "lr": [1, 2, 3]})
    history = [
        {"epoch": e, "step": 9, "seconds": 1, "lr": 1, "val_ap": v, "val_roc": None} for e, v in enumerate((0.2, 0.5, 0.4, 0.7))
    ]
    run(tmp_path, 2, metrics={"val_ap": [0.2, 0.5]}, history=history)  # killed before the last heartbeat
    run(tmp_path, 3, metrics={"test_track_ap": [0.1], "val_ap": [0.9]})
    run(tmp_path, 4, metrics={"val_ap": [float("nan"), 0.3]})
    run(tmp_path, 5)
    found = read_runs(tmp_path)
    best = [("val_ap", 0.5, 1), ("val_ap", 0.7, 3), ("test_track_ap", 0.1, 0), ("val_ap", 0.3, 1), None]
    assert [r.best() for r in found] == best
    assert found[0].best("val_loss") == ("val_loss", 1.0, 1)
    assert found[0].best("nothing") is None
    code, text = shown("--score", "val_loss", str(tmp_path))
    assert code == 0
    assert "val_loss 1.0000 @ 1" in text
    assert "val_ap" not in text


def test_a_half_written_run_is_listed_as_far_as_it_goes(tmp_path):
    where = run(tmp_path, 1, metrics={"val_ap": [0.2]})
    for name in ("run.json", "config.json", "metrics.json"):
        (where / name).write_text((where / name).read_text()[:20])
    (tmp_path / "2").mkdir()
    (tmp_path / "_sources").mkdir()
    assert [(r.number, r.status, r.config, r.metrics) for r in read_runs(tmp_path)] == [("1", "?", {}, {}), ("2", "?", {}, {})]
    assert shown(str(tmp_path))[0] == 0


def test_the_list_and_its_filters(tmp_path, monkeypatch):
    for i, status in enumerate(("COMPLETED", "FAILED", "RUNNING"), 1):
        run(tmp_path, i, status=status, host={"hostname": "elsewhere"}, metrics={"val_ap": [0.25]})
    run(tmp_path, 10)
    _, text = shown(str(tmp_path))
    lines = [line.split() for line in text.splitlines() if line.strip()[:1].isdigit()]
    assert [line[0] for line in lines] == ["1", "2", "3", "10"]
    assert lines[0][1:] == ["maest", "main", "2026-01-20", "11:00", "59:55", "COMPLETED", "val_ap", "0.2500", "@", "0"]
    assert [line[6] for line in lines] == ["COMPLETED", "FAILED", "DEAD", "COMPLETED"]
    assert [w for w in ("FAILED", "DEAD", "COMPLETED") if w in shown("--status", "dead", str(tmp_path))[1]] == ["DEAD"]
    assert "No runs that are TIMEOUT" in shown("--status", "timeout", str(tmp_path))[1]
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert "No runs in exp_logs" in shown()[1]


def test_compare_shows_scores_and_only_the_settings_that_differ(tmp_path):
    run(
        tmp_path,
        1,
        metrics={"val_ap": [0.2, 0.5], "val_loss": [1.0, 0.7]},
        config={"maest": {"depth": 4, "heads": 2}, "ckpt": None},
    )
    run(tmp_path, 2, metrics={"val_ap": [0.4]}, config={"maest": {"depth": 8, "heads": 2}, "ckpt": None, "new": 1})
    one, two = read_runs(tmp_path)
    assert differences([one, two]) == {"seed": [1, 2], "maest.depth": [4, 8], "new": ["-", 1]}
    code, text = shown("compare", "1", "2", "--in", str(tmp_path))
    assert code == 0
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}
    assert rows["val_ap"] == ["0.5000", "0.4000"]
    assert rows["val_loss"] == ["0.7000", "-"]
    assert rows["maest.depth"] == ["4", "8"]
    assert rows["code"] == ["abcdef01", "abcdef01+"]
    assert "heads" not in text
    run(tmp_path, 3, config={"maest": {"depth": 4, "heads": 2}, "ckpt": None, "seed": 1})
    same = shown("compare", str(tmp_path / "1"), str(tmp_path / "3"))
    assert "the same" in same[1]


def test_a_run_is_not_compared_with_itself(tmp_path, capsys):
    run(tmp_path, 1)
    run(tmp_path, 2)
    for words in (["1", "1"], [str(tmp_path / "1"), "2", "1"]):
        assert shown("compare", *words, "--in", str(tmp_path))[0] == 2
        assert "1 is named before: a run differs in nothing from itself" in capsys.readouterr().err


def test_what_is_not_there_is_said(tmp_path, capsys):
    run(tmp_path / "a", 1)
    run(tmp_path / "b", 1)
    (tmp_path / "text.db").write_text("nothing")
    with pytest.raises(ConfigError, match="neither|There are no runs at"):
        read_runs(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="not a database of runs"):
        read_runs(tmp_path / "text.db")
    places = ["--in", str(tmp_path / "a"), "--in", str(tmp_path / "b")]
    for words, said in (
        (["compare", "1", *places], "is in each of"),
        (["compare", "7", *places], "Run 7 is not in"),
        (["compare", str(tmp_path / "a"), *places], ""),
        ([str(tmp_path / "nowhere")], "There are no runs at"),
    ):
        code, _ = shown(*words)
        assert (code == 2) is bool(said)
        assert said in capsys.readouterr().err


def test_durations():
    assert [runs.duration(s) for s in (None, 0.4, 61, 3723, 90000)] == ["-", "0:00", "1:01", "1:02:03", "25:00:00"]
    assert Record("1", HERE).seconds() is None
