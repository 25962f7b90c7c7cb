"""An iterator that works ahead in a thread of its own: decoding and front end run while the network does."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


class _Failed:
    def __init__(self, error: BaseException):
        self.error = error


def ahead(items: Iterable[Item], depth: int = 2) -> Iterator[Item]:
    """The same items in the same order, at most `depth` of them made before they are asked for.

    What making an item raises is raised here, in its place. The thread ends with the iterator, also when that is left early.
    """
    yield from begun(items, depth)


def begun(items: Iterable[Item], depth: int = 2) -> Generator[Item, None, None]:
    """`ahead`, already at work: the first items are being made before any is asked for. Its `close` ends the thread."""
    working = _working(items, depth)
    next(working)
    return working


def _working(items: Iterable[Item], depth: int) -> Generator[Item, None, None]:
    made: queue.Queue[object] = queue.Queue(max(1, depth))
    left, end = threading.Event(), object()

    def put(item: object) -> bool:
        while not left.is_set():
            try:
                made.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not put(item):
                    return
            put(end)
        except BaseException as error:  # noqa: BLE001  raised where the items are asked for
            put(_Failed(error))

    thread = threading.Thread(target=work, name="ahead", daemon=True)
    thread.start()
    try:
        yield None  # type: ignore[misc]  # what `begun` asks for
        while (item := made.get()) is not end:
            if isinstance(item, _Failed):
                raise item.error
            yield item  # type: ignore[misc]
    finally:
        left.set()
        thread.join()
