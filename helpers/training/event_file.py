"""TensorBoard's event files, written record by record: what was logged is in the file when `add` returns, and a resumed run rewrites them.

torch's SummaryWriter queues records in a thread, which a full disk stops for good, and marks a restart for the reader to drop repeated
steps. Here the folder holds each step once.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from datasets.utils.files import atomic
from models.bounded_files import never_through_a_link


class Scalar(NamedTuple):
    """One logged number. at: seconds since 1970."""

    tag: str
    value: float
    step: int
    at: float


class Histogram(NamedTuple):
    """How often each whole number 0..n-1 came: counts. at: seconds since 1970."""

    tag: str
    counts: Sequence[int]
    step: int
    at: float


class EventFile:
    """The one event file of `folder`, begun with `rows`: it takes the place of those that are there."""

    def __init__(self, folder: Path, rows: Iterable[Scalar | Histogram] = ()):
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        older = list(folder.glob("events.out.tfevents.*"))
        path = folder / f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
        now = time.time()
        with atomic(path) as part, part.open("wb") as file:
            record = RecordWriter(file)
            record.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
            # a TensorBoard that is open drops what it has read from the older files
            restart = Event(wall_time=now, step=0, session_log=SessionLog(status=SessionLog.START))
            record.write(restart.SerializeToString())
            for row in rows:
                record.write(_event(row).SerializeToString())
        for old in older:
            if old != path:
                old.unlink()
        self._file = open(path, "ab", opener=never_through_a_link)  # noqa: SIM115  closed in close
        self._record = RecordWriter(self._file)

    def add(self, row: Scalar | Histogram) -> None:
        """Write one number, or one histogram."""
        self._record.write(_event(row).SerializeToString())
        self._file.flush()

    def close(self) -> None:
        """No more is to come."""
        self._file.close()


def _event(row: Scalar | Histogram) -> Any:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary

    if isinstance(row, Scalar):
        value = Summary.Value(tag=row.tag, simple_value=row.value)
    else:
        n, counts = len(row.counts), list(row.counts)
        histogram = HistogramProto(
            min=-0.5, max=n - 0.5, num=sum(counts), sum=sum(i * c for i, c in enumerate(counts)),
            sum_squares=sum(i * i * c for i, c in enumerate(counts)), bucket_limit=[i + 0.5 for i in range(n)], bucket=counts,
        )  # fmt: skip
        value = Summary.Value(tag=row.tag, histo=histogram)
    return Event(wall_time=row.at, step=row.step, summary=Summary(value=[value]))
