"""The data set on disk: FLAC files in a folder per split, one table of paths, labels and splits, and the annotations of every track."""

from __future__ import annotations

import csv
import io
import json
import logging
from functools import partial
from pathlib import Path

import numpy as np
import soundfile as sf

from models.bounded_files import read_json
from models.errors import AudioError, GroundtruthError

from ..jobs.parallel import parallel_map
from ..utils.files import write_whole
from ..utils.progress import JobProgress
from .events import KINDS
from .labels import LABELS, SPLITS, TrackPlan, plan_track
from .render import perform, render

log = logging.getLogger(__name__)
VERSION = 1  # of what the generator makes: raised when any track would come out otherwise
TRACKS = 2000
ANNOTATIONS, SEAL = "annotations", "annotations.json"
SHARES = {"train": 0.76, "validation": 0.1, "test": 0.14}


def sizes(n_tracks: int = TRACKS) -> dict[str, int]:
    """Return tracks per split, at least 2 each. Raises GroundtruthError for less than 6 tracks."""
    if n_tracks < 6:
        raise GroundtruthError(f"A demo data set of {n_tracks} tracks is too small: it takes 6 or more, 2 for each split.")
    held_out = {split: max(2, round(SHARES[split] * n_tracks)) for split in SPLITS[1:]}
    return {"train": n_tracks - sum(held_out.values()), **held_out}


def encode(plan: TrackPlan, wave: np.ndarray | None = None) -> bytes:
    """Return the track as a FLAC file, 16 bits: the same bytes for the same plan. wave: its audio, where it is there already."""
    wave, file = render(plan) if wave is None else wave, io.BytesIO()
    sf.write(file, np.round(wave * 32767).astype(np.int16), plan.sample_rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def write_track(folder: str, audio: bool, plan: TrackPlan) -> None:
    """Write one track's annotations below `folder`, and its audio where it is asked for; each file whole or not at all."""
    wave, events = perform(plan)
    for path, text in events.files(plan.name).items():
        write_whole(Path(folder) / ANNOTATIONS / path, text, sync=False)
    if audio:
        write_whole(Path(folder) / "audio" / plan.name, encode(plan, wave), sync=False)


def table(plans: list[TrackPlan]) -> str:
    """Return the groundtruth: a csv with path, labels ("|" between them) and split."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("path", "labels", "split"))
    rows.writerows((plan.name, "|".join(plan.labels), plan.split) for plan in plans)
    return text.getvalue()


def make(folder: str | Path, n_tracks: int | None = None, seed: int = 0, jobs: int | None = None) -> tuple[Path, Path]:
    """Make the demo data set in `folder`: (folder of the audio, groundtruth table).

    n_tracks: over all splits (None: TRACKS). jobs: worker processes (None: one per core). A data set that stands there whole, of the
    same size and seed, is left as it is; a half-made one is made anew, since the table and `demo.json` come last.

    Raises GroundtruthError for a size that is too small, or a folder that holds another data set; AudioError where a track cannot be written.
    """
    folder = Path(folder)
    counts = sizes(TRACKS if n_tracks is None else n_tracks)
    audio, groundtruth, seal = folder / "audio", folder / "groundtruth.csv", folder / "demo.json"
    about = {"version": VERSION, "seed": seed, "tracks": counts, "labels": list(LABELS)}
    heard = seal.exists()
    if heard:
        try:
            same = read_json(seal) == about
        except (OSError, ValueError):
            same = False
        if not same:
            raise GroundtruthError(
                f"{folder} holds a demo data set of another size, seed or version: remove it, or choose another folder."
            )
        if (folder / ANNOTATIONS / SEAL).exists():
            return audio, groundtruth
    plans = [plan_track(seed, split, index) for split in SPLITS for index in range(counts[split])]
    for split in SPLITS:
        (audio / split).mkdir(parents=True, exist_ok=True)
        for kind in KINDS:
            (folder / ANNOTATIONS / kind / split).mkdir(parents=True, exist_ok=True)
    with JobProgress("Annotating music" if heard else "Making music", total=len(plans), unit="tracks") as progress:
        for outcome in parallel_map(partial(write_track, str(folder), not heard), plans, jobs, ordered=False):
            if outcome.error is not None:
                raise AudioError(f"The demo track {outcome.item.name} could not be made: {outcome.error}")
            progress.advance()
    write_whole(folder / ANNOTATIONS / SEAL, json.dumps(about, indent=1))
    if heard:  # made before there were annotations
        return audio, groundtruth
    write_whole(groundtruth, table(plans))
    write_whole(seal, json.dumps(about, indent=1))
    log.info("Made %d tracks of demo music in %s", len(plans), folder)
    return audio, groundtruth
