"""The parallel map: order, flat memory, failures that stay their item's own."""

from __future__ import annotations

import functools
import itertools
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from datasets.jobs.parallel import WAITING, parallel_map


def square(x):
    if x == 3:
        raise ValueError("three is not taken")
    if x == 4:
        raise RuntimeError("odd")
    return x * x


def kill_on_two(x):
    if x == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return x * 10


def unpicklable(x):
    return threading.Lock() if x == 1 else x


def zero_waits_for(sign, x):
    for _ in range(3000 if x == 0 else 0):
        if sign.exists():
            break
        threading.Event().wait(0.01)
    return x


def threads_and_parent(_):
    import torch

    return torch.get_num_threads(), os.getpid(), os.getppid()


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_answers_in_order_and_failures_as_answers(jobs):
    got = list(parallel_map(square, range(8), jobs))
    assert [(o.index, o.item) for o in got] == [(k, k) for k in range(8)]
    assert [o.value for o in got] == [0, 1, 4, None, None, 25, 36, 49]
    assert [o.error for o in got if o.error] == ["three is not taken", "RuntimeError: odd"]


def test_one_job_is_lazy_and_in_this_process():
    seen = []
    results = parallel_map(lambda x: seen.append(x) or os.getpid(), itertools.count(), 1)
    assert next(results).value == os.getpid()
    assert seen == [0]


def test_no_items_start_nothing(monkeypatch):
    monkeypatch.setattr("datasets.jobs.parallel.ProcessPoolExecutor", None)
    assert list(parallel_map(square, [], 2)) == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_watches_ends_the_work(jobs, monkeypatch):
    monkeypatch.setattr("datasets.jobs.parallel.WATCHED", 0.05)
    asked = []

    def watch():
        asked.append(1)
        if len(asked) == 3:
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(parallel_map(abs, range(100), jobs, watch=watch))
    assert len(asked) == 3


def test_impossible_jobs_are_refused():
    with pytest.raises(ValueError, match="jobs is 0"):
        parallel_map(square, [1], 0)


@pytest.mark.slow
def test_only_a_few_items_are_under_way():
    taken = []
    results = parallel_map(square, (taken.append(k) or k for k in itertools.count()), 2)
    for _ in range(10):
        next(results)
    assert len(taken) <= 10 + 2 * WAITING
    results.close()


@pytest.mark.slow
def test_unordered_gives_each_once_as_it_is_done(tmp_path):
    sign, order = tmp_path / "sign", []
    for outcome in parallel_map(functools.partial(zero_waits_for, sign), range(6), 2, ordered=False):
        order.append(outcome.item)
        sign.touch()  # the first item ends only once another one has been handed over
    assert sorted(order) == list(range(6))
    assert order[0] != 0


@pytest.mark.slow
@pytest.mark.parametrize("ordered", [True, False])
def test_a_killed_worker_costs_only_its_item(ordered):
    got = sorted(parallel_map(kill_on_two, range(9), 2, ordered), key=lambda o: o.index)
    assert [o.value for o in got] == [0, 10, None, 30, 40, 50, 60, 70, 80]
    assert "ended its worker process" in got[2].error
    assert "SIGKILL" in got[2].error


@pytest.mark.slow
def test_a_result_that_cannot_be_sent_is_that_items_failure():
    got = list(parallel_map(unpicklable, range(3), 2))
    assert [o.value for o in got] == [0, None, 2]
    assert "could not be brought back" in got[1].error


@pytest.mark.slow
def test_workers_have_one_thread_and_die_with_their_parent():
    threads, _, parent = next(parallel_map(threads_and_parent, [0], 2)).value
    assert threads == 1
    assert parent == os.getpid()
    code = (
        "import os, sys, signal, itertools\n"
        "from datasets.jobs.parallel import parallel_map\n"
        "from tests.datasets.jobs.test_parallel import worker_pid\n"
        "for o in parallel_map(worker_pid, itertools.count(), 2):\n"
        "    print(o.value, flush=True)\n"
        "    if o.index == 3: os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    pids = {int(line) for line in out.stdout.split()}
    assert len(pids) == 2
    until = time.monotonic() + 20
    while any(alive(pid) for pid in pids) and time.monotonic() < until:
        threading.Event().wait(0.05)
    assert not any(alive(pid) for pid in pids)


def worker_pid(_):
    threading.Event().wait(0.1)
    return os.getpid()


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
