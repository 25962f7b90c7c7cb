"""Predictions as tables for other programs: csv, json, parquet, with label names, per recording and per window.

Rows are written as results come, so that memory grows with no file's length; a table takes its name when it is whole.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol, TextIO

from datasets.utils.files import atomic
from datasets.utils.spreadsheet import safe_cell
from models.errors import ConfigError, nearest
from models.tagging import Tagged

from ..utils.json_values import plain

TRACKS, WINDOWS = ("path", "seconds", "model", "licence", "remark"), ("path", "start", "end", "model")
UNUSABLE = "unusable.csv"
ROWS_PER_GROUP = 256  # of a parquet file: 400 float32 columns are 0.4 MB


class Table(Protocol):
    """Something that takes one recording after the other."""

    def write(self, name: str, heard: Tagged, remark: str = "") -> None:
        """Take a recording. remark: what makes its numbers mean less than they seem to; "" for nothing."""

    def close(self) -> None:
        """What stands behind the last recording."""


@contextmanager
def open_tables(folder: Path, formats: Sequence[str], labels: Sequence[str], about: Mapping[str, Any]) -> Iterator[list[Table]]:
    """Tables below `folder` that take recordings, and their names when the block ends well (`table_files` tells which).

    formats: any of csv, json, parquet. about: settings that are stored with the predictions where the format has a place for them.
    Raises ConfigError for another format.
    """
    makers = {"csv": _csv, "json": _json, "parquet": _parquet}
    for one in formats:
        if one not in makers:
            raise ConfigError(f"There is no table format '{one}'; choose of {', '.join(makers)}.{nearest(one, makers)}")
    with ExitStack() as stack:
        yield [table for one in formats for table in makers[one](stack, folder, labels, about)]


def table_files(folder: Path, formats: Sequence[str]) -> list[Path]:
    """The files that `open_tables` leaves."""
    names = {"csv": ("predictions.csv", "windows.csv"), "json": ("predictions.json",)}
    names["parquet"] = ("predictions.parquet", "windows.parquet")
    return [folder / name for one in formats for name in names[one]]


def write_unusable(folder: Path, failed: Sequence[tuple[str, str]]) -> Path | None:
    """The table unusable.csv, of path and reason; where nothing failed there is none, and one of an earlier prediction goes."""
    path = folder / UNUSABLE
    if not failed:
        path.unlink(missing_ok=True)
        return None
    with _text(path) as file:
        rows = csv.writer(file)
        rows.writerow(["path", "reason"])
        rows.writerows([safe_cell(text_name(name)), safe_cell(text_name(reason))] for name, reason in failed)
    return path


# ---- the columns
def _track_row(name: str, heard: Tagged, remark: str) -> list[Any]:
    return [text_name(name), round(heard.duration, 3), heard.model, heard.licence, remark or None]


def _window_rows(name: str, heard: Tagged) -> Iterator[tuple[list[Any], Any]]:
    for (start, end), row in zip(heard.times, heard.windows):
        yield [text_name(name), round(float(start), 3), round(float(end), 3), heard.model], row


def text_name(name: str) -> str:
    """The name as it is, line breaks and all; only bytes that are no text are replaced."""
    return os.fsencode(name).decode("utf-8", "replace")


# ---- csv
def _csv(stack: ExitStack, folder: Path, labels: Sequence[str], about: Mapping[str, Any]) -> list[Table]:
    return [
        _CsvTracks(stack.enter_context(_text(folder / "predictions.csv")), labels),
        _CsvWindows(stack.enter_context(_text(folder / "windows.csv")), labels),
    ]


class _CsvTracks:
    def __init__(self, file: TextIO, labels: Sequence[str]):
        self._rows = csv.writer(file)
        self._rows.writerow([*TRACKS, *map(safe_cell, labels)])

    def write(self, name: str, heard: Tagged, remark: str = "") -> None:
        path, seconds, *rest = _track_row(name, heard, remark)
        texts = [safe_cell(one) if isinstance(one, str) else one for one in rest]
        self._rows.writerow([safe_cell(path), f"{seconds:.3f}", *texts, *_digits(heard.probabilities)])

    def close(self) -> None:
        """A csv file has no end."""


class _CsvWindows:
    def __init__(self, file: TextIO, labels: Sequence[str]):
        self._rows = csv.writer(file)
        self._rows.writerow([*WINDOWS, *map(safe_cell, labels)])

    def write(self, name: str, heard: Tagged, remark: str = "") -> None:
        for (path, start, end, model), row in _window_rows(name, heard):
            of = safe_cell(model) if isinstance(model, str) else model
            self._rows.writerow([safe_cell(path), f"{start:.3f}", f"{end:.3f}", of, *_digits(row)])

    def close(self) -> None:
        """A csv file has no end."""


def _digits(values: Iterable[Any]) -> list[str]:
    return [f"{float(v):.6f}" for v in values]


# ---- json
def _json(stack: ExitStack, folder: Path, labels: Sequence[str], about: Mapping[str, Any]) -> list[Table]:
    return [_Json(stack.enter_context(_text(folder / "predictions.json")), labels, about)]


class _Json:
    def __init__(self, file: TextIO, labels: Sequence[str], about: Mapping[str, Any]):
        self._file, self._first = file, True
        head = json.dumps({"about": plain(dict(about)), "labels": list(labels)}, ensure_ascii=False)
        file.write(f'{head[:-1]}, "tracks": [')

    def write(self, name: str, heard: Tagged, remark: str = "") -> None:
        windows = [
            {**dict(zip(WINDOWS[1:3], span[1:3])), "probabilities": [round(float(p), 6) for p in row]}
            for span, row in _window_rows(name, heard)
        ]
        entry = {
            **dict(zip(TRACKS, _track_row(name, heard, remark))),
            "probabilities": {label: round(float(p), 6) for label, p in zip(heard.labels, heard.probabilities)},
            "genres": {genre: round(p, 6) for genre, p in heard.genres()},
            "windows": windows,
        }
        self._file.write(("\n" if self._first else ",\n") + json.dumps(entry, ensure_ascii=False))
        self._first = False

    def close(self) -> None:
        self._file.write("\n]}\n")


# ---- parquet
def _parquet(stack: ExitStack, folder: Path, labels: Sequence[str], about: Mapping[str, Any]) -> list[Table]:
    return [
        _Parquet(stack.enter_context(atomic(folder / f"{name}.parquet")), columns, labels, about)
        for name, columns in (("predictions", TRACKS), ("windows", WINDOWS))
    ]


class _Parquet:
    """One file, of recordings or of windows; settings stand in the schema's metadata under "about" (json)."""

    def __init__(self, path: Path, columns: Sequence[str], labels: Sequence[str], about: Mapping[str, Any]):
        import pyarrow as pa
        from pyarrow import parquet

        kinds = {"path": pa.string(), "model": pa.string(), "licence": pa.string(), "remark": pa.string()}
        fields = [pa.field(name, kinds.get(name, pa.float64())) for name in columns]
        fields += [pa.field(label, pa.float32()) for label in labels]
        about_json = json.dumps(plain(dict(about)), ensure_ascii=False)
        self._schema = pa.schema(fields, metadata={"about": about_json.encode()})
        self._file = parquet.ParquetWriter(path, self._schema, compression="zstd")
        self._per_window = columns is WINDOWS
        self._rows: list[list[Any]] = []

    def write(self, name: str, heard: Tagged, remark: str = "") -> None:
        rows = _window_rows(name, heard) if self._per_window else [(_track_row(name, heard, remark), heard.probabilities)]
        for row, probabilities in rows:
            self._rows.append([*row, *probabilities.tolist()])
            if len(self._rows) == ROWS_PER_GROUP:
                self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        columns = zip(*self._rows) if self._rows else [()] * len(self._schema)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema)]
        self._file.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._rows.clear()

    def close(self) -> None:
        if self._rows:
            self._flush()
        self._file.close()


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    """A text file that takes its name when the block ends well."""
    with atomic(path) as part, open(part, "w", newline="", encoding="utf-8") as file:
        yield file
