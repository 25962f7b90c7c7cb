"""The engine of papers' tables by fault injection: steps are made once, a kill anywhere costs no more than the unit at hand, failures stay apart."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.paper.engine import Done, Engine, Failed, Pending, Unavailable, failures
from helpers.paper.plan import critical_paths, make_plan, makespan, print_plan, time_factor
from helpers.paper.records import RECORD, prepare_folder, read_inputs, read_record
from helpers.paper.scheduler import make_steps
from helpers.paper.steps import Estimate, ExternalPath, Keys, Ref, Step, in_order
from tests.helpers.paper.mini import apart, drive, drive_counted, engine, ignored, make_two, nested, plan, table
from tests.kill import run_with_kills

ALL_WORK = sorted(
    [f"ex_maest.py:main:train-{n} epoch {i}" for n in "ab" for i in range(4)]
    + [f"ex_maest.py:extract_embeddings:extract-{n} track {i}" for n in "ab" for i in range(3)]
    + [f"ex_tl.py:main:probe-{n} heads" for n in ("a", "b", "both")]
)


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """calls(): the units of work done so far."""
    file = tmp_path / "calls.txt"
    monkeypatch.setenv("CALLS", str(file))
    return lambda: file.read_text().splitlines() if file.exists() else []


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The table of a plan that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    os.environ["CALLS"] = str(folder / "calls.txt")
    drive(str(folder))
    del os.environ["CALLS"]
    return (folder / "table.txt").read_text()


def start(job: Callable[..., None], *args: object, **env: str) -> multiprocessing.Process:
    """`job(*args)` in a process and session of its own, which begins with its imports done."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.kill", "tests.helpers.paper.mini"])
    process = context.Process(target=apart, args=(job, args, env))
    process.start()
    return process


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


# ---- side by side
def watched(tmp_path, steps: list[Step], jobs: int, **known: float) -> list[tuple[str, int]]:
    """(begun step, how many ran beside it), in order."""
    running, begun = set(), []

    def on_event(step: Step, event: str, seconds: float) -> None:
        if event == "begins":
            begun.append((step.title, len(running)))
            running.add(step.title)
        running.difference_update({step.title} if event in ("done", "failed") else ())

    make_steps(engine(tmp_path), steps, on_event, jobs, {step: known.get(step.title, 1.0) for step in steps})
    return begun


def test_no_more_than_the_jobs_run_and_what_most_waits_for_goes_first(tmp_path, calls):
    steps = plan()
    begun = watched(tmp_path, list(steps.values()), 1)
    assert [beside for _, beside in begun] == [0] * 7
    assert begun[0][0] == "train a"
    begun = watched(tmp_path / "two", list(steps.values()), 2)
    assert max(beside for _, beside in begun) == 1
    assert {title for title, _ in begun[:2]} == {"train a", "train b"}
    alone = [Step(f"long {k}", "ex_tl.py", "main", (), {"name": f"long{k}"}, estimate=Estimate(5.0 + k, 1, "")) for k in range(3)]
    assert [title for title, _ in watched(tmp_path / "three", alone, 3, **{s.title: s.estimate.seconds for s in alone})] == [
        "long 2", "long 1", "long 0",
    ]  # fmt: skip


def test_a_step_that_measures_time_has_the_machine_for_itself(tmp_path, calls):
    base = {
        name: Step(name, "ex_tl.py", "main", (), {"name": name}, exclusive="alone" in name) for name in ("a", "b", "alone", "c")
    }
    begun = dict(watched(tmp_path, list(base.values()), 3))
    assert begun["alone"] == 0
    after = watched(tmp_path / "again", [base["alone"], base["a"], base["b"]], 3, alone=3.5)
    assert after[0] == ("alone", 0)
    assert after[1][1] == 0  # it began when that was through


