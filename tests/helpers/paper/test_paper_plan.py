"""Plans of papers' tables: how long steps take, measured and estimated, and what comes first."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.paper.engine import Engine, Open
from helpers.paper.plan import factor_of, longest_chains, make_plan, print_plan, span
from helpers.paper.scheduler import make_steps
from helpers.paper.steps import Estimate, Keys, Step, in_order
from tests.helpers.paper.mini import engine, ignored, key, nested, plan


def test_how_long_steps_take_side_by_side():
    steps = plan()
    seconds = dict.fromkeys(in_order(list(steps.values())), 10.0)
    chains = {step.title: value for step, value in longest_chains(seconds, key).items()}
    assert chains == {
        "train a": 30.0,
        "train b": 30.0,
        "extract a": 20.0,
        "extract b": 20.0,
        "probe a": 10.0,
        "probe b": 10.0,
        "probe both": 10.0,
    }
    assert [span(seconds, key, jobs) for jobs in (1, 2, 7)] == [70.0, 40.0, 30.0]
    assert span({}, key, 2) == 0.0
    assert span({steps["probe a"]: 10.0}, key, 2) == 10.0  # its inputs are there


def test_much_shorter_steps_do_not_tell_how_long_one_takes():
    def step(seconds: float) -> Step:
        return Step("t", "ex_maest.py", "main", estimate=Estimate(seconds, 1, ""))

    measured = {("ex_maest.py", "main"): [(10.0, 40.0), (100.0, 150.0), (120.0, 120.0)]}
    assert factor_of(step(12.0), measured) == 1.5  # the median of 4, 1.5 and 1
    assert factor_of(step(300.0), measured) == 1.25
    assert factor_of(step(1000.0), measured) is None
    assert factor_of(Step("t", "ex_tl.py", "main"), measured) is None


def test_inputs_come_before_those_who_take_them():
    steps = plan()
    order = in_order([steps["probe both"], steps["train b"]])
    assert [s.title for s in order] == ["train a", "extract a", "train b", "extract b", "probe both"]
    twice = Engine(Path("x"), Path("y"), Keys(nested, ignored)).needed([*plan().values(), *plan().values()])
    assert len(twice) == 7


def test_a_plan_measures_what_is_done_and_estimates_the_rest(tmp_path, calls, capsys):
    steps, e = plan(), engine(tmp_path)
    before = make_plan(e, [steps["probe a"]])
    assert [type(one.outcome) for one in before] == [Open] * 3
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
