"""What is this music? Files or folders of audio through a network with named classes: a table on the screen, pages, csv and json.

Memory does not grow with the number or length of the files; tables are written as results come, and take their names when they are whole.
"""

from __future__ import annotations

import csv
import json
import logging
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from datasets.progress import JobProgress
from models.audio import find_audio, info
from models.errors import AudioError, ConfigError
from models.maest import MAEST
from models.tagging import Tagged, tag_many

from .devices import autocast
from .files import atomic
from .track_page import Row, clock, folder_page, player, readable, shown, track_page

log = logging.getLogger(__name__)
ON_SCREEN = 3  # classes per recording in a folder's table


@dataclass(frozen=True)
class Prediction:
    """What `predict` did: recordings with their most probable classes, files that could not be used and why, and what was written."""

    rows: list[Row]
    failed: list[tuple[str, str]]
    written: list[Path]


def audio_files(audio: str | Path) -> tuple[Path, list[str]]:
    """A folder and the relative names of the audio files to take: all below `audio`, or `audio` itself.

    Raises AudioError for a path that is not there or a folder without audio.
    """
    path = Path(audio)
    if path.is_dir():
        names = find_audio(path)
        if not names:
            raise AudioError(f"There is no audio file in {path}.")
        return path, names
    if not path.exists():
        raise AudioError(f"{path} is not there: predict.audio names an audio file, or a folder of them.")
    return path.parent, [path.name]


def predict(
    network: MAEST,
    audio: str | Path,
    out: str | Path,
    *,
    about: dict[str, Any] | None = None,
    top: int = 10,
    hop_seconds: float | None = None,
    batch_size: int = 8,
    precision: str = "32",
    html: bool = True,
    csv_tables: bool = False,
    json_table: bool = False,
    player_minutes: float = 10.0,
    neighbours: Callable[[str], Sequence[tuple[str, float]]] | None = None,
    notes: Sequence[str] = (),
) -> Prediction:
    """Tag an audio file, or all in a folder.

    Writes into the folder `<out>/<name of audio>`: with `html` index.html and for a folder a page per recording below tracks/; with `csv_tables`
    predictions.csv (a row per recording) and windows.csv (a row per window), a column per label; with `json_table` predictions.json.

    network: on the device that shall compute. about: settings to list on the pages. top: classes shown. hop_seconds: between two windows' starts
    (default: their length). precision: as in extraction. player_minutes: recordings up to this length are part of their pages, to be played.
    neighbours: nearest recordings of a name, for its page. notes: lines for the pages.

    A file of a folder that cannot be used is named and left out. Raises AudioError when it is the only one, or none can be used.
    """
    root, names = audio_files(audio)
    single = not Path(audio).is_dir()
    if top < 1:
        raise ConfigError(f"predict.top is {top}; show at least one class.")
    where = Path(out) / Path(audio).resolve().name
    rows: list[Row] = []
    failed: list[tuple[str, str]] = []
    settings = {"labels": network.n_classes, "window": f"{network.max_seconds:g} s", **(about or {})}
    with ExitStack() as stack:
        tables: list[_Table] = []
        if csv_tables:
            tables.append(_Tracks(stack.enter_context(_text(where / "predictions.csv")), network.label_names))
            tables.append(_Windows(stack.enter_context(_text(where / "windows.csv")), network.label_names))
        if json_table:
            tables.append(_Json(stack.enter_context(_text(where / "predictions.json")), network.label_names, settings))
        progress = stack.enter_context(JobProgress("Listening", _count(root, names, network, hop_seconds), "windows"))
        stack.enter_context(autocast(network.device.type, precision))
        results = tag_many(
            network, (root / name for name in names), hop_seconds=hop_seconds, batch_size=batch_size, on_windows=progress.advance
        )
        for name, heard in zip(names, results):
            if isinstance(heard, AudioError):
                if single:
                    raise heard
                failed.append((name, str(heard)))
                log.warning("Left out: %s", readable(str(heard)))
                continue
            href = "index.html" if single else f"tracks/{name}.html"
            rows.append(Row(name, heard.duration, heard.top(top if single else ON_SCREEN), href))
            for one in tables:
                one.write(name, heard)
            if html:
                near = neighbours(name) if neighbours is not None else ()
                sound = player(root / name, heard.duration, player_minutes)
                with atomic(where / href) as part:
                    part.write_text(
                        track_page(name, heard, sound, {**settings, **_source(heard)}, top, notes, near), encoding="utf-8"
                    )
        if not rows:
            raise AudioError(f"None of the {len(names)} files in {root} can be used. The first: {failed[0][1]}")
        for one in tables:
            one.finish()
        if html and not single:
            with atomic(where / "index.html") as part:
                part.write_text(folder_page(Path(audio).resolve().name, rows, failed, settings), encoding="utf-8")
    written = [where / "index.html"] if html else []
    written += [
        where / n
        for n, on in (("predictions.csv", csv_tables), ("windows.csv", csv_tables), ("predictions.json", json_table))
        if on
    ]
    return Prediction(rows, failed, written)


