"""The sound of a recording as a page holds it. Imports no torch: it is made while that is being imported."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile

from models.audio import info, iterate
from models.errors import AudioError

EMBEDDED_RATE = 24000  # Hz, mono: about 0.3 MB per minute


def embedded_sound(path: Path) -> str:
    """A recording's sound as a page holds it: a small mono MP3, as the address of its bytes. Raises AudioError for a file that cannot be used."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", EMBEDDED_RATE, 1, format="MP3", subtype="MPEG_LAYER_III", compression_level=0.6) as out:
        for block in iterate(path, EMBEDDED_RATE, 30.0):
            out.write(np.clip(block, -1, 1))
    return f"data:audio/mpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def embedded_sounds(paths: Iterable[Path], limit_minutes: float) -> Iterator[str | None]:
    """`embedded_sound` of each; None for what cannot be used, and where the file's header tells of more minutes than the limit."""
    for path in paths:
        try:
            yield embedded_sound(path) if info(path).duration <= 60 * limit_minutes else None
        except AudioError:
            yield None
