"""A miniature MagnaTagATune: real names and folders of 51 clips, made-up tags, tones as mp3; in the layout in which the real one is served."""

from __future__ import annotations

import csv
import io
import zipfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile

from datasets.mtt import ANNOTATIONS, BROKEN, PARTS, TAGS

INDEX = Path(__file__).parent / "fixtures" / "mtt" / "index_sample.tsv"
RATE = 16000
SECONDS = 0.4


def clips() -> list[tuple[int, str]]:
    rows = [line.split("\t") for line in INDEX.read_text().splitlines()]
    return [(int(clip), path) for clip, path in rows]


def tags_of(number: int) -> set[str]:
    """Every seventh clip has none of the 50 tags; the others have two or three."""
    return set() if number % 7 == 3 else {TAGS[number % 50], TAGS[(3 * number + 1) % 50], TAGS[number // 7 % 50]}


@lru_cache
def annotations() -> bytes:
    """annotations_final.csv: tab-separated, quoted, 188 tags in an order of their own."""
    rng = np.random.default_rng(5)
    order = [str(tag) for tag in rng.permutation([*TAGS, *(f"rare tag {k}" for k in range(138))])]
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(["clip_id", *order, "mp3_path"])
    for number, (clip, path) in enumerate(clips()):
        writer.writerow([clip, *(int(tag in tags_of(number)) for tag in order), path])
    return text.getvalue().encode()


@lru_cache
def sound(number: int) -> bytes:
    t = np.arange(round(SECONDS * RATE)) / RATE
    file = io.BytesIO()
    soundfile.write(file, 0.3 * np.sin(2 * np.pi * (200 + 17 * number) * t), RATE, format="MP3")
    return file.getvalue()


@lru_cache
def archive() -> bytes:
    """mp3.zip: 0/ ... f/; the broken clips are empty files, as in the real one."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as out:
        for number, (clip, path) in enumerate(clips()):
            out.writestr(zipfile.ZipInfo(path), b"" if clip in BROKEN else sound(number))
    return file.getvalue()


def served() -> dict[str, bytes]:
    """{"/annotations_final.csv": ..., "/mp3.zip.001": ...}: the archive cut into three, the last part shorter, as the real one is."""
    whole = archive()
    size = len(whole) * 2 // 5
    parts = {f"/{name}": whole[i * size : (i + 1) * size] for i, name in enumerate(PARTS)}
    return {f"/{ANNOTATIONS}": annotations(), **parts}
