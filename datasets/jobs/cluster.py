"""One function over many tasks on the workers of a dask cluster, with answers like parallel_map's.

What dask gives: tasks of a lost worker run again on another. What is added: tasks that kill worker after worker are an answer, not the end;
a task that is far slower than the others is begun a second time elsewhere once nothing else waits, and the first answer counts; errors that
say what to do. dask.distributed is needed for a `scheduler` only (`pip install distributed dask-jobqueue`).
"""

from __future__ import annotations

import contextlib
import functools
import logging
import pickle
import queue
import signal
import socket
import statistics
import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from models.bounded_files import read_json
from models.errors import ClusterError

from .parallel import Outcome, attempt, parallel_map

if TYPE_CHECKING:
    from distributed import Client, Future

log = logging.getLogger(__name__)
Task = TypeVar("Task")
Value = TypeVar("Value")
ROOT = Path(__file__).resolve().parents[2]
HANDED_OUT = 2  # tasks per worker thread: one runs, one waits there
SLOW = 3.0  # times the median after which a task is begun a second time ...
SLOW_SECONDS = 60.0  # ... and no sooner than this
LOOK = 2.0  # s between two looks at who is slow and which workers there are
TELL = 30.0  # s between two lines that say that there is no worker
OTHERS = ("inproc", "ucx", "ucxx", "ws", "wss")  # protocols of dask that are not knocked at
ANSWER = 15.0  # s in which a scheduler must answer ...
KNOCK = 5.0  # ... and in which someone must listen at its address


@dataclass(frozen=True)
class Cluster:
    """Whose workers do the work. scheduler, workers: of `connect`; None: processes of this machine."""

    scheduler: str | None = None
    workers: int | None = None


LOCAL = Cluster()


def run_tasks(
    function: Callable[[Task], Value],
    tasks: Sequence[Task],
    *,
    client: Client | None = None,
    jobs: int | None = None,
    alone: Callable[[Task], Task] | None = None,
    again: Callable[[Task], Task] | None = None,
) -> Generator[Outcome[Task, Value], None, None]:
    """Run `function` of every task, one Outcome each, as they are done: in processes of this machine (`jobs`), or on a cluster (`client`,
    of `connect`).

    alone: of parallel_map. again: on a cluster, makes of a slow task the one to begin a second time; it must not disturb the first. None: never.
    Function and tasks must be importable on the workers, which run in the same checkout and see the same files.

    Raises ClusterError when the cluster cannot be used, or is lost.
    """
    if client is None:
        yield from parallel_map(function, tasks, jobs, ordered=False, alone=alone)
    else:
        yield from _Run(client, function, again).run(tasks)


def check_place(scheduler: str | None, workers: int | None, jobs: int | None) -> None:
    """Raise ClusterError for a number that would say nothing: workers are SLURM's jobs, jobs are processes of this machine."""
    if workers is not None and scheduler != "slurm":
        has = f"{scheduler} has its own" if scheduler else "on this machine give the number of processes (jobs)"
        raise ClusterError(f"The number of workers is asked of SLURM only (scheduler slurm); {has}.")
    if jobs is not None and scheduler is not None:
        raise ClusterError(
            f"jobs={jobs} is a number of processes of this machine; the work is done by the workers of {scheduler}. Give one of the two."
        )