def print_prediction(found: Prediction, console: Console | None = None) -> None:
    """The recordings with their most probable classes: one as a list, several a row each."""
    console = console or Console()
    rows = found.rows
    single = len(rows) == 1 and not found.failed
    title = Text(f"{readable(rows[0].name)} ({clock(rows[0].duration)})" if single else f"{len(rows)} recordings", style="bold")
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    if single:
        table.add_column("class", overflow="fold")
        table.add_column("probability", justify="right")
        for label, p in rows[0].top:
            table.add_row(Text(shown(label)), f"{p:.3f}")
    else:
        table.add_column("recording", overflow="fold")
        table.add_column("length", justify="right", no_wrap=True)
        table.add_column("most probable", overflow="fold")
        for row in rows:
            best = ", ".join(f"{shown(label)} {p:.2f}" for label, p in row.top[:ON_SCREEN])
            table.add_row(Text(readable(row.name)), clock(row.duration), Text(best))
    console.print(table)
    if found.failed:
        console.print(f"{len(found.failed)} files could not be used.", style="bold")


# ---- tables
class _Table:
    """Something that takes one recording after the other."""

    def write(self, name: str, heard: Tagged) -> None:
        raise NotImplementedError

    def finish(self) -> None:
        """What stands behind the last recording."""


class _Tracks(_Table):
    def __init__(self, file: TextIO, labels: Sequence[str]):
        self._rows = csv.writer(file)
        self._rows.writerow(["path", "seconds", "model", "licence", *labels])

    def write(self, name: str, heard: Tagged) -> None:
        self._rows.writerow(
            [_text_name(name), f"{heard.duration:.3f}", heard.model or "", heard.licence or "", *_digits(heard.probabilities)]
        )


class _Windows(_Table):
    def __init__(self, file: TextIO, labels: Sequence[str]):
        self._rows = csv.writer(file)
        self._rows.writerow(["path", "start", "end", *labels])

    def write(self, name: str, heard: Tagged) -> None:
        for (start, end), row in zip(heard.times, heard.windows):
            self._rows.writerow([_text_name(name), f"{start:.3f}", f"{end:.3f}", *_digits(row)])


class _Json(_Table):
    def __init__(self, file: TextIO, labels: Sequence[str], about: dict[str, Any]):
        self._file, self._first = file, True
        head = json.dumps({"about": about, "labels": list(labels)}, ensure_ascii=False, default=str)
        file.write(f'{head[:-1]}, "tracks": [')

    def write(self, name: str, heard: Tagged) -> None:
        windows = [
            {"start": round(float(start), 3), "end": round(float(end), 3), "probabilities": [round(float(p), 6) for p in row]}
            for (start, end), row in zip(heard.times, heard.windows)
        ]
        entry = {
            "path": _text_name(name),
            "seconds": round(heard.duration, 3),
            "model": heard.model,
            "licence": heard.licence,
            "probabilities": {label: round(float(p), 6) for label, p in zip(heard.labels, heard.probabilities)},
            "genres": {genre: round(p, 6) for genre, p in heard.genres()},
            "windows": windows,
        }
        self._file.write(("\n" if self._first else ",\n") + json.dumps(entry, ensure_ascii=False))
        self._first = False

    def finish(self) -> None:
        self._file.write("\n]}\n")


def _digits(values: Iterable[Any]) -> list[str]:
    return [f"{float(v):.6f}" for v in values]


def _text_name(name: str) -> str:
    """The name as it is, line breaks and all; only bytes that are no text are replaced."""
    return os.fsencode(name).decode("utf-8", "replace")


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    """A text file that takes its name when the block ends well."""
    with atomic(path) as part, open(part, "w", newline="", encoding="utf-8") as file:
        yield file


# ---- how
def _count(root: Path, names: Sequence[str], network: MAEST, hop_seconds: float | None) -> int:
    """About how many windows there are, from the files' headers."""
    total = 0
    for name in names:
        try:
            duration = info(root / name).duration
        except AudioError:
            continue  # said when its turn comes
        total += max(1, math.ceil((duration - network.max_seconds) / (hop_seconds or network.max_seconds)) + 1)
    return total


def _source(heard: Tagged) -> dict[str, str]:
    return {"model": heard.model or "own weights", "licence of the weights": heard.licence or "not stated"}
