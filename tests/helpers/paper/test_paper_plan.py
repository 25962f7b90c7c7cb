"""What a plan says of time: measured, estimated, side by side."""

from __future__ import annotations

import pytest

from helpers.paper.engine import Pending
from helpers.paper.plan import critical_paths, make_plan, makespan, print_plan, time_factor
from helpers.paper.scheduler import make_steps
from helpers.paper.steps import Estimate, Keys, Step, in_order
from tests.helpers.paper.mini import engine, ignored, nested, plan


def key(step: Step) -> str:
    return Keys(nested, ignored)(step)


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
