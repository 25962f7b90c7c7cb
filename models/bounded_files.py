"""Whether a file is what it should be before it is read: a regular one, of a size that fits, json no deeper than can be read, an archive that does
not grow without end. And whether a file that is written in place is one's own.
"""

from __future__ import annotations

import json
import os
import stat
import zipfile
from pathlib import Path
from typing import IO, Any

from .errors import WeightsError

MAX_RATIO = 200  # of an archive's content to its size: honest ones reach 20
RATIO_FROM = 64 << 20  # bytes of content below which any ratio is taken
MOST_TEXT = 256 << 20  # bytes of a text that says something about data: settings, lists, records
MOST_AUDIO = 64 << 30  # bytes of a recording: four days of stereo at 48 kHz
MOST_TABLE = 8 << 30  # bytes of a table that is read line by line
MOST_WEIGHTS = (
    64 << 30
)  # bytes of a file of weights: the largest network that is built, its average, and an optimiser's two moments of it
MOST_DIGITS = 4300  # of a number in json: Python's own bound, in Python's own words a page
_KINDS = {
    stat.S_IFIFO: "a named pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a folder",
}  # fmt: skip


def check_regular(path: str | os.PathLike[str], error: type[ValueError], most: int | None = None) -> None:
    """Raise `error` for what is no regular file, and for one of more than `most` bytes. A file that is not there raises FileNotFoundError.

    Opening a named pipe waits for ever, and a device may never end: this looks without opening.
    """
    try:
        found = os.stat(path)
    except ValueError as reason:  # a NUL in the name
        raise error(f"{str(path)!r} is no name of a file: {reason}.") from None
    if not stat.S_ISREG(found.st_mode):
        raise error(f"{path} is {_KINDS.get(stat.S_IFMT(found.st_mode), 'a special file')}, where a file is wanted.")
    if most is not None and found.st_size > most:
        raise error(
            f"{path} has {found.st_size / 1e6:,.0f} MB; at most {most / 1e6:,.0f} MB are expected of it. Is it the right file?"
        )


def open_regular(
    path: str | os.PathLike[str], error: type[ValueError] = ValueError, most: int | None = None, mode: str = "rb", **options: Any
) -> Any:
    """Open a file to be read, `check_regular` before. What took its place meanwhile is not waited for, and refused as well.

    options: of `open` (encoding, newline, errors, buffering).
    """
    check_regular(path, error, most)
    file: IO[Any] = open(path, mode, opener=_at_once, **options)  # noqa: SIM115  closed by the caller
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise error(f"{path} is no file any more.")
    return file


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def read_bytes(path: str | os.PathLike[str], error: type[ValueError] = ValueError, most: int = MOST_TEXT) -> bytes:
    """Return what is in a regular file of at most `most` bytes. Raises OSError, and `error` for any other file."""
    with open_regular(path, error, most) as file:
        found: bytes = file.read()
        return found


def read_text(
    path: str | Path, most: int = MOST_TEXT, encoding: str = "utf-8", errors: str = "strict", error: type[ValueError] = ValueError
) -> str:
    """Return the text of a regular file of at most `most` bytes. Raises OSError, and `error` (ValueError) for any other file."""
    with open_regular(path, error, most, "r", encoding=encoding, errors=errors) as file:
        found: str = file.read()
        return found


def parsed(text: str | bytes, **options: Any) -> Any:
    """Return what a json text says. Raises ValueError where it is none, nesting that cannot be read included.

    options: of json.loads.
    """
    try:
        return json.loads(text, **options)
    except RecursionError:
        raise ValueError("its json is nested too deeply") from None
    except ValueError as error:
        raise too_many_digits(error) or error from None


def too_many_digits(error: ValueError) -> ValueError | None:
    """Return the error of a whole number that Python will not read, in our words: its own advise to raise the limit. None for another error."""
    if "integer string conversion" not in str(error):
        return None
    return ValueError(f"it holds a whole number of more than {MOST_DIGITS} digits")


def read_json(path: str | Path, most: int = MOST_TEXT, errors: str = "strict") -> Any:
    """Return what a json file says: `parsed` of `read_text`, with their errors."""
    return parsed(read_text(path, most, errors=errors))


def check_writable(path: str | Path, error: type[ValueError], what: str = "") -> None:
    """Raise `error` where nothing can be written into `path`, a folder that may be made yet: before hours of work, not behind them.

    what: the key that names it, for the message. Nothing is made.
    """
    choose = f"Choose another {what or 'place'}."
    if "\0" in str(path):
        raise error(f"{str(path)!r} is no name of a folder: it holds a NUL. {choose}")
    place = Path(path)
    try:
        while not os.path.lexists(place) and place != place.parent:
            place = place.parent
        kind = os.stat(place).st_mode
    except (OSError, ValueError) as reason:  # a link to nothing or to itself, a name that is too long, one with a NUL
        raise error(f"{str(path)!r} cannot be written: {getattr(reason, 'strerror', None) or reason}. {choose}") from None
    if not stat.S_ISDIR(kind):
        raise error(
            f"{path} cannot be written: {place} is {_KINDS.get(stat.S_IFMT(kind), 'a file')}, where a folder is wanted. {choose}"
        )
    if not os.access(place, os.W_OK | os.X_OK):
        raise error(f"{path} cannot be written: {place} is read-only, or another's. {choose}")


def check_writable_file(path: str | Path, error: type[ValueError], what: str = "") -> None:
    """`check_writable` of a file: its folder, and that its name is no folder's, device's or pipe's."""
    check_writable(Path(path).parent, error, what)
    if os.path.lexists(path) and not Path(path).is_file():
        raise error(f"{path} is no file, and cannot be replaced by one. Choose another {what or 'place'}.")


def never_through_a_link(path: str, flags: int) -> int:
    """An `opener` of files that are written in place: a link that somebody planted under their name is refused (OSError), a pipe not waited for."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)


def check_zip(
    archive: zipfile.ZipFile, path: str | Path, most: int | None = None, error: type[ValueError] = WeightsError
) -> None:
    """Raise `error` for an archive whose content is far larger than itself, or larger than `most` bytes: reading it would fill the memory.

    What the archive states is looked at; zipfile reads no more of a member than that.
    """
    total = sum(member.file_size for member in archive.infolist())
    size = max(os.stat(path).st_size, 1)
    if total > RATIO_FROM and total > MAX_RATIO * size:
        raise error(
            f"{path} would grow {total / size:,.0f}-fold, to {total / 1e9:.1f} GB: honest files grow {MAX_RATIO}-fold at most."
        )
    if most is not None and total > most:
        raise error(f"{path} would unpack to {total / 1e9:.1f} GB; at most {most / 1e9:.1f} GB are expected of it.")
