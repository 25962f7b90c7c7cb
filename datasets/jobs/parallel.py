"""One function over many items in worker processes, for jobs that run for hours.

What plain pools do not give: memory stays flat (only a few items are under way or waiting to be taken), an item that fails is an
answer and not the end of the job, and so is an item that kills its worker (a crash in a decoder, the kernel's out-of-memory
killer): the items that were under way with it are done again, one at a time, and only the one that kills again is given up.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from joblib import cpu_count
from joblib.externals.loky.process_executor import ProcessPoolExecutor

Item = TypeVar("Item")
Value = TypeVar("Value")
UNDER_WAY = (
    2  # items handed out per worker; no more than its executor's queue takes, which ends cleanly only when none wait before it
)
WAITING = 6  # items under way or done and waiting for their turn, per worker: one long item does not stop the others at once
WATCHED = 15.0  # seconds
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Outcome(Generic[Item, Value]):
    """What became of one item: its value, or the error in words (then `value` is None). `index` is its place in the input.

    lasting: the item itself is at fault, and would be again; False where the reason may pass (a disk, a missing library, a kill).
    crashed: it ended the process that was at it.
    """

    index: int
    item: Item
    value: Value | None = None
    error: str | None = None
    lasting: bool = False
    crashed: bool = False


def parallel_map(
    function: Callable[[Item], Value],
    items: Iterable[Item],
    jobs: int | None = None,
    ordered: bool = True,
    alone: Callable[[Item], Item] | None = None,
    watch: Callable[[], object] = lambda: None,
) -> Generator[Outcome[Item, Value], None, None]:
    """Run `function` of every item, in `jobs` processes (None: one per usable core), one Outcome per item.

    ordered: in the order of `items`, so that what is made of them does not depend on `jobs`; else as they are done. `items` is
    read as it is needed. Workers compute with one thread each, start fresh (spawned), and end when this process does, even when
    it is killed. With jobs=1 all happens in this process: nothing is started, but a crash is then this process's.

    alone: makes of an item that is done again alone, after some worker died, the one that says so: where a worker dies all are ended, and only
    of an item alone in its process is it known that the death was its own (with jobs=1 each is; it is applied to none).

    watch: called before each item is handed on, and every WATCHED seconds while none is done (with jobs=1 only between items); what it raises ends
    the work: somebody may have removed what all this is for.

    `function` must be importable in a worker (a module's function, or functools.partial of one); what it needs that is heavy it
    should import itself. Closing the iterator ends the workers.

    Raises ValueError for jobs < 1.
    """
    jobs = cpu_count() if jobs is None else jobs
    if jobs < 1:
        raise ValueError(f"jobs is {jobs}; it is the number of worker processes, 1 or more.")
    numbered = enumerate(items)
    if jobs == 1:
        return _one_by_one(function, numbered, watch)
    return _Pool(function, jobs, alone, watch).run(numbered, ordered)


def _one_by_one(
    function: Callable, numbered: Iterable[tuple[int, Item]], watch: Callable[[], object]
) -> Generator[Outcome[Item, Value], None, None]:
    for index, item in numbered:
        answer = attempt(function, item)
        watch()
        yield _outcome(index, item, answer)


Answer = tuple[Any, str | None, bool]  # value, error in words, whether the error is lasting


def attempt(function: Callable[[Item], Value], item: Item) -> Answer:
    """Return (value, None, False), or (None, error in words, lasting). ValueErrors of this project explain themselves; others are named."""
    try:
        return function(item), None, False
    except Exception as error:  # noqa: BLE001  one item's failure, of whatever kind, is that item's answer
        words, own = str(error), isinstance(error, ValueError)
        lasting = own and not isinstance(error.__cause__, OSError | ImportError)
        return None, words if own and words else f"{type(error).__name__}: {words}", lasting


def _outcome(index: int, item: Item, answer: Answer) -> Outcome[Item, Value]:
    return Outcome(index, item, *answer)


def _begin_worker(parent: int) -> None:
    """In a worker: Ctrl-C is the parent's to answer, and there is no life after the parent's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class _Pool:
    """The worker processes of one parallel_map and what to do when one of them dies."""

    def __init__(self, function: Callable, jobs: int, alone: Callable | None = None, watch: Callable[[], object] = lambda: None):
        self.function, self.jobs, self.alone, self.watch = function, jobs, alone, watch
        self._executor: ProcessPoolExecutor | None = None

    def _start(self, jobs: int) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(jobs, initializer=_begin_worker, initargs=(os.getpid(),), env=_ONE_THREAD)

    def _submit(self, item: object) -> Future:
        if self._executor is None:
            self._executor = self._start(self.jobs)
        return self._executor.submit(attempt, self.function, item)

    def run(self, numbered: Iterator[tuple[int, Item]], ordered: bool) -> Generator[Outcome[Item, Value], None, None]:
        under_way: dict[Future, tuple[int, Item]] = {}  # in the order they were begun
        try:
            while True:
                busy = [future for future in under_way if not future.done()]
                room = min(UNDER_WAY * self.jobs - len(busy), WAITING * self.jobs - len(under_way))
                for index, item in itertools.islice(numbered, room):
                    future = self._submit_safely(item)
                    under_way[future] = (index, item)
                    busy.append(future)
                if not under_way:
                    return
                first = next(iter(under_way))
                done = [first] if ordered else [future for future in under_way if future.done()]
                if not (done and done[0].done()):
                    wait(busy, WATCHED, return_when=FIRST_COMPLETED)
                    self.watch()
                    continue
                if any(isinstance(future.exception(), BrokenProcessPool) for future in done):
                    yield from self._recover(under_way)
                    under_way.clear()
                    continue
                self.watch()
                for future in done:
                    yield _outcome(*under_way.pop(future), self._answer(future))
        finally:
            self._end(under_way)

    def _submit_safely(self, item: object) -> Future:
        """A worker may have died since the last look: what is submitted then fails like those under way, and is done again with
        them.
        """
        try:
            return self._submit(item)
        except BrokenProcessPool as error:
            failed: Future = Future()
            failed.set_exception(error)
            return failed

    def _answer(self, future: Future) -> Answer:
        error = future.exception()
        if error is None:
            return future.result()
        return None, f"Its result could not be brought back: {type(error).__name__}: {error}", False

    def _recover(self, under_way: dict[Future, tuple[int, Item]]) -> Iterator[Outcome[Item, Value]]:
        """A worker died. Keep what is finished, do the rest again one at a time, each alone in a worker of its own pool."""
        self._end()
        self._executor = self._start(1)
        for future, (index, item) in under_way.items():
            if future.done() and not future.cancelled() and future.exception() is None:
                yield _outcome(index, item, future.result())
                continue
            again = self._executor.submit(attempt, self.function, item if self.alone is None else self.alone(item))
            error = again.exception()
            if isinstance(error, BrokenProcessPool):
                self._end()
                self._executor = self._start(1)
                code = re.search(r"\{(.*?)\}", str(error))  # "The exit codes of the workers are {SIGKILL(-9)}"
                why = f"It ended its worker process, also alone ({code[1] if code else 'no exit code'})."
                yield Outcome(index, item, error=why, crashed=True)
            else:
                yield _outcome(index, item, self._answer(again))
        self._end()

    def _end(self, under_way: Iterable[Future] = ()) -> None:
        """Stop the workers, in the middle of their items where there are some."""
        if self._executor is not None:
            # loky's own thread fails when it is told to stop between taking an item and handing it out, a matter of a millisecond.
            until = time.monotonic() + 2
            while not all(future.running() or future.done() for future in under_way) and time.monotonic() < until:
                time.sleep(0.001)
            self._executor.shutdown(wait=True, kill_workers=True)
            self._executor = None
