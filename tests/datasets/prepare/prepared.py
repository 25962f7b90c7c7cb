"""What a preparation left: the files that failed, and whether two stores are the same."""

from __future__ import annotations

import csv

import numpy as np

from datasets.store.track_store import TrackStore


def failed_of(out):
    with open(out / "failed.csv", newline="") as file:
        return {row["file"]: row["reason"] for row in csv.DictReader(file)}


def same(a, b):
    a, b = TrackStore.open(a), TrackStore.open(b)
    assert a.names == b.names
    assert a.attrs == b.attrs
    assert all(np.array_equal(a.read(name), b.read(name)) for name in a.names)
