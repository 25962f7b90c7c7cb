"""What is this music? Files or folders of audio through a network with named classes: a table on the screen, pages, tables.

Memory does not grow with the number or length of the files.
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.table import Table
from torch import Tensor

from datasets.utils.files import atomic, fitting, write_whole
from datasets.utils.progress import JobProgress
from datasets.utils.terminal import Console, Text
from models.audio import info
from models.backends import AUTO, TORCH, Chooser, check_backend, precision_on, with_backend
from models.bounded_files import check_writable, read_json
from models.encoder import AudioEncoder
from models.errors import AudioError, ConfigError
from models.tagging import Begun, Tagged, tag_many
from models.weights.head_origin import weights_sha256

from ..reports.track_page import Row, TrackContent, clock, folder_page, player, readable, shown, track_page
from ..reports.wording import RANDOM, RANDOM_WEIGHTS
from ..runtime.devices import autocast, resolve_precision, work_of
from ..runtime.memory import keep_freed_memory
from .files import audio_files, sounds_of
from .tables import open_tables, table_files, write_unusable

log = logging.getLogger(__name__)
MUCH_SHORTER = 0.5  # than a window: what is heard is mostly padding
ON_SCREEN = 3  # classes per recording in a folder's table


@dataclass(frozen=True)
class PredictionSettings:
    """How audio is tagged, and what is written of it.

    Attributes:
        weights: where the network's weights come from, RANDOM for none.
        top: classes shown.
        hop_seconds: between two windows' starts; None: their length.
        batch_size: windows at once.
        precision: as in extraction.
        backend: what computes windows (models/backends.py); "auto": what is found to be fastest.
        html: write pages.
        tables: kinds of tables to write, any of csv, json, parquet.
        player_minutes: recordings up to this length are part of their pages, to be played.

    Raises ConfigError where no class would be shown.
    """

    weights: str = "own"
    top: int = 10
    hop_seconds: float | None = None
    batch_size: int = 8
    precision: str = "32"
    backend: str = TORCH
    html: bool = True
    tables: Sequence[str] = ()
    player_minutes: float = 10.0

    def __post_init__(self) -> None:
        if self.top < 1:
            raise ConfigError(f"predict.top is {self.top}; show at least one class.")
        check_backend(self.backend)


@dataclass(frozen=True)
class Prediction:
    """What `predict` did: recordings with their most probable classes, files that could not be used and why, what was written.

    unusable: the table of those files; none: there are none, or nothing was to be written. weights: the name of the network's, RANDOM for none.
    """

    rows: list[Row]
    failed: list[tuple[str, str]]
    written: list[Path]
    unusable: Path | None = None
    weights: str = "own"


def claim_folder(where: Path, audio: Path, writes: bool = True) -> None:
    """Note beside the folder `where` that it is of this audio, in <name>.source.json: A/CD1 and B/CD1 do not share one. writes: whether anything is
    written into it.

    Raises ConfigError where it holds what was made of other audio.
    """
    note = where.with_name(fitting(where.name, ".source.json"))
    own = os.path.realpath(audio)
    try:
        of = str(read_json(note)["audio"])
    except (OSError, ValueError, KeyError, TypeError):
        of = own
    if of != own and where.exists():
        raise ConfigError(
            f"{where} holds the predictions of {readable(of)}, and this is {readable(own)}: give each collection a predict.out_dir of "
            "its own, or remove the old ones."
        )
    if writes:
        write_whole(note, json.dumps({"audio": own}) + "\n")


def predict(
    network: AudioEncoder,
    audio: str | Path,
    out: str | Path,
    settings: PredictionSettings | None = None,
    notes: Sequence[str] = (),
    blocks: Iterator[np.ndarray] | None = None,
    sounds: Iterator[str | None] | None = None,
) -> Prediction:
    """Tag an audio file, or all in a folder.

    Writes into the folder `<out>/<name of audio>`: with `html` index.html and for a folder a page per recording below tracks/; as `tables`
    predictions.csv (a row per recording) and windows.csv (a row per window), a column per label, and so on. Files that cannot be used stand in
    unusable.csv.

    Args:
        network: with named classes, on the device that shall compute.
        audio: a file, or a folder of them.
        out: folder of the outputs.
        settings: how it is tagged, and what is written.
        notes: lines for the pages.
        blocks: of samples of the (first) file, where it is being decoded already.
        sounds: `sounds_of` the pages, where they are being made already.

    A file of a folder that cannot be used is named and left out. Raises AudioError when it is the only one, or none can be used.
    """
    keep_freed_memory(large=True)
    settings = settings or PredictionSettings()
    root, names = audio_files(audio)
    single = not Path(audio).is_dir()
    where = Path(out) / Path(audio).resolve().name
    if settings.html or settings.tables:
        check_writable(where, ConfigError, "predict.out_dir")
    claim_folder(where, Path(audio), writes=False)
    rows: list[Row] = []
    failed: list[tuple[str, str]] = []
    if settings.weights == RANDOM:
        notes = (RANDOM_WEIGHTS, *notes)
    notes = list(notes)
    precision = resolve_precision(
        precision_on(settings.backend, settings.precision),
        "cpu" if network.device.type == "cpu" else "gpu",
        work_of(network),
    )
    pages = _Pages(where, root, settings, _about(network, settings, precision), notes)
    with ExitStack() as stack:
        if sounds is None:
            sounds = stack.enter_context(closing(sounds_of(audio, settings.player_minutes, settings.html)))
        opened = stack.enter_context(open_tables(where, settings.tables, network.label_names, pages.about))
        _warn_of_older(where, settings.tables)
        total, noted = _count(root, names, network, settings.hop_seconds)
        progress = stack.enter_context(JobProgress("Listening", total, "windows"))
        stack.enter_context(autocast(network.device.type, precision, work_of(network)))
        score = _scorer(network, settings.backend, total, notes, pages.about["weights_sha256"])
        results = tag_many(
            network,
            (root / name for name in names),
            hop_seconds=settings.hop_seconds,
            batch_size=settings.batch_size,
            on_windows=progress.advance,
            begun=Begun(blocks, score),
        )
        for name, heard, sound in zip(names, results, sounds):
            if isinstance(heard, AudioError):
                if single:
                    raise heard
                failed.append((name, str(heard)))
                log.warning("Left out: %s", readable(str(heard)))
                continue
            if heard.model is None:
                heard = replace(heard, model=f"{settings.weights} ({pages.about['weights_sha256'][:12]})")
            remark = "; ".join(
                filter(None, [_remark(heard, network), *(f"of an odd file: {one}" for one in noted.get(name, ()))])
            )
            href = "index.html" if single else fitting(f"tracks/{name}", ".html")
            rows.append(Row(name, heard.duration, heard.top(settings.top if single else ON_SCREEN), href, remark))
            for one in opened:
                one.write(name, heard, remark)
            if len(rows) == 1:  # nothing is noted of a prediction that is refused
                claim_folder(where, Path(audio), writes=settings.html or bool(settings.tables))
            if settings.html:
                pages.write_track(name, href, heard, remark, sound)
        if not rows:
            raise AudioError(f"None of the {len(names)} files in {root} can be used. The first: {failed[0][1]}")
        for one in opened:
            one.close()
        if settings.html and not single:
            pages.write_folder(Path(audio).resolve().name, rows, failed)
    written = [where / "index.html"] if settings.html else []
    written += table_files(where, settings.tables)
    unusable = write_unusable(where, failed) if settings.html or settings.tables else None
    return Prediction(rows, failed, [*written, *([unusable] if unusable else [])], unusable, settings.weights)


def _scorer(
    network: AudioEncoder, backend: str, windows: int, notes: list[str], sha256: str
) -> Callable[[Tensor], Tensor] | None:
    """Return what computes windows' probabilities; None: the network. A choice that is made on the way is said, and noted."""

    def said(choice: str) -> None:
        log.info("%s", choice)
        notes.append(choice)

    if backend == AUTO:
        return Chooser(network, windows, said, sha256)
    return None if backend == TORCH else with_backend(network, backend, sha256).window_probabilities