def test_a_long_step_waits_for_short_ones_and_then_has_all_cores(tmp_path, monkeypatch, calls):
    steps = {name: Step(name, "ex_tl.py", "main", (), {"name": name}) for name in ("long", "also long", "short", "shorter")}
    known = {"long": 100.0, "also long": 90.0, "short": 10.0, "shorter": 9.0}
    begun = watched(tmp_path, [steps["long"], steps["short"], steps["shorter"]], 2, **known)
    assert begun == [("short", 0), ("shorter", 1), ("long", 0)]
    begun = watched(tmp_path / "two", list(steps.values()), 2, **known)
    assert begun[:2] == [("long", 0), ("also long", 1)]  # they share
    begun = watched(tmp_path / "one", [steps["long"], steps["short"]], 1, **known)
    assert begun[0] == ("long", 0)  # nothing could run beside it anyway


def test_cores_are_shared_among_what_runs(tmp_path, monkeypatch, calls):
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    given = {}
    e = engine(tmp_path)
    start = e.start
    monkeypatch.setattr(
        e, "start", lambda step, lock, threads: (given.update({step.title: threads}), start(step, lock, threads))[1]
    )
    steps = plan()
    make_steps(e, [steps["probe a"], steps["train b"]], jobs=2)
    assert given["train a"] == given["train b"] == 4
    make_steps(e, [steps["extract b"]], jobs=2)
    assert given["extract b"] is None  # nothing else is to be made: as many as it likes
    make_steps(e, list(steps.values()), jobs=1)
    assert given["probe both"] is None


def test_how_long_steps_take_side_by_side():
    steps = plan()
    seconds = dict.fromkeys(in_order(list(steps.values())), 10.0)
    chains = {step.title: value for step, value in critical_paths(seconds, key).items()}
    assert chains == {
        "train a": 30.0,
        "train b": 30.0,
        "extract a": 20.0,
        "extract b": 20.0,
        "probe a": 10.0,
        "probe b": 10.0,
        "probe both": 10.0,
    }
    assert [makespan(seconds, key, jobs) for jobs in (1, 2, 7)] == [70.0, 40.0, 30.0]
    assert makespan({}, key, 2) == 0.0
    assert makespan({steps["probe a"]: 10.0}, key, 2) == 10.0  # its inputs are there


def test_much_shorter_steps_do_not_tell_how_long_one_takes():
    def step(seconds: float) -> Step:
        return Step("t", "ex_maest.py", "main", estimate=Estimate(seconds, 1, ""))

    measured = {("ex_maest.py", "main"): [(10.0, 40.0), (100.0, 150.0), (120.0, 120.0)]}
    assert time_factor(step(12.0), measured) == 1.5  # the median of 4, 1.5 and 1
    assert time_factor(step(300.0), measured) == 1.25
    assert time_factor(step(1000.0), measured) is None
    assert time_factor(Step("t", "ex_tl.py", "main"), measured) is None


# ---- keys
def key(step: Step) -> str:
    return Keys(nested, ignored)(step)


def test_keys_follow_what_decides_the_result(tmp_path):
    base = Step("t", "ex_maest.py", "main", ("demo",), {"a": 1})
    same = Step("another title", "ex_maest.py", "main", ("demo",), {"a": 1, "trainer.default_root_dir": "x", "ckpt_path": "last"})
    assert key(base) == key(same)
    others = [
        Step("t", "ex_ssl.py", "main", ("demo",), {"a": 1}),
        Step("t", "ex_maest.py", "report", ("demo",), {"a": 1}),
        Step("t", "ex_maest.py", "main", ("demo", "x"), {"a": 1}),
        Step("t", "ex_maest.py", "main", ("demo",), {"a": 2}),
        Step("t", "ex_maest.py", "main", ("demo",), {"a": 1}, about={"demo": 1}),
        Step("t", "ex_maest.py", "main", ("demo",), {"a": Ref(base, "checkpoint")}),
        Step("t", "ex_maest.py", "main", ("demo",), {"a": Ref(base, "run")}),
        Step("t", "ex_maest.py", "main", ("demo",), {"a": 1, "ckpt_path": Ref(base, "checkpoint")}),
    ]
    assert len({key(base), *map(key, others)}) == len(others) + 1


