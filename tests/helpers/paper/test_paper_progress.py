"""What is printed while a table is made: all of it in a log file, the steps at hand on a terminal."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from helpers.paper.plan import makespan
from helpers.paper.progress import StepProgress
from helpers.paper.steps import Estimate, Ref, Step

FIRST, LAST = (
    Step(f"train {k}", "ex_maest.py", "main", (), {"seed": k}, estimate=Estimate(seconds, 1.0, ""))
    for k, seconds in (("a", 200), ("b", 100))
)
AFTER = Step("probe", "ex_tl.py", "main", (), {"data.base_dir": Ref(FIRST, "0")})


@pytest.fixture(params=[True, False], ids=["terminal", "file"])
def place(request):
    """A console on a terminal or a file, and what it was told."""
    text = io.StringIO()
    return Console(file=text, force_terminal=request.param, width=100, color_system=None), text


def progress_of(seconds, console, jobs=1):
    return StepProgress(
        seconds, lambda step: Path("steps") / step.title / "log.txt", partial(makespan, key=id_of, jobs=jobs), console
    )


def id_of(step: Step) -> str:
    return step.title


def test_every_step_is_told_of(place):
    console, text = place
    with progress_of({FIRST: 200.0, LAST: 100.0}, console) as progress:
        progress.update(FIRST, "waits", 0.0)
        progress.update(FIRST, "begins", 0.0)
        for seconds in (30.0, 61.0, 62.0, 121.0):
            progress.update(FIRST, "runs", seconds)
        progress.update(FIRST, "done", 200.0)
        progress.update(LAST, "begins", 0.0)
        progress.update(LAST, "runs", 59.0)
        progress.update(LAST, "failed", 65.0)
        progress.update(AFTER, "begins", 0.0)  # an input whose files went
    printed = text.getvalue()
    assert "Another process makes: train a." in printed
    assert "[1 of 2] train a: done in 3 min" in printed
    assert "FAILED: train b, after 65 s" in printed
    if console.is_terminal:
        assert "[2 of 2] train b: 59 s of about 2 min; 41 s left in all" in printed
        return
    assert [line for line in printed.splitlines() if "train a" in line] == [
        "Another process makes: train a. Waiting for it.",
        "[1 of 2] train a (about 3 min); 5 min left in all",
        "... [1 of 2] train a: 61 s of about 3 min; log: steps/train a/log.txt",
        "... [1 of 2] train a: 2 min of about 3 min; log: steps/train a/log.txt",
        "[1 of 2] train a: done in 3 min",
    ]
    assert "[again] probe (about 10 s)" in printed


def test_two_side_by_side(place):
    console, text = place
    with progress_of({FIRST: 200.0, LAST: 100.0, AFTER: 10.0}, console, jobs=2) as progress:
        progress.update(FIRST, "begins", 0.0)
        progress.update(LAST, "begins", 0.0)
        progress.update(FIRST, "runs", 70.0)
        progress.update(LAST, "runs", 70.0)
        progress.update(LAST, "done", 90.0)
        progress.update(FIRST, "runs", 210.0)
        progress.update(FIRST, "done", 220.0)
        progress.update(AFTER, "begins", 0.0)
    printed = text.getvalue()
    if console.is_terminal:
        assert "[1 of 3] train a: 70 s of about 3 min\n" in printed.replace("\r", "")
        assert "[2 of 3] train b: 70 s of about 2 min; 2 min left in all" in printed
    else:
        lines = printed.splitlines()
        assert lines[1] == "[2 of 3] train b (about 2 min); 4 min left in all"  # the longer chain: 200 + 10
        assert lines[2].startswith("... [1 of 3] train a: 70 s of about 3 min; log")
        assert lines[3].startswith("... [2 of 3] train b: 70 s of about 2 min; log")
    assert printed.count("train a: done in 4 min") == 1


def test_what_a_step_took_tells_how_long_the_next_will(place):
    console, text = place
    estimate = Estimate(10.0, 1.0, "")
    probes = [Step(f"probe {k}", "ex_tl.py", "main", estimate=estimate) for k in range(4)]
    long = Step("probe of all", "ex_tl.py", "main", estimate=Estimate(1000.0, 1.0, ""))
    other = Step("sweep", "ex_tl.py", "sweep", estimate=estimate)
    with progress_of(dict.fromkeys([*probes, other], 10.0) | {long: 1000.0}, console) as progress:
        progress.update(probes[0], "begins", 0.0)
        progress.update(probes[0], "done", 30.0)
        progress.update(probes[1], "begins", 0.0)
    assert "[2 of 6] probe 1" in text.getvalue()
    assert "of about 30 s" in text.getvalue() or "(about 30 s)" in text.getvalue()
    assert progress.seconds[other] == 10.0
    assert progress.seconds[long] == 1000.0  # a hundred times as long: the start of a process does not tell
