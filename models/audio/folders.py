"""Audio files below a folder: all that are music, whatever their names, and what was passed over, said once."""

from __future__ import annotations

import functools
import logging
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ..errors import AudioError

log = logging.getLogger(__name__)
_SUFFIXES = (
    "wav wave bwf w64 rf64 aif aiff aifc au snd caf flac ogg oga opus spx mp3 mp2 m4a m4b mp4 mov 3gp aac ac3 dts amr "
    "webm mka mkv avi wma wv ape tta dsf"
)
AUDIO_SUFFIXES = frozenset("." + suffix for suffix in _SUFFIXES.split())
# Entries that systems and programs make, by their names; all else that begins with a dot is music ("...And Justice.ogg").
SYSTEM = {
    "._*": re.compile(r"\._"),
    **{
        name: re.compile(re.escape(name) + "$")
        for name in (
            ".DS_Store", "__MACOSX", ".git", "lost+found", "@eaDir", "$RECYCLE.BIN", ".Spotlight-V100", ".fseventsd", "System Volume Information",
        )
    },
    ".Trash*": re.compile(r"\.Trash"),
}  # fmt: skip


def find_audio(folder: str | os.PathLike[str]) -> list[str]:
    """Relative posix paths of all audio files under `folder` (by suffix), sorted. Links are followed once, and a real folder is never left out
    for a link to it. A folder below that cannot be read stands in the list with a "/" behind it: whoever opens it is told why.

    System entries (SYSTEM) are skipped, counted and named once in the log.

    Raises AudioError when `folder` is no folder, or cannot be read.
    """
    root = Path(folder)
    if not root.is_dir():
        raise AudioError(f"{folder} is not a folder{'; it is a file' if root.exists() else ': it does not exist'}.")
    found: list[str] = []
    skipped: Counter[str] = Counter()
    seen: set[tuple[int, int]] = set()
    links = [root]
    while links:
        start = links.pop(0)
        linked: list[Path] = []
        for where, names in _walk(start, seen, linked, skipped):
            relative = where.relative_to(root)
            if names is None:
                if where == root:
                    _refuse(root)
                found.append(f"{relative.as_posix()}/")
            else:
                found += [(relative / name).as_posix() for name in names]
        links += sorted(linked)
    if skipped:
        _say(str(folder), ", ".join(f"{n} x {name}" for name, n in sorted(skipped.items())))
    return sorted(found)


def is_system(name: str) -> bool:
    """Return whether an entry of this name is made by a system, and no music."""
    return _system(name) is not None


def _system(name: str) -> str | None:
    return next((kind for kind, pattern in SYSTEM.items() if pattern.match(name)), None)


def _walk(
    start: Path, seen: set[tuple[int, int]], linked: list[Path], skipped: Counter[str]
) -> Iterator[tuple[Path, list[str] | None]]:
    """Each real folder from `start` on, once, with its audio files (None: it cannot be read). Links to folders are added to `linked`."""
    todo = [start]
    while todo:
        where = todo.pop()
        try:
            status = os.stat(where)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(where) as entries:
                here = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            yield where, None
            continue
        names = []
        for entry in here:
            kind = _system(entry.name)
            if kind is not None:
                skipped[kind] += 1
            elif _is_folder(entry):
                (linked if entry.is_symlink() else todo).append(where / entry.name)
            elif os.path.splitext(entry.name)[1].lower() in AUDIO_SUFFIXES:
                names.append(entry.name)
        yield where, names


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _refuse(folder: Path) -> None:
    """Raise the AudioError of a folder that cannot be read."""
    try:
        os.scandir(folder).close()
    except OSError as error:
        raise AudioError(f"The folder {folder} cannot be read: {error.strerror}.") from error
    raise AudioError(f"The folder {folder} could not be read a moment ago. Try again.")


@functools.lru_cache(256)
def _say(folder: str, what: str) -> None:
    """Log it, once for a folder."""
    log.info("%s: entries of the system are skipped: %s.", folder, what)
