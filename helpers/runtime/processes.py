"""Several processes of one job: who starts them, what they agree on, and that none outlives another.

A job is started by torchrun, by SLURM's srun, or from here: `job` runs the same command line again for the other ranks of one machine. All of them
meet in torch.distributed's process group (gloo on CPUs, nccl on GPUs), to which Lightning then keeps.

Who dies takes the others along. A rank that raises leaves its words in the job's store, and its closed connections make gloo's collectives fail at
once elsewhere. A collective of nccl waits instead: so a thread watches the other processes, gives the main thread GRACE seconds to fail by
itself, calls `on_failure`, and ends the process. A rank whose starter is gone ends too.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from models.errors import ConfigError, JobError

from .place import PLACE_VARIABLE, Place, check_world, on_failure, place

log = logging.getLogger(__name__)
T = TypeVar("T")

MEETING = timedelta(minutes=10)  # for all processes to come together
COLLECTIVE = timedelta(minutes=30)  # for one to wait for the others, the first one's checkpoint writing included
GRACE = 15.0  # s between a failure elsewhere and the end of this process
PARTING = 5.0  # s that the processes started from here have to end by themselves when the job has failed
LOOK = 0.25  # s between two looks at the others


class _Job:
    """What this process knows of its job."""

    def __init__(self) -> None:
        self.place: Place | None = None
        self.base: Any = None  # the store, of the main thread
        self.watched: Any = None  # its twin for the watching thread: a store is one thread's
        self.left = threading.Event()  # the main thread is out of the job, or on its way
        self.failed = self.ran = False
        self.others: list[subprocess.Popen[bytes]] = []
        self.variables: list[str] = []

    def store(self, name: str = "job", base: Any = None) -> Any:
        """Return the job's store; torchrun's outlives its tries, so each has its own names."""
        again = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        return dist.PrefixStore(f"maest-{again}/{name}", base or self.base)

    def reported_failure(self, base: Any = None) -> str:
        """Return what failed first, if a process reported it."""
        try:
            store = self.store(base=base)
            return store.get("failed").decode() if store.check(["failed"]) else ""
        except (RuntimeError, dist.DistError):  # the first process, which held the store, is gone
            return ""

    def report_failure(self, error: BaseException) -> None:
        """Leave words for the other processes, unless others were first."""
        self.failed = True
        if self.base is not None and self.place is not None:
            with suppress(RuntimeError, dist.DistError):
                text = f"Process {self.place.rank} of this job failed: {type(error).__name__}: {error}"
                self.store().compare_set("failed", "", text)

    def fallen(self) -> str:
        """Return which of the processes started from here has ended badly."""
        for i, process in enumerate(self.others, 1):
            if (code := process.poll()) not in (None, 0):
                how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
                return f"Process {i} of this job {how}"
        return ""


_job = _Job()


# ---- coming together
def join(gpu: bool) -> None:
    """Meet the other processes of the job; nothing for a process that is alone or has met them. Raises JobError when they do not come."""
    here = place()
    if here is None or dist.is_initialized():
        return
    if _job.base is None:
        hosted = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        where = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        try:
            _job.base = dist.TCPStore(*where, here.world, here.rank == 0 and not hosted, MEETING, wait_for_workers=False)
            _job.watched = _job.base.clone()  # here, while who holds it lives: the watch would wait for a dead one
        except (RuntimeError, dist.DistError) as error:
            raise JobError(f"Process {here.rank} of {here.world} did not find the first one at {where}: {error}") from error
    _job.place = here
    store = _job.store()
    store.add("here", 1)
    until = time.monotonic() + MEETING.total_seconds()
    while (come := store.add("here", 0)) < here.world:
        if why := _job.reported_failure() or _job.fallen() or ("the others did not come" if time.monotonic() > until else ""):
            raise JobError(f"{come} of {here.world} processes of this job have met: {why}")
        time.sleep(0.05)
    backend = "cpu:gloo,cuda:nccl" if gpu else "gloo"
    dist.init_process_group(backend, store=_job.store("group"), rank=here.rank, world_size=here.world, timeout=COLLECTIVE)
    atexit.register(_destroy)
    _wait_for_all()


def _wait_for_all() -> None:
    dist.all_reduce(torch.zeros(1))  # on the CPU, by gloo: a barrier would choose nccl's device itself


def _destroy() -> None:
    if dist.is_initialized() and not _job.failed:  # after a failure it could wait for ever
        dist.destroy_process_group()


def share(value: T) -> T:
    """Return the first process's value, in every process of the job. It is made of json's types."""
    if not dist.is_initialized():
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    return box[0]


def first_goes_first(make: Callable[[], T]) -> T:
    """make(), in the first process before the others, which then find on the disk what it prepared. However long that takes.

    Raises JobError in the others where the first one failed.
    """
    if not dist.is_initialized():
        return make()
    if dist.get_rank() == 0:
        try:
            made = make()
        except BaseException as error:
            _job.report_failure(error)
            raise
        _job.store().set("prepared", "1")
        return made
    while not _job.store().check(["prepared"]):
        if why := _job.reported_failure():
            raise JobError(why)
        time.sleep(LOOK)
    return make()


# ---- one job
@contextmanager
def job(devices: int, num_nodes: int, accelerator: str) -> Iterator[None]:
    """A block that devices x num_nodes processes run together; starts the other ones where no launcher did.

    They run the command line of this process again, up to this block. The block ends everywhere or fails everywhere.

    Raises ConfigError as `check_world`, and for a second job that is started from one process; JobError in place of a collective's
    error where another process failed first.
    """
    check_world(devices, num_nodes)
    here = place()
    if here is None and devices == 1:
        yield
        return
    if _job.ran and (here is None or here.starter == "own"):
        raise ConfigError(
            "This process has run a job of several processes already; a second one would run the first again. Start it anew."
        )
    _job.ran = True
    _job.left.clear()
    try:
        if here is None:
            _start(devices)
        threading.Thread(target=_watch, args=(place(),), daemon=True, name="job-watch").start()
        join(accelerator == "gpu")
        yield
        _wait_for_all()
    except BaseException as error:
        _job.left.set()
        _let_it_be_recorded()
        if why := _failed_elsewhere(error):
            _job.failed = True
            raise JobError(why) from error
        _job.report_failure(error)
        raise
    finally:
        _job.left.set()
        _end_others(PARTING if _job.failed else MEETING.total_seconds())


def _start(devices: int) -> None:
    """Start ranks 1.. on this machine, and be rank 0."""
    _job.base = dist.TCPStore("127.0.0.1", 0, devices, True, MEETING, wait_for_workers=False)
    _job.watched = _job.base.clone()
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_job.base.port), "WORLD_SIZE": str(devices), "NODE_RANK": "0"}
    if sys.platform == "linux":
        shared["GLOO_SOCKET_IFNAME"] = "lo"  # or gloo looks for a network that a laptop may not have
    for rank in range(devices):
        own = {PLACE_VARIABLE: f"{rank}/{devices}/{os.getpid()}", "RANK": str(rank), "LOCAL_RANK": str(rank)}
        if rank == 0:
            _job.variables = [name for name in {**shared, **own} if name not in os.environ]
            os.environ.update(shared | own)
        else:
            _job.others.append(subprocess.Popen(sys.orig_argv, env={**os.environ, **own}, stdin=subprocess.DEVNULL))


def _let_it_be_recorded() -> None:
    """Torchrun ends the rest of a failed job by SIGTERM at once, and after 30 s by SIGKILL: time enough to write down what happened."""
    here = place()
    if here is not None and here.starter == "torchrun" and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _failed_elsewhere(error: BaseException) -> str:
    """Return what failed first, when `error` is only its echo in a collective of this process; else ''."""
    if not isinstance(error, RuntimeError) or _job.place is None:
        return ""
    echo = any(word in str(error).lower() for word in ("connection", "peer", "nccl", "gloo", "timed out", "store"))
    until = time.monotonic() + (GRACE if _job.others else 2.0) * echo
    while not (why := _job.reported_failure() or _job.fallen()) and time.monotonic() < until:
        time.sleep(LOOK)
    return why or (
        "Another process of this job is gone: it was killed, or its own output says why. ckpt_path=last continues a training."
        if echo
        else ""
    )


def _end_others(patience: float) -> None:
    """Wait for the processes that were started from here; those that stay longer than `patience` s are ended."""
    until = time.monotonic() + patience
    for process in _job.others:
        try:
            process.wait(max(until - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            log.warning("A process of this job (%d) did not end by itself: it is ended now.", process.pid)
            process.kill()
            process.wait()
    _job.others = []
    for name in _job.variables:
        os.environ.pop(name, None)
    _job.variables = []


def _watch(here: Place) -> None:
    """Runs beside the main thread: ends this process when another of the job is gone and the main thread does not notice."""
    while not _job.left.wait(LOOK):
        if here.parent is not None and os.getppid() != here.parent:
            _end_now("The process that started this one is gone.", 0.0)
        elif why := _job.fallen() or (_job.reported_failure(_job.watched) if _job.watched is not None else ""):
            _end_now(why, GRACE)


def _end_now(why: str, grace: float) -> None:
    if _job.left.wait(grace):
        return
    for callback in on_failure:
        with suppress(Exception):
            callback(why)
    for process in _job.others:
        process.kill()
    sys.stderr.write(f"{why} This process ends.\n")
    sys.stderr.flush()
    os._exit(1)
