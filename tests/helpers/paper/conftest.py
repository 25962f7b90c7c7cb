"""Fixtures of the papers' tables."""

from __future__ import annotations

import os

import pytest

from tests.helpers.paper.mini import drive


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """calls(): the units of work done so far."""
    file = tmp_path / "calls.txt"
    monkeypatch.setenv("CALLS", str(file))
    return lambda: file.read_text().splitlines() if file.exists() else []


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """The table of a plan that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    os.environ["CALLS"] = str(folder / "calls.txt")
    drive(str(folder))
    del os.environ["CALLS"]
    return (folder / "table.txt").read_text()
