"""Several steps side by side: what goes first, what runs alone, how cores are shared."""

from __future__ import annotations

from helpers.paper.scheduler import make_steps
from helpers.paper.steps import Estimate, Step
from tests.helpers.paper.mini import engine, plan


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
