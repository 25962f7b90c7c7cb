"""Which run folder and which checkpoint `ckpt_path` means, on folders written by hand; and that one process at a time works in one."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
import torch

from helpers.commands import continuing as commands
from helpers.experiments.earlier_runs import run_of
from helpers.experiments.earlier_runs import run_to_continue as _run_to_continue
from helpers.experiments.provenance import process_state
from helpers.experiments.run_folder import RunFolder, record_orphaned
from helpers.experiments.run_lock import LOCK, RunLock
from helpers.training.same_training import DATA, ResumeRules
from models.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]
INPUTS = {"datamodule.base_dir", "datamodule.groundtruth", "datamodule.audio_dir", "maest.checkpoint"}
FREE = {"ckpt_path", "predict.top", "trainer.max_epochs", "trainer.default_root_dir", "datamodule.num_workers"}
RULES = ResumeRules(frozenset(FREE | INPUTS), frozenset({"trainer.devices"}), frozenset(INPUTS))


def run_to_continue(root, command, settings, named):
    return _run_to_continue(root, command, settings, RULES, named)


def config(**changed):
    base = {
        "seed": 0, "ckpt_path": None, "maest": {"depth": 2, "checkpoint": None}, "predict": {"top": 10},
        "trainer": {"max_epochs": 4, "devices": 1, "default_root_dir": "x"}, "datamodule": {"base_dir": "mels", "batch_size_train": 8},
    }  # fmt: skip
    for key, value in changed.items():
        part = base
        *way, last = key.split("__")
        for name in way:
            part = part[name]
        part[last] = value
    return base


def folder(root, number, command="main", named=("demo",), **changed):
    where = root / str(number)
    where.mkdir(parents=True)
    (where / "run.json").write_text(json.dumps({"command": command, "meta": {"named_configs": list(named)}}))
    (where / "config.json").write_text(json.dumps(config(**changed)))
    return where


def test_the_newest_run_of_the_config_is_meant(tmp_path):
    assert run_to_continue(tmp_path / "none", "main", config(), ["demo"]) is None
    folder(tmp_path, 2)
    newest = folder(tmp_path, 10)
    folder(tmp_path, 11, named=["other"], maest__depth=3)
    folder(tmp_path, 12, command="test")
    (tmp_path / "13").mkdir()  # a run that died while it made its folder
    (tmp_path / "_sources").mkdir()
    assert run_to_continue(tmp_path, "main", config(), ["demo"]) == newest
    assert run_to_continue(tmp_path, "main", config(maest__depth=3), ["other"]) == tmp_path / "11"
    assert run_to_continue(tmp_path, "report", config(), ["demo"]) is None


def test_what_changes_no_number_may_change(tmp_path):
    where = folder(tmp_path, 1)
    free = dict(trainer__max_epochs=9, predict__top=3, maest__checkpoint="a.ckpt", ckpt_path="last", trainer__devices=4)
    assert run_to_continue(tmp_path, "main", config(**free), ["demo"]) == where
    assert RULES.changes(RULES.experiment_of(config()), RULES.experiment_of(config(**free))) == (
        [],
        ["trainer.devices was 1, is 4"],
    )


def test_a_run_on_the_same_place_is_preferred(tmp_path):
    here, elsewhere = folder(tmp_path, 1), folder(tmp_path, 2, datamodule__base_dir="scratch")
    assert run_to_continue(tmp_path, "main", config(), ["demo"]) == here
    assert run_to_continue(tmp_path, "main", config(datamodule__base_dir="new place"), ["demo"]) == elsewhere


def test_another_setting_of_the_same_config_is_refused_with_the_list(tmp_path):
    folder(tmp_path, 1, maest__depth=5)
    with pytest.raises(
        ConfigError, match=r"1 is the newest run of this config.*\n  maest.depth was 5, is 2\n  seed was 0, is 3\n"
    ):
        run_to_continue(tmp_path, "main", config(seed=3), ["demo"])
    assert run_to_continue(tmp_path, "main", config(seed=3), ["other"]) is None
    right = folder(tmp_path, 2, seed=3)
    folder(tmp_path, 3)
    assert run_to_continue(tmp_path, "main", config(seed=3), ["demo"]) == right


def test_a_test_without_a_seed_means_the_training_without_one(tmp_path):
    """Sacred draws a seed for each of them."""
    where = folder(tmp_path, 3, seed=299, trainer__default_root_dir=str(tmp_path))
    torch.save(
        {"loops": {}, "optimizer_states": [], "epoch": 1, "global_step": 4},
        (where / "checkpoints").mkdir() or where / "checkpoints/last.ckpt",
    )
    given = config(ckpt_path="last", trainer__default_root_dir=str(tmp_path))
    del given["seed"]
    found, seed = commands.continued_by(RULES, "main")("test", given, ["demo"])
    assert (found, seed) == (None, 299)
    assert commands.tested_checkpoint({**given, "seed": seed}, RULES) == where / "checkpoints/last.ckpt"
    with pytest.raises(ConfigError, match="maest.depth was 2, is 3"):
        commands.continued_by(RULES, "main")(
            "test", config(ckpt_path="last", trainer__default_root_dir=str(tmp_path), maest__depth=3), ["demo"]
        )


def test_only_a_run_folders_newest_checkpoint_continues_it(tmp_path):
    import torch

    where = folder(tmp_path, 1)
    (where / "checkpoints").mkdir()
    state = {"loops": {}, "optimizer_states": [], "epoch": 0}
    for name, step in (("best", 3), ("last", 6)):
        torch.save({**state, "global_step": step}, where / "checkpoints" / f"{name}.ckpt")
    assert run_of(where / "checkpoints" / "last.ckpt") == where.resolve()
    assert run_of(where / "checkpoints" / "best.ckpt") is None
    (tmp_path / "copy.ckpt").write_bytes((where / "checkpoints" / "last.ckpt").read_bytes())
    assert run_of(tmp_path / "copy.ckpt") is None


def test_one_process_at_a_time_works_in_a_folder(tmp_path):
    hold = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from helpers.experiments.run_lock import RunLock
lock = RunLock(Path({str(tmp_path)!r})); print("held", flush=True); sys.stdin.read()
"""
    other = subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "held\n"
    with pytest.raises(ConfigError, match=f"is being written by process {other.pid} on .*: wait for it"):
        RunLock(tmp_path)
    other.kill()  # no word of farewell
    other.wait()
    lock = RunLock(tmp_path)
    lock.release()
    assert (tmp_path / LOCK).read_text() == ""


