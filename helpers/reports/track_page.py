"""The page of one recording: what was heard in it over time, under its spectrogram, beside its sound; and the page of a folder of them.

Pages are self-contained: pictures and sound are part of them, nothing is fetched. Text comes from file names and labels and is escaped.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from markupsafe import Markup

from models.tagging import SEPARATOR, Tagged

from .images import heat_map, spectrogram
from .pages import TableContent, render
from .sound import embedded_sound

COLUMNS = 900  # of the heat map
MAX_WINDOWS = 500  # listed
EACH_ITS_OWN = "Each class has a probability of its own: they do not add up to 1."
ONE_OF_ALL = "The classes exclude each other: their probabilities add up to 1."


@dataclass(frozen=True)
class Row:
    """A recording on a folder's page. href: of its own page, relative. remark: what makes its numbers mean less, "" for nothing."""

    name: str
    duration: float
    top: Sequence[tuple[str, float]]
    href: str
    remark: str = ""


def readable(name: str) -> str:
    """A file's name as text: bytes that are none become �, line breaks a visible sign."""
    try:
        text = os.fsencode(name).decode("utf-8", "replace")
    except UnicodeEncodeError:  # half a character, which no file's name can hold
        text = name
    return "".join(c if c.isprintable() else "␤" if c == "\n" else "�" for c in text)


def clock(seconds: float, fine: bool = True) -> str:
    """1:02:03, 4:05, or (fine) 0:07.3 below ten seconds."""
    if fine and round(seconds, 1) < 10:
        return f"0:{seconds:04.1f}"
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def shown(label: str) -> str:
    """A label for reading: Genre---Style as Genre / Style."""
    return label.replace(SEPARATOR, " / ")


@dataclass(frozen=True)
class TrackContent:
    """What the page of a recording shows beside what was heard.

    audio: its player (`player`). about: settings to list. top: classes shown. notes: sentences.
    """

    audio: Markup = Markup()
    about: Mapping[str, Any] = field(default_factory=dict)
    top: int = 10
    notes: Sequence[str] = ()


def track_page(name: str, heard: Tagged, content: TrackContent | None = None) -> str:
    """The page of one recording."""
    shown_too = content or TrackContent()
    best, genres = heard.top(shown_too.top), heard.genres()
    windows = len(heard.windows)
    return render(
        "track.html.j2",
        title=readable(name),
        lead=f"{clock(heard.duration)}, heard in {windows} window{'s' if windows > 1 else ''}.",
        notes=shown_too.notes,
        audio=shown_too.audio,
        heard=_heard(heard, best),
        best=[(shown(label), p) for label, p in best],
        exclusive=ONE_OF_ALL if heard.exclusive else EACH_ITS_OWN,
        genres=genres[:8] if genres else (),
        windows=_windows(heard),
        more_windows=max(windows - MAX_WINDOWS, 0),
        about=shown_too.about,
    )


def folder_page(
    title: str,
    rows: Sequence[Row],
    failed: Sequence[tuple[str, str]],
    about: Mapping[str, Any],
    notes: Sequence[str] = (),
) -> str:
    """The page of a folder: its recordings with links to their pages, and what could not be used."""
    total = sum(row.duration for row in rows)
    return render(
        "folder.html.j2",
        title=readable(title),
        lead=f"{len(rows)} recording{'s' if len(rows) != 1 else ''}, {clock(total)} of sound.",
        notes=notes,
        rows=[
            {
                "href": quote(os.fsencode(row.href)),
                "name": readable(row.name),
                "remark": row.remark,
                "length": clock(row.duration),
                "top": [(*_style_first(label), p) for label, p in row.top],
            }
            for row in rows
        ],
        most=max((len(row.top) for row in rows), default=0),
        failed=TableContent(["file", "reason"], [[readable(name), readable(reason)] for name, reason in failed], (0, 1)),
        about=about,
    )


def player(path: Path, duration: float, limit_minutes: float, sound: str | None = None) -> Markup:
    """The recording's player: its sound within the page (`sound`, where it is made already), or beyond the limit a link to the file where it lies."""
    if duration > 60 * limit_minutes:
        return Markup(render("player.html.j2", source=f"file://{quote(os.fsencode(path.resolve()))}", limit=f"{limit_minutes:g}"))
    return Markup(render("player.html.j2", source=sound or embedded_sound(path), limit=""))


def _heard(heard: Tagged, best: Sequence[tuple[str, float]]) -> dict[str, Any]:
    """Spectrogram and heat map on one time axis."""
    numbers = [heard.labels.index(label) for label, _ in best]
    bounds, duration = heard.bounds(), float(heard.bounds()[-1])
    moments = (np.arange(COLUMNS) + 0.5) / COLUMNS * duration
    windows = np.clip(np.searchsorted(bounds, moments, side="right") - 1, 0, len(heard.windows) - 1)
    values = heard.windows[windows][:, numbers].T
    high = max(0.5, float(values.max(initial=0.0)))
    return {
        "classes": [(shown(label), *_style_first(label), p) for label, p in best],
        "duration": f"{duration:.3f}",
        "ticks": [clock(duration * i / 4, duration < 10) for i in range(5)],
        "spectrogram": spectrogram(heard.overview, "Spectrogram: time to the right, mel bands upwards"),
        "heat": heat_map(values, f"Probability over time of {', '.join(shown(label) for label, _ in best[:3])} and others", high),
        "high": f"{high:.2f}",
    }


def _style_first(label: str) -> tuple[str, str]:
    """A label whose end may be cut off: the style, and its genre ("" for none)."""
    genre, separator, style = label.partition(SEPARATOR)
    return (style, genre) if separator else (label, "")


def _windows(heard: Tagged) -> TableContent:
    rows = []
    for (start, end), row in list(zip(heard.times, heard.windows))[:MAX_WINDOWS]:
        best = np.argsort(-row, kind="stable")[:3]
        rows.append([f"{clock(float(start))} - {clock(float(end))}", *(f"{shown(heard.labels[i])} {row[i]:.2f}" for i in best)])
    width = max(len(row) for row in rows)
    return TableContent(["window", *[""] * (width - 1)], rows, range(width))
