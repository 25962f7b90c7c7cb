"""TrackStore with several writers: one at a time, and kills at random moments."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from datasets.store.track_store import TrackStore
from models.errors import StoreError

ROOT = Path(__file__).resolve().parents[3]
ATTRS = {"kind": "test"}


def create(folder):
    return TrackStore.create(folder / "s.h5", (2,), np.int16, ATTRS)


def test_a_second_writer_is_refused_until_the_first_is_done(tmp_path):
    with create(tmp_path) as writer:
        with pytest.raises(StoreError, match="Another process is writing"):
            create(tmp_path)
        writer.append("x", np.ones((1, 2), np.int16))
        with TrackStore.create(tmp_path / "s.h5", (2,), np.int16, ATTRS, shard=1) as other:
            other.append("y", np.ones((1, 2), np.int16))
    with create(tmp_path) as writer:
        assert list(writer.names) == ["x"]
    assert TrackStore.open(tmp_path / "s.h5").names == ["x", "y"]


def test_a_forked_child_does_not_keep_the_lock(tmp_path):
    writer = create(tmp_path)
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write_end)
        os.read(read_end, 1)  # lives on until the parent closes the pipe
        os._exit(0)
    try:
        os.close(writer._part)
        os.close(writer._journal)  # as a kill would, without the writer's own clean end
        writer._part = writer._journal = -1
        deadline = time.monotonic() + 10
        while True:
            try:
                create(tmp_path).close()
                break
            except StoreError:
                assert time.monotonic() < deadline, "the child holds the lock"
    finally:
        os.close(write_end)
        os.close(read_end)
        os.waitpid(child, 0)


_WRITER = """
import sys
import numpy as np
from datasets.store.track_store import TrackStore
folder, seal = sys.argv[1], sys.argv[2] == "seal"
with TrackStore.create(folder + "/s.h5", (64,), np.float32, {}) as writer:
    print("ready", flush=True)
    for i in range(400):
        if str(i) not in writer:
            writer.append(str(i), np.full((1 + i % 7, 64), i, np.float32))
    writer.seal()
"""


@pytest.mark.slow
def test_kills_at_random_moments(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "w.py").write_text(_WRITER)
    kills = 0
    for _ in range(60):
        command = [sys.executable, str(tmp_path / "w.py"), str(tmp_path), "seal"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)})
        process.stdout.readline()
        try:
            process.wait(timeout=float(rng.uniform(0, 0.02)))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            kills += process.wait() == -signal.SIGKILL
        process.stdout.close()
        if TrackStore.state(tmp_path / "s.h5") == "sealed":
            break
        store = TrackStore.open(tmp_path / "s.h5")
        assert store.names == [str(i) for i in range(len(store))]
        store.verify()
    else:
        subprocess.run(
            [sys.executable, str(tmp_path / "w.py"), str(tmp_path), "seal"],
            check=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    assert kills >= 1
    store = TrackStore.open(tmp_path / "s.h5")
    assert store.names == [str(i) for i in range(400)]
    for i in range(400):
        np.testing.assert_array_equal(store.read(i), np.full((1 + i % 7, 64), i, np.float32))
    leftover = {path.name for path in tmp_path.iterdir()} - {"w.py", "s.h5"}
    assert leftover <= {"s.h5.part", "s.h5.journal"}
