"""The engine of papers' tables by fault injection: steps are made once, a kill anywhere costs no more than the unit at hand, failures stay apart."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time

import pytest

from helpers.paper.engine import Done, Engine, Failed, Pending, Unavailable, failures
from helpers.paper.records import RECORD, read_record
from helpers.paper.scheduler import make_steps
from helpers.paper.steps import ExternalPath, Keys, Ref, Step
from tests.helpers.paper.mini import ALL_WORK, drive, drive_counted, engine, ignored, make_two, nested, plan, start, table
from tests.kill import run_with_kills


def test_everything_is_made_once_and_again_is_no_work(tmp_path, calls, whole):
    drive(str(tmp_path))
    assert (tmp_path / "table.txt").read_text() == whole
    assert whole.count("probe") == 3
    assert sorted(calls()) == ALL_WORK
    drive(str(tmp_path))
    assert sorted(calls()) == ALL_WORK
    assert (tmp_path / "table.txt").read_text() == whole


FAULTS = [
    "child ex_maest.py:main:train-a begin",
    "child ex_maest.py:main:train-b epoch 2",
    "child ex_maest.py:extract_embeddings:extract-a track 1",
    "child ex_tl.py:main:probe-a heads",
    "child ex_maest.py:main:train-a end",
    "driver ex_maest.py:main:train-a epoch 1",
    "driver ex_maest.py:extract_embeddings:extract-b track 2",
    "driver ex_tl.py:main:probe-both after",
    "driver ex_maest.py:main:train-b after",
]


@pytest.mark.parametrize("jobs", [pytest.param(1, marks=pytest.mark.slow), 2])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_kill_anywhere_and_the_next_run_completes(tmp_path, calls, whole, fault, jobs):
    first = start(drive, str(tmp_path), jobs, FAULT=fault, SPENT=str(tmp_path / "spent"), CALLS=os.environ["CALLS"])
    first.join(60)
    if fault.startswith("driver"):
        assert first.exitcode == -signal.SIGKILL
    else:  # the step's own process: the driver goes on with the others
        assert first.exitcode == 0
        assert "failed" in (tmp_path / "table.txt").read_text()
    drive(str(tmp_path), jobs)
    assert (tmp_path / "table.txt").read_text() == whole
    assert set(calls()) == set(ALL_WORK)
    again = 0 if fault.split()[-1] in ("begin", "end", "after") else 1  # what was at hand; epochs and tracks before it stand
    if jobs == 2:  # what ran beside it was asked to end, with its own unit at hand
        assert len(calls()) <= len(ALL_WORK) + again + 1
        return
    assert len(calls()) == len(ALL_WORK) + again
    continued = [step.title for step in plan().values() if engine(tmp_path).state(step).continued]
    assert continued == (["train " + fault[fault.index("train-") + 6]] if "train-" in fault and "after" not in fault else [])


@pytest.mark.slow
def test_kills_of_the_driver_at_random_moments(tmp_path, whole):
    folder = tmp_path / "work"

    def check() -> None:
        assert (folder / "table.txt").read_text() == whole

    def reset() -> None:
        shutil.rmtree(folder)

    run_with_kills(
        drive_counted, (str(folder),), check, reset, kills=12, longest=0.8, seed=5, preload=["tests.helpers.paper.mini"]
    )


def test_a_failed_step_leaves_the_others_and_is_tried_again(tmp_path, calls, whole, monkeypatch):
    monkeypatch.setenv("FAULT", "error ex_maest.py:extract_embeddings:extract-a track 1")
    monkeypatch.setenv("SPENT", str(tmp_path / "spent"))
    steps, e = plan(), engine(tmp_path)
    made = make_steps(e, [steps["probe a"], steps["probe b"], steps["probe both"]])
    of = {step.title: outcome for step, outcome in made.items()}
    assert isinstance(of["probe b"], Done)
    assert isinstance(of["probe a"], Failed)
    assert isinstance(of["probe both"], Failed)
    assert of["probe a"] == of["extract a"]
    assert "this step was told to fail" in of["probe a"].log.read_text()
    assert len(failures(made.values())) == 1
    assert "ex_tl.py:main:probe-a heads" not in calls()
    assert table(tmp_path, make_steps(engine(tmp_path), [steps["probe a"], steps["probe b"], steps["probe both"]])) == whole


@pytest.mark.slow
def test_two_drivers_at_once_make_nothing_twice(tmp_path, calls, whole):
    waited = []
    steps = plan()

    def work() -> None:
        make_steps(engine(tmp_path), list(plan().values()), lambda step, what, seconds: waited.append(what))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(calls()) == ALL_WORK
    assert waited.count("done") == 7
    assert table(tmp_path, make_steps(engine(tmp_path), list(steps.values()))) == whole


def test_ctrl_c_ends_the_steps_too(tmp_path):
    script = tmp_path / "scripts" / "ex_maest.py"
    script.parent.mkdir()
    script.write_text(
        "import os, signal, sys, time\n"
        f"where, name = {str(tmp_path)!r}, next(word[6:-1] for word in sys.argv if word.startswith('name='))\n"
        "signal.signal(signal.SIGTERM, lambda *_: (open(f'{where}/{name} saved', 'w').close(), sys.exit(143)))\n"
        "open(f'{where}/{name} part', 'w').write(str(os.getpid()))\n"
        "os.rename(f'{where}/{name} part', f'{where}/{name} pid')\ntime.sleep(60)\n"
    )
    pids = [tmp_path / f"{name} pid" for name in ("t", "u")]
    driver = start(make_two, str(tmp_path))
    until = time.monotonic() + 60
    while not all(pid.exists() for pid in pids) and time.monotonic() < until:
        time.sleep(0.02)
    os.killpg(driver.pid, signal.SIGINT)
    driver.join(60)
    assert driver.exitcode == 77  # KeyboardInterrupt has gone through
    for name, pid in zip(("t", "u"), pids):
        assert (tmp_path / f"{name} saved").exists()
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)


@pytest.mark.slow
def test_an_output_that_is_gone_is_made_again(tmp_path, calls, whole):
    drive(str(tmp_path))
    e, steps = engine(tmp_path), plan()
    shutil.rmtree(e.folder(steps["extract a"]) / "out")
    assert isinstance(e.state(steps["extract a"]), Pending)
    assert isinstance(e.state(steps["probe a"]), Done)  # what was made of it stands
    make_steps(e, [steps["extract a"]])
    assert isinstance(e.state(steps["extract a"]), Done)
    assert len(calls()) == len(ALL_WORK) + 3
    for name in ("probe a", "probe b"):
        shutil.rmtree(e.folder(steps[name]))

    def goes_meanwhile(step: Step, what: str, seconds: float) -> None:
        """The input of one probe, while the other is made."""
        if step.title == "probe b" and what == "begins":
            shutil.rmtree(e.folder(steps["extract a"]))

    make_steps(e, [steps["probe b"], steps["probe a"]], goes_meanwhile, seconds={steps["probe b"]: 99.0})
    assert isinstance(e.state(steps["probe a"]), Done)
    assert len(calls()) == len(ALL_WORK) + 3 + 3 + 2
    drive(str(tmp_path))
    assert (tmp_path / "table.txt").read_text() == whole


def test_a_result_without_one_of_its_files_is_made_anew(tmp_path, calls, whole):
    drive(str(tmp_path))
    e, step = engine(tmp_path), plan()["probe a"]
    (e.state(step).output("results") / "scores.txt").unlink()
    assert isinstance(e.state(step), Pending)
    before = len(calls())
    drive(str(tmp_path))
    assert (tmp_path / "table.txt").read_text() == whole
    assert calls()[before:] == ["ex_tl.py:main:probe-a heads"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 99}', '{"version": 1, "outputs": {"x": "nowhere"}}'])
def test_a_record_that_says_nothing_is_none(tmp_path, content):
    (tmp_path / RECORD).write_text(content)
    assert read_record(tmp_path) is None


def test_records_move_with_their_folder(tmp_path, calls):
    steps = plan()
    make_steps(engine(tmp_path / "a"), [steps["probe a"]])
    shutil.move(tmp_path / "a", tmp_path / "b")
    found = engine(tmp_path / "b").state(steps["extract a"])
    assert isinstance(found, Done)
    assert found.output("0") == tmp_path / "b" / "out" / "steps" / found.folder.name / "out" / "0"
    assert found.about["settings"]["name"] == "extract-a"
    assert found.megabytes > 0


def test_what_is_not_on_the_machine_is_said_with_its_place(tmp_path, monkeypatch, calls):
    monkeypatch.setenv("MAEST_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    e = engine(tmp_path)
    start = Step("start", "ex_maest.py", "main", weights=("passt_s_swa_p16_128_ap476",))
    after = Step("after", "ex_tl.py", "main", (), {"x": Ref(start, "checkpoint")})
    data = Step("data", "ex_tl.py", "main", (), {"x": ExternalPath(str(tmp_path / "mels"), "python -m datasets.gtzan")})
    made = make_steps(e, [after, data])
    file = tmp_path / "passt-s-f128-p16-s10-ap.476-swa.pt"
    assert made[start] == made[after] == Unavailable((f"place {file}",))
    assert made[data] == Unavailable((f"{tmp_path / 'mels'} is not there (python -m datasets.gtzan)",))
    assert calls() == []
    file.touch()
    assert isinstance(engine(tmp_path).state(start), Pending)


def test_weights_that_may_be_fetched_and_cannot_are_said_too(tmp_path, monkeypatch, calls):
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody answers there
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("MAEST_WEIGHTS", str(tmp_path))
    start = Step("start", "ex_maest.py", "main", weights=("passt_s_swa_p16_128_ap476",))
    e = Engine(tmp_path / "out", tmp_path, Keys(nested, ignored), download=True)
    assert isinstance(e.state(start), Pending)  # as a plan has it
    e.fetch([start])
    assert make_steps(e, [start])[start] == Unavailable((f"place {tmp_path / 'passt-s-f128-p16-s10-ap.476-swa.pt'}",))
    assert calls() == []
