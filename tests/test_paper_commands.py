"""ex_paper.py as a user calls it: plans without work, whole tables at the smallest scale, kills, and doing it again."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """run("table_tokens", "demo", **updates): a command in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAEST_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    handlers = logging.getLogger().handlers
    import ex_paper

    def command(name: str, *named: str, **updates):
        return ex_paper.ex.run(name, config_updates=updates, named_configs=named, options={"--loglevel": "INFO"}).result

    yield command
    logging.getLogger().handlers = handlers


def test_a_plan_makes_nothing(run, tmp_path, capsys):
    result = run("table_initial_weights", "demo", dry=True)
    assert (result["exit_code"], result["to_do"]) == (0, 4)
    printed = " ".join(capsys.readouterr().out.split())
    assert "10 steps: 0 done, 4 to do (about " in printed
    assert "6 not available on this machine (with what they want: about " in printed
    assert f"Notavailableonthismachine:place{tmp_path}/passt-s-f128-p16-s10-ap.476-swa.pt" in printed.replace(" ", "")
    assert "estimated from" in printed
    assert "free below exp_out/paper" in printed
    assert not (tmp_path / "exp_out" / "paper" / "steps").exists()


@pytest.mark.slow
def test_a_plan_leaves_no_folder(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "ex_paper.py"), "table_tokens", "--dry"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "2 steps at a time (jobs=2)" in " ".join(done.stdout.split())
    assert not list(tmp_path.iterdir())


def test_a_table_of_which_nothing_can_be_made_says_so(run, tmp_path, capsys):
    result = run("table_families", "gtzan")
    assert result == {"exit_code": 3, "steps": result["steps"], "made": 0}
    printed = capsys.readouterr().out
    assert "fetched with download=True" in printed
    assert "No score could be made." in printed
    assert f"of {result['steps']} steps 0 are done, {result['steps']} cannot be made, since something is not" in printed
    assert "goes on" not in printed
    assert f"] place {tmp_path}/discogs-maest-30s-pw-129e-swa.ckpt\n" in printed
    text = (tmp_path / "exp_out/paper/tables/table_families-gtzan/table.md").read_text()
    assert "| MAEST | not available [a,b,c] |" in text
    assert text.count("[a] datasets/gtzan/data/melspec/ is not there (python -m datasets.gtzan)") == 1
    assert "GTZAN fault-filtered acc 0.686" in text  # a paper's number stands all the same


@pytest.mark.parametrize(
    ("table", "named", "updates", "words"),
    [
        ("table_tokens", ["demo"], {"scale.lenghts": [1.0]}, "Did you mean 'lengths'"),
        ("table_tokens", ["demo"], {"scale.seedz": [0]}, "Did you mean 'seeds'"),
        ("table_tokens", ["demo"], {"scale.networks": "published"}, "scale.targets"),
        ("table_tokens", ["mtt"], {"scale.targets": ["mtx"]}, "no data set"),
        ("patchout_speed", [], {}, "patchout_speed.model"),
        ("patchout_speed", [], {"patchout_speed.model": "nothing.ckpt"}, "nothing.ckpt"),
    ],
)
def test_what_cannot_be_is_refused(run, table, named, updates, words):
    with pytest.raises(ValueError, match=words):
        run(table, *named, **updates)


def test_the_command_line_takes_dry_and_one_scale():
    from ex_paper import parse_arguments

    assert parse_arguments(["ex_paper.py", "table_tokens", "--dry"])[2:] == ["with", "dry=True", "--unobserved"]
    assert parse_arguments(["ex_paper.py", "table_tokens", "with", "demo", "--dry"])[-3:] == ["demo", "dry=True", "--unobserved"]
    with pytest.raises(SystemExit, match="Two scales: smoke, mtt"):
        parse_arguments(["ex_paper.py", "table_tokens", "with", "smoke", "mtt"])


def test_the_list_of_tables(run, capsys):
    run("main")
    printed = capsys.readouterr().out
    assert "table_patchout_inference" in printed
    assert "smoke" in printed


# ---- whole tables
def start(folder: Path, *words: str) -> subprocess.Popen:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "MAEST_WEIGHTS": str(folder)}
    command = [sys.executable, str(ROOT / "ex_paper.py"), *words]
    return subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def finish(process: subprocess.Popen) -> str:
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, out[-2000:] + err[-3000:]
    return out


def until(found, seconds: float = 300.0) -> None:
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_a_figure_from_nothing_killed_and_completed_and_again_no_work(tmp_path):
    words = ("figure_blocks", "with", "smoke")
    steps = tmp_path / "exp_out" / "paper" / "steps"
    for command in ("main", "extract_embeddings", "sweep"):  # the driver is killed while this one is at work

        def at_work(command=command) -> bool:
            logs = [path for path in steps.glob("*/log.txt") if f"Running command '{command}'" in path.read_text()]
            return any("ex_maest.py" in path.read_text() or "ex_tl.py" in path.read_text() for path in logs)

        process = start(tmp_path, *words)
        until(at_work)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert not (tmp_path / "exp_out/paper/tables").exists()
    out = finish(start(tmp_path, *words))
    where = tmp_path / "exp_out/paper/tables/figure_blocks-smoke"
    assert sorted(p.name for p in where.iterdir()) == [
        "sweep.csv", "sweep.html", "sweep.png", "sweep.svg", "table.csv", "table.html", "table.md",
    ]  # fmt: skip
    assert "Middle blocks are best." in out
    text = (where / "table.md").read_text()
    assert text.count("±") >= 12
    assert "failed" not in text
    records = {path: path.stat().st_mtime_ns for path in steps.glob("*/done.json")}
    assert len(records) == 4
    assert "'made': 0" in "".join(finish_all(start(tmp_path, *words)))
    assert {path: path.stat().st_mtime_ns for path in steps.glob("*/done.json")} == records
    assert (where / "table.md").read_text() == text
    # an unbroken run of everything has the same table
    (tmp_path / "unbroken").mkdir()
    finish(start(tmp_path / "unbroken", *words))
    assert (tmp_path / "unbroken/exp_out/paper/tables/figure_blocks-smoke/table.md").read_text() == text
    commands = {json.loads(path.read_text())["about"]["command"] for path in records}
    assert commands == {"demo_music", "main", "extract_embeddings", "sweep"}


def finish_all(process: subprocess.Popen) -> tuple[str, str]:
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err[-3000:]
    return out, err
