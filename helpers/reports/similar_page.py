"""The page of a search: the nearest recordings first, each with its player and a link to its page; then the recording that was asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from .pages import write_page
from .track_page import readable


@dataclass(frozen=True)
class Sound:
    """A recording on the page.

    name: its name. similarity: to the recording that was asked for. audio: its player. page: its own page, relative to the search's; "": it has none.
    heard: what the network names in it, "" for a network that names nothing.
    """

    name: str
    similarity: float = 1.0
    audio: Markup = field(default_factory=Markup)
    page: str = ""
    heard: str = ""


@dataclass(frozen=True)
class SimilarContent:
    """What the page says beside the recordings. notes: sentences above. measure: how near is meant. about: settings to list."""

    notes: Sequence[str] = ()
    measure: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)


def write_similar(path: Path, query: Sound, nearest: Sequence[Sound], content: SimilarContent) -> Path:
    """Write the page, whole or not at all. Returns its path."""
    return write_page(
        path,
        "similar.html.j2",
        title=f"Nearest to {readable(query.name)}",
        notes=content.notes,
        nearest=[_shown(one) for one in nearest],
        query=_shown(query),
        measure=content.measure,
        about=content.about,
    )


def _shown(one: Sound) -> dict[str, Any]:
    return {
        "name": readable(one.name),
        "similarity": one.similarity,
        "audio": one.audio,
        "href": quote(os.fsencode(one.page)),
        "heard": one.heard,
    }