@contextlib.contextmanager
def connect(scheduler: str | None, workers: int | None = None) -> Iterator[Client | None]:
    """Yield a client of a dask scheduler: its address (tcp://host:8786), its scheduler file (NAME.json), or "slurm": SLURM jobs by dask-jobqueue.

    None: no cluster, and no client. Enter it before anything is written: what cannot be reached then leaves nothing behind.

    workers: of "slurm", how many jobs are asked for (1); their cores, memory, queue, ... come from dask's configuration
    (~/.config/dask/jobqueue.yaml, section jobqueue.slurm). They end with the context.

    Raises ClusterError when dask is not installed, nothing answers, or the configuration does not do.
    """
    if scheduler is None:
        yield None
        return
    try:
        from distributed import Client  # late: not among the requirements
    except ImportError as error:
        raise ClusterError("A scheduler was named, and dask is not installed: pip install distributed dask-jobqueue.") from error
    with contextlib.ExitStack() as stack:
        stack.enter_context(_quiet())
        target: object = scheduler
        if scheduler == "slurm":
            target = stack.enter_context(_slurm(workers or 1))
        try:
            if scheduler != "slurm":
                target = _address(scheduler)
                _knock(str(target))
            client = Client(target, timeout=ANSWER, set_as_default=False)
        except (OSError, TimeoutError, ValueError, ImportError) as error:
            raise ClusterError(
                f"No dask scheduler answers at {scheduler!r} ({type(error).__name__}: {error}). Start one (`dask scheduler`) and workers "
                "(`dask worker tcp://HOST:8786` in this checkout), or name another."
            ) from error
        yield stack.enter_context(client)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Dask writes a traceback for a scheduler that is lost; the ClusterError says it in a sentence."""
    loggers = [logging.getLogger(f"distributed.{part}") for part in ("client", "utils", "comm.core")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)


def _address(scheduler: str) -> str:
    """The scheduler's address, out of its file where it is one. Raises OSError without that file, ValueError for another kind of file."""
    if not scheduler.endswith(".json"):
        return scheduler
    try:
        found = read_json(scheduler, 1 << 20)["address"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"no scheduler's file: it lacks {error}") from None
    if not isinstance(found, str):
        raise ValueError("no scheduler's file: its address is no text")
    return found


