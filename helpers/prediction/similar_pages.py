"""Writing a search's page: every recording on it with its player, and, of a network with classes, with a page of what is heard in it."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from models.audio import info
from models.encoder import AudioEncoder
from models.errors import AudioError
from models.untrained import untrained

from ..reports.similar_page import SimilarContent, Sound, write_similar
from ..reports.track_page import player, readable, shown
from ..reports.wording import RANDOM, RANDOM_WEIGHTS
from .predict import ON_SCREEN, PredictionSettings, claim_folder, predict
from .similar import name_among

log = logging.getLogger(__name__)
CENTERED = "Cosine of the layer's embeddings, with the collection's mean taken off: 0 is as unlike as any two."
PLAIN = "Cosine of the layer's embeddings."


@dataclass(frozen=True)
class Search:
    """A search that was made.

    Attributes:
        query: the recording that was asked for: its file, or (of a collection without audio) its name.
        found: names of the nearest recordings and their cosines, best first.
        audio_dir: folder of the collection's audio; None: not known, the page has no players of it then.
        layer: whose embeddings were compared. center: whether the collection's mean was taken off.
    """

    query: str
    found: Sequence[tuple[str, float]]
    audio_dir: str | None
    layer: int
    center: bool


def write_search(network: AudioEncoder, search: Search, out: Path, settings: PredictionSettings) -> Path:
    """Write <out>/<name of the query>/index.html, and beside it a page per recording where the network has trained classes. Returns the page's path.

    A track of the collection has its path there as its name: A/1.wav and B/1.wav do not share a page. A recording that cannot be used any more is
    named without player and page, and the log says why.

    Raises ConfigError where the folder holds a search for another recording of this name.
    """
    file = _file(search.query, search.audio_dir)
    where = out / _place(search)
    claim_folder(where, Path(search.query) if file is None else file)
    quiet = replace(settings, tables=())
    query = _sound(network, search.query, file, 1.0, where, quiet)
    nearest = [_sound(network, name, _file(name, search.audio_dir), cosine, where, quiet) for name, cosine in search.found]
    content = SimilarContent(
        notes=[RANDOM_WEIGHTS] if settings.weights == RANDOM else [],
        measure=CENTERED if search.center else PLAIN,
        about={"weights": settings.weights, "layer": search.layer, "collection": search.audio_dir or "embeddings without audio"},
    )
    return write_similar(where / "index.html", query, nearest, content)


def _place(search: Search) -> PurePosixPath:
    """The path of a query's page: as the collection names it, of other recordings their name alone."""
    name = name_among(search.query, search.audio_dir)
    known = search.audio_dir is not None and (Path(search.audio_dir) / name).is_file() and ".." not in PurePosixPath(name).parts
    return PurePosixPath(name) if known and not os.path.isabs(name) else PurePosixPath(Path(name).name)


def _file(name: str, audio_dir: str | None) -> Path | None:
    """The audio file of a query or of a track of the collection; None where there is none."""
    places = [Path(name), *([Path(audio_dir) / name] if audio_dir is not None else [])]
    return next((place for place in places if place.is_file()), None)


def _sound(
    network: AudioEncoder, name: str, file: Path | None, similarity: float, where: Path, settings: PredictionSettings
) -> Sound:
    if file is None:
        return Sound(name, similarity)
    try:
        audio = player(file, info(file).duration, settings.player_minutes)
        if not network.has_classes or settings.weights == RANDOM or untrained(network):  # what it names would mean nothing
            return Sound(name, similarity, audio)
        # below the folder of the search whatever the name: a track's own name is relative, without steps upwards
        inner = PurePosixPath("tracks", *(part for part in PurePosixPath(name).parts[:-1] if part not in ("/", "..")))
        done = predict(network, file, where / inner, settings)
    except AudioError as error:
        log.warning("%s has neither player nor page: %s", readable(name), readable(str(error)))
        return Sound(name, similarity)
    heard = ", ".join(f"{shown(label)} {p:.2f}" for label, p in done.rows[0].top[:ON_SCREEN])
    return Sound(name, similarity, audio, f"{inner}/{file.name}/index.html", heard)
