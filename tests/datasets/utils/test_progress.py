"""Progress: a bar on a terminal, lines now and then elsewhere."""

from __future__ import annotations

import io
import logging
import re

import pytest
from rich.console import Console

from datasets.utils import progress as module
from datasets.utils.progress import JobProgress


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_lines_now_and_then_and_at_the_end(clock, caplog):
    console = Console(file=io.StringIO(), force_terminal=False)
    with caplog.at_level(logging.INFO), JobProgress("Preparing", 1000, "files", done=500, console=console) as progress:
        for _ in range(200):  # 2 per second
            clock[0] += 0.5
            progress.advance(note="3 bad")
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "Preparing: 560 of 1000, 2.0 files/s, 0:03:40 left, 3 bad",
        "Preparing: 620 of 1000, 2.0 files/s, 0:03:10 left, 3 bad",
        "Preparing: 680 of 1000, 2.0 files/s, 0:02:40 left, 3 bad",
        "Preparing: 700 of 1000, 2.0 files/s, 0:02:30 left, 3 bad",
    ]


def test_a_job_that_ends_early_has_nothing_left(clock, caplog):
    console = Console(file=io.StringIO(), force_terminal=False)
    with caplog.at_level(logging.INFO), JobProgress("Probing", 100, "epochs", console=console) as progress:
        for _ in range(11):
            clock[0] += 0.5
            progress.advance()
        progress.end_early("stopped early")
    assert [r.getMessage() for r in caplog.records] == [
        "Probing: 11 of 11, 2.0 epochs/s, 0:00:00 left, stopped early (89 epochs fewer)"
    ]


def test_nothing_done_says_nothing(caplog):
    with caplog.at_level(logging.INFO), JobProgress("Preparing", 0):
        pass
    assert caplog.records == []


def test_a_bar_on_a_terminal(caplog):
    screen = io.StringIO()
    with JobProgress("Preparing", 4, "files", console=Console(file=screen, force_terminal=True, width=120)) as progress:
        for _ in range(4):
            progress.advance(note="1 bad")
    text = screen.getvalue()
    assert "4/4" in text
    assert "files/s" in text
    assert "1 bad" in text
    assert re.search(r"0:00:0\d gone, +0:00:00 left", re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", text))
    assert caplog.records == []