def _knock(address: str) -> None:
    """Raise OSError when no scheduler listens there: dask itself would take half a minute to say so, or wait for ever for the first word."""
    protocol, _, place = address.rpartition("://")
    host, _, port = place.rpartition(":")
    if protocol not in ("", "tcp", "tls", *OTHERS):
        raise ValueError(f"{protocol[:40]!r} is no protocol of dask: an address is tcp://HOST:PORT")
    if protocol in OTHERS:
        return
    whole = host and host.isprintable() and " " not in host and len(host) < 256
    if not whole or not port.isascii() or not port.isdigit() or not 0 < int(port[:6]) < 65536:
        raise ValueError("an address is tcp://HOST:PORT")
    until = time.monotonic() + KNOCK
    while True:
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK) as other:
                other.settimeout(ANSWER)
                if protocol != "tls" and not other.recv(1):  # a scheduler speaks first
                    raise ConnectionResetError("it hung up")
            return
        except ConnectionRefusedError:  # perhaps it is only just starting
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def _slurm(jobs: int) -> contextlib.AbstractContextManager:
    """A cluster of SLURM jobs that run in this checkout."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        import dask  # late: not among the requirements
        from dask_jobqueue import SLURMCluster
    except ImportError as error:
        raise ClusterError(
            "SLURM is reached through dask-jobqueue, which is not installed: pip install dask-jobqueue."
        ) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():  # importing it replaces them: Ctrl-C would no longer be a KeyboardInterrupt
                signal.signal(number, handler)
    prologue = [
        *(dask.config.get("jobqueue.slurm.job-script-prologue", None) or []),
        f"cd '{ROOT}'",
        f"export PYTHONPATH='{ROOT}'",
    ]
    try:
        cluster = SLURMCluster(job_script_prologue=prologue)
    except (ValueError, OSError) as error:
        raise ClusterError(
            f"SLURM jobs cannot be described: {error} Say it in ~/.config/dask/jobqueue.yaml, under jobqueue: slurm: (cores, processes, memory, "
            "queue, walltime; see docs/scale.md)."
        ) from error
    cluster.scale(jobs=jobs)
    return cluster


def _by_value() -> Callable[[bytes], object]:
    """What runs a pickled call. A function within a function is sent as it is: the scheduler, which looks at it, need not know this project.

    The bytes are this process's own, and come over the connection by which dask itself sends pickled calls: nothing is read from a file.
    """

    def run(payload: bytes) -> object:
        import pickle  # this function is sent without its module

        return pickle.loads(payload)()

    return run


class _Run:
    """One run_tasks on a cluster."""

    def __init__(self, client: Client, function: Callable, again: Callable | None):
        self.client, self.function, self.again = client, function, again
        self.name = f"{getattr(function, '__name__', 'task')}-{uuid.uuid4().hex[:8]}"
        self.running: dict[Future, tuple[int, object, float]] = {}  # future -> index, task, since when
        self.took: list[float] = []
        self.doubled: set[int] = set()
        self.finished: queue.SimpleQueue[Future] = queue.SimpleQueue()

    def _submit(self, index: int, task: object, workers: list[str] | None = None) -> None:
        copy = index in self.doubled
        payload = pickle.dumps(functools.partial(attempt, self.function, task))
        future = self.client.submit(
            _by_value(),
            payload,
            key=f"{self.name}-{index}{'-again' if copy else ''}",
            pure=False,
            workers=workers,
            allow_other_workers=False,
        )
        self.running[future] = index, task, time.monotonic()
        future.add_done_callback(self.finished.put)

    def run(self, tasks: Sequence[Task]) -> Generator[Outcome[Task, Value], None, None]:
        waiting = iter(enumerate(tasks))
        left = len(tasks)
        answered: set[int] = set()
        looked, told, slots = -1e9, -1e9, 0
        try:
            while left:
                if time.monotonic() - looked > LOOK or not slots:
                    threads = self.client.nthreads()
                    looked, slots = time.monotonic(), HANDED_OUT * sum(threads.values())
                    if not slots and looked - told > TELL:
                        told = looked
                        place = self.client.scheduler.address  # type: ignore[union-attr]  # there is one while it is connected
                        log.info(
                            "Waiting for workers of %s (by hand, in the checkout: PYTHONPATH=$PWD dask worker %s) ...",
                            place,
                            place,
                        )
                for index, task in _take(waiting, max(slots, 1) - len(self.running)):
                    self._submit(index, task)
                for future in self._done():
                    index, _, since = self.running.pop(future)
                    outcome = self._outcome(index, tasks[index], future)
                    answered.add(index)
                    left -= 1
                    self.took.append(time.monotonic() - since)
                    self._forget(index)
                    yield outcome
                if self.again is not None and left and left == len(self.running) - len(self.doubled - answered):
                    self._double_slow_ones(self.again)
        except (OSError, RuntimeError) as error:  # what distributed raises when its scheduler is gone
            raise ClusterError(
                f"The dask scheduler was lost ({type(error).__name__}: {error}). The same command goes on."
            ) from error
        finally:
            with contextlib.suppress(Exception):  # the scheduler may be gone
                self.client.cancel(list(self.running), force=True)

    def _done(self) -> Iterator[Future]:
        """Futures that have ended: waits for the first a while, takes the others that are there."""
        with contextlib.suppress(queue.Empty):
            future = self.finished.get(timeout=LOOK)
            while True:
                if future in self.running:  # else the other begin of its task came first
                    yield future
                future = self.finished.get_nowait()

    def _forget(self, index: int) -> None:
        """The other begin of a task that is answered."""
        for future in [future for future, (other, *_) in self.running.items() if other == index]:
            del self.running[future]
            future.cancel(force=True)

    def _outcome(self, index: int, task: object, future: Future) -> Outcome:
        from distributed import KilledWorker  # late: not among the requirements
        from distributed.client import FutureCancelledError

        if future.cancelled():
            raise ClusterError("The dask scheduler was lost or restarted. The same command goes on.")
        error = future.exception()
        if error is None:
            return Outcome(index, task, *future.result())
        if isinstance(error, KilledWorker):
            return Outcome(index, task, error="It ended its worker process again and again.", crashed=True)
        if isinstance(error, FutureCancelledError):
            raise ClusterError("The dask scheduler was lost or restarted. The same command goes on.") from error
        if isinstance(error, ImportError | AttributeError):
            raise ClusterError(
                f"The workers cannot import this project ({error}). Start them in its folder with the same Python: "
                f"cd {ROOT} && PYTHONPATH={ROOT} dask worker tcp://HOST:8786."
            ) from error
        raise error

    def _double_slow_ones(self, again: Callable) -> None:
        """Begin again, on a worker that has nothing to do, what takes far longer than its like."""
        limit = max(SLOW_SECONDS, SLOW * statistics.median(self.took)) if self.took else SLOW_SECONDS
        slow = [(index, task) for index, task, since in self.running.values() if time.monotonic() - since > limit]
        slow = [(index, task) for index, task in slow if index not in self.doubled]
        if not slow:
            return
        idle = [worker for worker, keys in self.client.processing().items() if not keys]
        for (index, task), worker in zip(slow, idle):
            log.info("Task %d takes long; it is begun a second time on %s.", index, worker)
            self.doubled.add(index)
            self._submit(index, again(task), [worker])


def _take(waiting: Iterator[tuple[int, Task]], n: int) -> Iterator[tuple[int, Task]]:
    for _ in range(n):
        try:
            yield next(waiting)
        except StopIteration:
            return
