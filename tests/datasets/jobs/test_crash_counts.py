"""Crash counts: whose crash is counted, and what a kill leaves of them."""

from __future__ import annotations

import os

import pytest

from datasets.jobs import crash_counts


def test_the_death_of_a_pool_is_not_the_file_s_that_was_under_way(tmp_path):
    path = tmp_path / "deaths"
    for alone in (False, False, False, False, True):
        kept = crash_counts.CrashCounts(path, alone)
        kept.__enter__()
        assert kept.of("long.wav") == 0
        kept.begin("long.wav")
        os.close(kept._handle)  # as SIGKILL leaves it
        assert crash_counts.CrashCounts.total(path) == alone
    with crash_counts.CrashCounts(path, False) as after:
        assert after.of("long.wav") == 1
        after.end()


def test_a_kill_right_after_a_write_leaves_the_crash_counts_readable(tmp_path, monkeypatch):
    """A longer name was under way before: what remains of it must not hide the one that killed."""
    path, write_ = tmp_path / "deaths", os.pwrite

    class Killed(BaseException):
        pass

    def killed_after(handle, data, at):
        write_(handle, data, at)
        if b"short" in data:
            raise Killed  # nothing after the write is reached, as after SIGKILL

    kept = crash_counts.CrashCounts(path)
    kept.__enter__()
    kept.begin("a much longer name than the next.wav")
    monkeypatch.setattr(crash_counts.os, "pwrite", killed_after)
    with pytest.raises(Killed):
        kept.begin("short.wav")
    monkeypatch.undo()
    os.close(kept._handle)
    assert crash_counts.CrashCounts.total(path) == 1
    with crash_counts.CrashCounts(path) as again:
        assert again.of("short.wav") == 1
        again.end()
    assert not path.exists()