def test_keys_follow_what_files_hold_and_not_where_they_are(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "labels.csv").write_text("path,labels\n")

    def of(name: str) -> str:
        return key(Step("t", "ex_tl.py", "main", (), {"x": ExternalPath(str(tmp_path / name))}))

    assert of("a") == of("b")
    before = of("a")
    (tmp_path / "a" / "labels.csv").write_text("path,labels\nx.mp3,rock\n")
    assert of("a") != before
    assert of("a/labels.csv") != of("b/labels.csv")
    assert len({of("a"), of("absent"), of("absent too")}) == 3


def test_keys_follow_a_stores_tracks(tmp_path):
    import numpy as np

    from datasets.store.track_store import TrackStore

    def store(name: str, order: list[int], change: float = 0.0) -> str:
        with TrackStore.create(tmp_path / name / "mels.h5", (2,), "float32", {"kind": "mel"}) as writer:
            for i in order:
                writer.append(f"{i}.wav", np.full((3, 2), i + (change if i == 1 else 0), "float32"))
            writer.seal()
        return key(Step("t", "ex_tl.py", "main", (), {"x": ExternalPath(str(tmp_path / name))}))

    assert store("a", [0, 1, 2]) == store("b", [2, 0, 1])
    assert len({store("c", [0, 1]), store("d", [0, 1, 2]), store("e", [0, 1, 2], 0.5)}) == 3


def test_inputs_come_before_those_who_take_them():
    steps = plan()
    order = in_order([steps["probe both"], steps["train b"]])
    assert [s.title for s in order] == ["train a", "extract a", "train b", "extract b", "probe both"]
    twice = Engine(Path("x"), Path("y"), Keys(nested, ignored)).needed([*plan().values(), *plan().values()])
    assert len(twice) == 7


# ---- the plan
def test_a_plan_measures_what_is_done_and_estimates_the_rest(tmp_path, calls, capsys):
    steps, e = plan(), engine(tmp_path)
    before = make_plan(e, [steps["probe a"]])
    assert [type(one.outcome) for one in before] == [Pending] * 3
    assert all(one.basis.startswith("estimated from") for one in before)
    assert not (tmp_path / "out").exists()
    make_steps(e, [steps["train a"]])
    after = make_plan(engine(tmp_path), [steps["probe a"], steps["train b"]])
    state = {one.step.title: one for one in after}
    assert state["train a"].basis == "measured"
    assert state["train a"].seconds == e.state(steps["train a"]).seconds
    assert "as such steps took here" in state["train b"].basis
    assert state["train b"].seconds == pytest.approx(state["train a"].seconds, abs=0.02)
    assert "as such steps" not in state["probe a"].basis
    print_plan("[bold]A plan", after, str(tmp_path / "out" / "nowhere"), lambda seconds: sum(seconds.values()))
    printed = capsys.readouterr().out
    assert "[bold]A plan" in printed
    assert "4 steps: 1 done, 3 to do" in printed


def test_what_follows_from_a_step_that_was_removed_is_made_anew_too(tmp_path, calls, whole):
    drive(str(tmp_path))
    e, steps = engine(tmp_path), plan()
    before = len(calls())
    shutil.rmtree(e.folder(steps["train a"]))
    assert [type(e.state(steps[name])) for name in ("train a", "extract a", "probe a", "probe both")] == [Pending] * 4
    assert isinstance(e.state(steps["probe b"]), Done)
    drive(str(tmp_path))
    assert (tmp_path / "table.txt").read_text() == whole
    again = [f"ex_maest.py:main:train-a epoch {i}" for i in range(4)] + [
        f"ex_maest.py:extract_embeddings:extract-a track {i}" for i in range(3)
    ]
    assert sorted(calls()[before:]) == sorted([*again, "ex_tl.py:main:probe-a heads", "ex_tl.py:main:probe-both heads"])
    before = len(calls())
    drive(str(tmp_path))
    assert len(calls()) == before