@dataclass(frozen=True)
class _Pages:
    """The pages of one prediction, in the folder `where`."""

    where: Path
    root: Path
    settings: PredictionSettings
    about: dict[str, Any]
    notes: Sequence[str]

    def write_track(self, name: str, href: str, heard: Tagged, remark: str, sound: str | None) -> None:
        notes = (*self.notes, f"This recording is {remark}.") if remark else self.notes
        playing = player(self.root / name, heard.duration, self.settings.player_minutes, sound)
        content = TrackContent(playing, {**self.about, **_source(heard)}, self.settings.top, notes)
        with atomic(self.where / href) as part:
            part.write_text(track_page(name, heard, content), encoding="utf-8")

    def write_folder(self, name: str, rows: list[Row], failed: list[tuple[str, str]]) -> None:
        with atomic(self.where / "index.html") as part:
            part.write_text(folder_page(name, rows, failed, self.about, self.notes), encoding="utf-8")


def _about(network: AudioEncoder, settings: PredictionSettings, precision: str) -> dict[str, Any]:
    return {
        "backend": settings.backend,
        "precision": precision,
        "labels": len(network.label_names),
        "window": f"{network.max_seconds:g} s",
        "weights": settings.weights,
        "weights_sha256": weights_sha256(network),
    }


def _warn_of_older(where: Path, tables: Sequence[str]) -> None:
    """Name tables of an earlier prediction that this one does not write anew."""
    every = {path for kind in ("csv", "json", "parquet") for path in table_files(where, [kind])}
    older = sorted(path.name for path in every - set(table_files(where, tables)) if path.exists())
    if older:
        log.warning("%s holds %s of an earlier prediction; they stay as they are.", where, ", ".join(older))


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
    if found.weights == RANDOM:
        console.print(RANDOM_WEIGHTS)
    for row in rows:
        if row.remark:
            console.print(Text(f"{readable(row.name)} is {row.remark}."))
    if found.failed:
        number = "1 file" if len(found.failed) == 1 else f"{len(found.failed)} files"
        where = f": {found.unusable} says why." if found.unusable is not None else "."
        console.print(Text(f"{number} could not be used{where}", style="bold"), soft_wrap=True)


# ---- how
def _remark(heard: Tagged, network: AudioEncoder) -> str:
    """What makes the numbers of a recording mean less than they seem to; "" for nothing."""
    if not heard.overview.any():
        return "silent"
    if heard.duration < MUCH_SHORTER * network.max_seconds:
        return f"far shorter than the window of {network.max_seconds:g} s that the network hears; the rest is silence"
    return ""


def _count(
    root: Path, names: Sequence[str], network: AudioEncoder, hop_seconds: float | None
) -> tuple[int, dict[str, tuple[str, ...]]]:
    """About how many windows there are, from the files' headers; and what is odd about files, by name."""
    total, noted = 0, {}
    for name in names:
        try:
            about = info(root / name)
        except AudioError:
            continue  # said when its turn comes
        total += max(1, math.ceil((about.duration - network.max_seconds) / (hop_seconds or network.max_seconds)) + 1)
        if about.remarks:
            noted[name] = about.remarks
    return total, noted


def _source(heard: Tagged) -> dict[str, str]:
    return {"model": heard.model or "own weights", "licence of the weights": heard.licence or "not stated"}
