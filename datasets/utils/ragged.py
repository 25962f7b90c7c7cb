"""Arrays of unlike length, one per track, as one array: what frame-level tasks have in place of a row per track."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np


class Ragged:
    """Rows of N tracks, one track after the other.

    values: [R, K], or [S, R, K] for S sets of them (seeds). lengths: int [N], rows of each track, whose sum is R.
    width: L, what `shape` says of the last axis (none: K); of annotations the number of labels.
    times: of frames [R, 2], start and end of each in seconds.

    `shape` is [N, L] or [S, N, L], as that of the arrays that other tasks have. A number picks a set of [S, R, K]; an array of numbers, or bool [N],
    picks tracks.
    """

    def __init__(
        self, values: np.ndarray, lengths: Sequence[int] | np.ndarray, width: int | None = None, times: np.ndarray | None = None
    ):
        self.values, self.lengths = np.asarray(values), np.asarray(lengths, dtype=np.int64)
        self.width = int(self.values.shape[-1] if width is None else width)
        self.times = times
        self.starts = np.cumsum(self.lengths) - self.lengths
        n = int(self.lengths.sum())
        if self.values.shape[-2] != n or (times is not None and times.shape != (n, 2)):
            raise ValueError(f"Tracks of {n} rows together do not fit values {self.values.shape}, or their times.")

    @property
    def shape(self) -> tuple[int, ...]:
        """[N, L], or [S, N, L]."""
        return (*self.values.shape[:-2], len(self.lengths), self.width)

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        """Yield the sets of [S, R, K], else the rows of each track."""
        return (self[i] for i in range(len(self))) if self.values.ndim == 3 else (self.track(i) for i in range(len(self)))

    def rows_of(self, i: int) -> slice:
        """Return where a track's rows stand."""
        return slice(int(self.starts[i]), int(self.starts[i] + self.lengths[i]))

    def track(self, i: int) -> np.ndarray:
        """Return the rows of a track, [n, K]."""
        found: np.ndarray = self.values[..., self.rows_of(i), :]
        return found

    def spans(self, i: int) -> np.ndarray:
        """Return start and end of a track's frames in seconds, [n, 2]. Raises ValueError where they are not known."""
        if self.times is None:
            raise ValueError("These rows have no times.")
        return self.times[self.rows_of(i)]

    def __getitem__(self, which: Any) -> Any:
        if isinstance(which, tuple):
            return self.presence()[which]
        if self.values.ndim == 3:
            return Ragged(self.values[which], self.lengths, self.width, self.times)
        which = np.asarray(which)
        tracks = np.flatnonzero(which) if which.dtype == bool else which.astype(np.int64)
        rows = self.row_numbers(tracks)
        times = None if self.times is None else self.times[rows]
        return Ragged(self.values[rows], self.lengths[tracks], self.width, times)

    def row_numbers(self, tracks: np.ndarray) -> np.ndarray:
        """Return the numbers of the rows of some tracks, one track after the other."""
        lengths = self.lengths[tracks]
        within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return np.repeat(self.starts[tracks], lengths) + within

    # ---- of annotations, whose last column numbers a label
    def presence(self) -> np.ndarray:
        """Return which labels each track has, bool [N, L]; a label below 0 is none."""
        found = np.zeros((len(self.lengths), self.width), dtype=bool)
        labels = self.values[:, -1].astype(np.int64)
        track = np.repeat(np.arange(len(self.lengths)), self.lengths)
        found[track[labels >= 0], labels[labels >= 0]] = True
        return found

    def any(self, axis: int | None = None) -> Any:
        """Return whether any track has (axis 0: each) label."""
        return self.presence().any(axis=axis)

    def sum(self, axis: int | None = None) -> Any:
        """Return how many tracks have (axis 0: each) label."""
        return self.presence().sum(axis=axis)

    # ---- files
    def tobytes(self) -> bytes:
        """Return everything that tells it from another, as bytes."""
        times = b"" if self.times is None else np.ascontiguousarray(self.times).tobytes()
        return np.ascontiguousarray(self.values).tobytes() + self.lengths.tobytes() + bytes(str(self.width), "ascii") + times

    def packed(self, name: str) -> dict[str, np.ndarray]:
        """Return it as arrays of a file whose names begin with `name`."""
        times = {} if self.times is None else {f"{name}_times": self.times}
        return {f"{name}_rows": self.values, f"{name}_lengths": self.lengths, f"{name}_width": np.array(self.width), **times}

    @staticmethod
    def unpacked(name: str, arrays: Mapping[str, np.ndarray]) -> Ragged:
        """Return what `packed` made arrays of."""
        return Ragged(
            arrays[f"{name}_rows"], arrays[f"{name}_lengths"], int(arrays[f"{name}_width"]), arrays.get(f"{name}_times", None)
        )


def joined(parts: Sequence[Any]) -> Any:
    """Return the tracks of several arrays [N, L], or of several Ragged, as one."""
    if not isinstance(parts[0], Ragged):
        return np.concatenate(parts)
    lengths = np.concatenate([part.lengths for part in parts])
    return Ragged(np.concatenate([part.values for part in parts]), lengths, parts[0].width)


def stacked(parts: Sequence[Any]) -> Any:
    """Return the sets of several arrays [S, N, L], or of several Ragged of the same tracks, as one."""
    if not isinstance(parts[0], Ragged):
        return np.concatenate(parts)
    return Ragged(np.concatenate([part.values for part in parts]), parts[0].lengths, parts[0].width, parts[0].times)


def equal(a: Any, b: Any) -> bool:
    """Return whether two arrays, or two Ragged, hold the same."""
    if isinstance(a, Ragged) or isinstance(b, Ragged):
        return isinstance(a, Ragged) and isinstance(b, Ragged) and a.tobytes() == b.tobytes()
    return bool(np.array_equal(a, b))