# ---- Sacred's side of it
INFO = dict(
    ex_info={"name": "toy", "sources": [], "base_dir": "."}, command="main", host_info={}, config={"a": 1}, meta_info={}, _id=None
)  # fmt: skip
NOON = datetime(2026, 1, 1, 12)


def beat(run, **metrics):
    told = {}
    for name, rows in metrics.items():
        steps, values = zip(*rows)
        told[name] = {"values": list(values), "steps": list(steps), "timestamps": [NOON] * len(rows)}
    run.log_metrics(told, {})
    run.heartbeat_event({}, "said\n", NOON, None)


def test_a_continued_folder_keeps_its_past_and_takes_its_metrics_anew(tmp_path):
    first = RunFolder(tmp_path)
    assert first.started_event(start_time=NOON, **INFO) == "1"
    beat(first, loss=[(1, 0.5), (2, 0.4)])
    del first  # killed
    again = RunFolder(tmp_path, tmp_path / "1")
    assert again.started_event(start_time=NOON.replace(hour=13), **{**INFO, "config": {"a": 2}}) == "1"
    beat(again)
    assert json.loads((tmp_path / "1" / "metrics.json").read_text())["loss"]["steps"] == [1, 2]  # until there are new ones
    beat(again, loss=[(1, 0.5)])
    beat(again, loss=[(2, 0.3)])
    again.completed_event(NOON, {"loss": 0.3})
    run = json.loads((tmp_path / "1" / "run.json").read_text())
    assert (run["start_time"], run["resumed"], run["status"]) == (NOON.isoformat(), ["2026-01-01T13:00:00"], "COMPLETED")
    assert json.loads((tmp_path / "1" / "metrics.json").read_text())["loss"]["values"] == [0.5, 0.3]
    assert json.loads((tmp_path / "1" / "config.json").read_text()) == {"a": 2}
    assert (tmp_path / "1" / "cout.txt").read_text() == "said\n" * 2
    assert [p.name for p in tmp_path.iterdir() if p.name.isdigit()] == ["1"]


@pytest.mark.parametrize("how", ["failed", "interrupted"])
def test_an_attempt_that_takes_nothing_up_leaves_the_run_as_it_was(tmp_path, how):
    first = RunFolder(tmp_path)
    first.started_event(start_time=NOON, **INFO)
    beat(first, loss=[(1, 0.5)])
    first.completed_event(NOON, {"loss": 0.5})
    names = ("run.json", "config.json", "metrics.json")
    before = [(tmp_path / "1" / name).read_text() for name in names]
    again = RunFolder(tmp_path, tmp_path / "1")
    again.started_event(start_time=NOON, **{**INFO, "config": {"a": 2}})
    beat(again)
    if how == "failed":
        again.failed_event(NOON, ["refused"])
    else:
        again.interrupted_event(NOON, "INTERRUPTED")
    assert [(tmp_path / "1" / name).read_text() for name in names] == before
    RunFolder(tmp_path, tmp_path / "1").started_event(start_time=NOON, **INFO)  # the lock is free


