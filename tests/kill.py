"""Kills (-9) at random moments: what a job leaves behind must be enough for the next run to end as if nothing had happened."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence

import numpy as np


def _in_own_group(job: Callable[..., object], args: tuple) -> None:
    os.setsid()  # its own workers die with it
    job(*args)


def run_with_kills(
    job: Callable[..., object],
    args: tuple,
    check: Callable[[], None],
    reset: Callable[[], None],
    *,
    kills: int = 20,
    longest: float = 1.0,
    seed: int = 0,
    preload: Sequence[str] = (),
) -> int:
    """Start `job(*args)` again and again, each time killed after a random time in 0..`longest` seconds, until `kills` kills have landed.

    job: a function at module level; it runs in a process of its own, as its group's leader. A run that ends before its kill must have succeeded:
    `check` judges the result and `reset` removes it. At last the job runs to its end and is checked.
    preload: modules that the processes shall find imported.

    Returns how many runs ended before their kill.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.kill", *preload])
    rng, landed, ended = np.random.default_rng(seed), 0, 0
    while True:
        process = context.Process(target=_in_own_group, args=(job, args))
        process.start()
        process.join(rng.uniform(0, longest) if landed < kills else None)
        if process.exitcode is None:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:  # not yet the leader of a group
                process.kill()
            process.join()
            landed += 1
            continue
        assert process.exitcode == 0, f"a resumed run failed with exit code {process.exitcode} after {landed} kills"
        check()
        if landed == kills:
            return ended
        ended += 1
        reset()
