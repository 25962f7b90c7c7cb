"""Which commands leave a run folder: those that have begun their work, however they end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.experiments.experiment import CommandError
from helpers.experiments.job import metric_logger, run_folder, work_begins
from models.errors import AudioError, ConfigError, GroundtruthError, StoreError, WeightsError


def numbered(root="runs"):
    return sorted(path.name for path in Path(root).iterdir() if path.name.isdigit()) if Path(root).is_dir() else []


@pytest.mark.parametrize("error", [ConfigError, WeightsError, GroundtruthError, StoreError, AudioError])
def test_a_command_that_is_refused_leaves_no_run_folder(make, error):
    def body(_run):
        (run_folder(_run, "runs") / "split.csv").write_text("the same again")
        raise error("no such thing")

    with pytest.raises(CommandError, match="no such thing"):
        make(body).run()
    assert numbered() == []


def failing(how):
    def body(_run):
        folder = run_folder(_run, "runs")
        if how == "announced":
            work_begins(_run)
        elif how == "written":
            (folder / "history.json").write_text("[]")
        elif how == "measured":
            metric_logger(_run)("loss", 1.0, 0)
            _run._emit_heartbeat()
        elif how == "crashed":
            raise KeyError("surprise")
        raise ConfigError("too late")

    return body


@pytest.mark.parametrize("how", ["announced", "written", "measured", "crashed"])
def test_a_run_that_fails_at_its_work_keeps_its_folder(make, how):
    with pytest.raises((CommandError, KeyError)):
        make(failing(how)).run()
    assert numbered() == ["1"]
    run = json.loads(Path("runs/1/run.json").read_text())
    assert run["status"] == "FAILED"
    assert "too late" in run["fail_trace"][-1] or "surprise" in run["fail_trace"][-1]


def test_a_refused_command_leaves_others_alone(make):
    make(lambda _run: None).run()
    with pytest.raises(CommandError):
        make(lambda _run: (_ for _ in ()).throw(ConfigError("no"))).run()
    make(lambda _run: None).run()
    assert numbered() == ["1", "2"]