def test_only_a_run_whose_process_is_gone_is_written_off(tmp_path):
    def status(**changes):
        path = tmp_path / "run.json"
        host = {"hostname": platform.node(), "process": process_state()}
        path.write_text(json.dumps({"status": "RUNNING", "host": host, **changes}))
        done = record_orphaned(tmp_path, "killed", patience=0.0)
        return done, json.loads(path.read_text())["status"]

    assert status() == (False, "RUNNING")  # this process lives
    assert status(status="COMPLETED") == (False, "COMPLETED")
    gone = {**process_state(), "started": 1}
    assert status(host={"hostname": "elsewhere", "process": gone}) == (False, "RUNNING")
    assert status(host={"hostname": platform.node(), "process": gone}) == (True, "FAILED")
    assert json.loads((tmp_path / "run.json").read_text())["fail_trace"] == ["killed"]


def test_a_database_does_not_choose_a_number_below_the_folders(tmp_path):
    def folder(number):
        one = RunFolder(tmp_path)
        one.started_event(start_time=NOON, **{**INFO, "_id": number})
        return one.dir.rsplit("/", 1)[-1]

    assert [folder(number) for number in (None, None, 0, 2, 9, None)] == ["1", "2", "3", "4", "9", "10"]


def test_changed_code_is_said(tmp_path, caplog):
    source = tmp_path / "code.py"
    source.write_text("a = 1\n")
    info = {**INFO, "ex_info": {"name": "toy", "sources": [("code.py", None)], "base_dir": str(tmp_path)}}
    runs = tmp_path / "runs"
    RunFolder(runs).started_event(start_time=NOON, **{**info, "ex_info": dict(info["ex_info"])})
    RunFolder(runs, runs / "1").started_event(start_time=NOON, **{**info, "ex_info": dict(info["ex_info"])})
    assert "code" not in caplog.text
    source.write_text("a = 2\n")
    RunFolder(runs, runs / "1").started_event(start_time=NOON, **{**info, "ex_info": dict(info["ex_info"])})
    assert "The code is not the one that this run began with: code.py" in caplog.text


def test_what_a_full_disk_refused_is_written_later(tmp_path, monkeypatch, caplog):
    run = RunFolder(tmp_path)
    run.started_event(start_time=NOON, **INFO)
    with monkeypatch.context() as patch:
        patch.setattr("datasets.utils.files.os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        beat(run, loss=[(1, 0.5)])
    assert "No space left on device. It is tried again." in caplog.text
    assert json.loads((tmp_path / "1" / "run.json").read_text())["status"] == "RUNNING"
    beat(run, loss=[(2, 0.4)])
    assert json.loads((tmp_path / "1" / "metrics.json").read_text())["loss"]["steps"] == [1, 2]
    assert not list((tmp_path / "1").glob(".*.part"))


def test_a_failure_on_a_full_disk_is_no_second_one(tmp_path, monkeypatch, caplog):
    run = RunFolder(tmp_path)
    run.started_event(start_time=NOON, **INFO)
    monkeypatch.setattr(
        "datasets.utils.files.os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    run.failed_event(NOON, ["the first"])
    assert "run.json cannot be written: No space left on device." in caplog.text
    assert json.loads((tmp_path / "1" / "run.json").read_text())["status"] == "RUNNING"


def test_other_data_are_told_by_what_differs():
    def about(print_, **more):
        data = {"groundtruth": "a.csv", "audio_dir": "music", "num_workers": 0, "clip_length": 5, **more.pop("data", {})}
        return {DATA: print_, **RULES.about_data({"datamodule": data}, {"tracks of train": 80, "labels of train": 5, **more})}

    ((one,), said) = RULES.changes(
        about("x"), about("y", **{"tracks of train": 81}, data={"groundtruth": "b.csv", "num_workers": 3})
    )
    assert one == (
        "the tracks and labels are others: tracks of train was 80, is 81; datamodule.groundtruth was 'a.csv', is 'b.csv'"
    )
    assert said == []
    ((one,), _) = RULES.changes(about("x"), about("y", data={"audio_dir": "else"}))
    assert one.endswith("datamodule.audio_dir was 'music', is 'else'; names of tracks, or which labels they have")
    assert RULES.changes(about("x"), about("x", data={"groundtruth": "moved.csv"})) == ([], [])  # the same data elsewhere
    assert RULES.changes({DATA: "x"}, about("y"))[0] == [
        "the tracks and labels are others: names, lengths or labels"
    ]  # an older checkpoint