def test_files_that_are_removed_to_save_disk_are_made_when_they_are_wanted(tmp_path, calls, whole):
    drive(str(tmp_path))
    e, steps = engine(tmp_path), plan()
    before = len(calls())
    shutil.rmtree(e.folder(steps["train a"]) / "runs")  # its record stays
    shutil.rmtree(e.folder(steps["extract a"]) / "out")
    assert isinstance(e.state(steps["probe a"]), Done)
    assert [one.step.title for one in make_plan(e, [steps["probe a"], steps["probe b"]])] == [
        "probe a",
        "train b",
        "extract b",
        "probe b",
    ]
    drive(str(tmp_path))
    assert (len(calls()), (tmp_path / "table.txt").read_text()) == (before, whole)
    (e.folder(steps["probe a"]) / RECORD).unlink()
    shutil.rmtree(e.folder(steps["probe a"]) / "runs")
    drive(str(tmp_path))
    assert (tmp_path / "table.txt").read_text() == whole
    assert "ex_tl.py:main:probe-both heads" in calls()[before:]  # of the embeddings that were made anew, as the other probe is


def test_a_step_that_is_the_same_again_leaves_what_was_made_of_it(tmp_path, calls):
    data = Step("music", "ex_maest.py", "extract_embeddings", (), {"name": "extract-a"}, deterministic=True)
    probe = Step("probe", "ex_tl.py", "main", (), {"name": "probe-a", "store": Ref(data, "0")})
    make_steps(engine(tmp_path), [probe])
    e = engine(tmp_path)
    shutil.rmtree(e.folder(data))
    assert isinstance(e.state(probe), Done)
    make_steps(e, [data])
    assert isinstance(e.state(probe), Done)


def test_a_result_that_is_cut_short_is_made_anew(tmp_path, calls, whole):
    drive(str(tmp_path))
    e, step = engine(tmp_path), plan()["probe a"]
    (e.state(step).output("results") / "scores.txt").write_text("")
    assert isinstance(e.state(step), Pending)
    drive(str(tmp_path))
    assert (tmp_path / "table.txt").read_text() == whole


@pytest.mark.parametrize("gone", ["runs", "out", "record"])
def test_a_kill_while_a_folder_is_cleared_changes_nothing(tmp_path, calls, whole, monkeypatch, gone):
    drive(str(tmp_path))
    e, step = engine(tmp_path), plan()["extract a"]
    folder, inputs = e.folder(step), read_inputs(e.folder(step))
    other = dict.fromkeys(inputs, "another making")
    real, kept = (shutil.rmtree, Path.unlink), []

    def killed(path: Path, *args: object, **options: object) -> None:
        if Path(path).name == (RECORD if gone == "record" else gone):
            raise KeyboardInterrupt
        kept.append(path)
        real[0](path) if Path(path).is_dir() else real[1](path, **options)

    with monkeypatch.context() as patch:
        patch.setattr("helpers.paper.records.shutil.rmtree", killed)
        patch.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            prepare_folder(folder, other)
    assert (folder / RECORD).exists()
    assert read_inputs(folder) == inputs  # still to be cleared
    prepare_folder(folder, other)
    assert not any((folder / name).exists() for name in ("runs", "out", RECORD))
    assert read_inputs(folder) == other
    shutil.rmtree(folder)
    drive(str(tmp_path))
    assert (tmp_path / "table.txt").read_text() == whole


def test_a_training_whose_best_checkpoint_is_gone_does_not_take_the_last(tmp_path, calls, whole):
    step = plan()["train a"]
    e = engine(tmp_path)
    make_steps(e, [step])
    checkpoints = e.state(step).output("checkpoint").parent
    (checkpoints / "best.ckpt").write_text("best")
    (e.folder(step) / RECORD).unlink()
    make_steps(e, [step])
    assert e.state(step).output("checkpoint").name == "best.ckpt"
    (checkpoints / "best.ckpt").unlink()
    assert isinstance(e.state(step), Pending)
    before = len(calls())
    make_steps(e, [step])
    assert len(calls()) == before + 4  # trained anew


def test_versions_of_the_code_are_counted_over_all_that_a_table_needs(tmp_path, calls):
    steps = plan()
    for commit, name in (("old", "extract a"), ("new", "probe a")):
        e = engine(tmp_path)
        e.commit = commit
        make_steps(e, [steps[name]])
    assert e.commits([steps["probe a"]]) == {"old": 2, "new": 1}
