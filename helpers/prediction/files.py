"""The audio files of a prediction, and the sounds of their pages. Imports no torch: what is begun here works while that is being imported."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any

from models.audio import find_audio, info
from models.errors import AudioError
from models.prefetch import begun

from ..reports.sound import embedded_sounds

SOUNDS = 2  # of pages, a megabyte each, that are made before theirs are written
Sounds = Generator[str | None, None, None]


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


def check_audio(audio: str | Path) -> None:
    """Raise AudioError before any work for a path that is not there, a single file that is no audio, a folder without audio."""
    root, names = audio_files(audio)
    if not Path(audio).is_dir():
        info(root / names[0])


def sounds_of(audio: str | Path, minutes: float, html: bool) -> Sounds:
    """Return the sounds of the pages of all files of `audio`, which are being made in a thread of their own from now on; None where there is none."""
    root, names = audio_files(audio)
    made = embedded_sounds((root / name for name in names), minutes) if html else (None for _ in names)
    return begun(made, SOUNDS)


def begin(config: Any) -> AbstractContextManager[Sounds | None]:
    """Return a block in which the sounds of predict's pages are being made (`sounds_of`); of nothing where there is nothing to make them of.

    config: the script's. What is wrong with the files is for the command to say.
    """
    p = config.predict
    try:
        return closing(sounds_of(p.audio, p.player_minutes, p.html)) if p.audio is not None and p.html else nullcontext()
    except (AudioError, OSError):
        return nullcontext()
