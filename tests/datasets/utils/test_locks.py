"""One writer at a time, across processes."""

from __future__ import annotations

import errno
import fcntl
import subprocess
import sys

from datasets.utils.locks import try_flock

HOLD = """
import sys
from pathlib import Path
from datasets.utils.locks import try_flock
file = open(sys.argv[1], "a")
print(try_flock(file, Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


def test_another_process_holds_it_until_it_is_gone(tmp_path):
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "True\n"
        with open(path, "a") as file:
            assert not try_flock(file, path)
            other.kill()
            other.wait()
            assert try_flock(file, path)


def test_a_file_system_without_locks_is_said_and_goes_on(tmp_path, monkeypatch, caplog):
    def none(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with open(tmp_path / "lock", "a") as file:
        assert try_flock(file, tmp_path / "lock")
    assert f"{tmp_path / 'lock'} cannot be locked" in caplog.text
    assert "one process at a time" in caplog.text
