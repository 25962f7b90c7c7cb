"""Getting a data set's files: downloads (models/downloads.py) and their unpacking, each step done once, resumed where it was cut.

A bundle is a file, or an archive (in parts perhaps) and the folder that it becomes. When it stands unpacked, a small file says so
(`.NAME.unpacked`): the archive may be removed then, and is neither downloaded nor unpacked again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from models.bounded_files import read_text
from models.errors import DataSetError, WeightsError
from models.weights.downloads import DownloadError, digest_of, download, offline

from ..utils.files import write_whole
from .archives import Unpacked, unpack

log = logging.getLogger(__name__)


def without_litter(name: str) -> str | None:
    """Return the name, but of what macOS adds to archives."""
    return None if name.startswith("__MACOSX/") or name.endswith(".DS_Store") else name


@dataclass(frozen=True)
class Remote:
    """A file as its publisher serves it. sha256, md5, size (bytes): where they are known; else the first download's sha256 is kept."""

    name: str
    url: str
    sha256: str | None = None
    md5: str | None = None
    size: int | None = None


@dataclass(frozen=True)
class Bundle:
    """A file (`into` None), or an archive's parts and the folder to unpack them into.

    max_bytes: what the unpacked files may be in all. rename: as `unpack` takes it; what macOS leaves in archives is left out by default.
    """

    parts: tuple[Remote, ...]
    into: str | None = None
    max_bytes: int | None = None
    rename: Callable[[str], str | None] = without_litter

    @property
    def name(self) -> str:
        """'mp3.zip' of the parts mp3.zip.001, ..."""
        first = self.parts[0].name
        return first if len(self.parts) == 1 else first.rsplit(".", 1)[0]

    def marker(self, folder: Path) -> Path:
        """Return the file that says that this bundle stands unpacked."""
        return folder / f".{self.name}.unpacked"

    def stands(self, folder: Path) -> bool:
        """Return whether nothing is left to do."""
        if self.into is None:
            return (folder / self.name).is_file()
        return self.marker(folder).is_file() and (folder / self.into).is_dir()


def fetch(
    bundles: Sequence[Bundle],
    folder: str | Path,
    *,
    get: bool = True,
    open_up: bool = True,
    mirror: str | None = None,
    known: Mapping[str, str] | None = None,
    remove: bool = False,
) -> int:
    """Bring bundles into `folder`; returns how many needed work. What stands is left.

    get: download what is lacking. open_up: unpack archives. mirror: an address that serves the same files under the same names. known: sha256 by
    name, beside those of the bundles. remove: each archive goes when its files stand.

    Raises DownloadError for what cannot be had (what came of it waits for the next call), DataSetError for other files than they should be, absent
    ones, and archives that `unpack` refuses.
    """
    folder = Path(folder)
    worked = 0
    for bundle in bundles:
        if bundle.stands(folder):
            log.info("%s stands.", bundle.into or bundle.name)
            continue
        did = False
        for remote in bundle.parts:
            sha256 = (known or {}).get(remote.name)
            if (folder / remote.name).is_file():
                _check(remote, folder, sha256)
            elif get:
                _get(remote, folder, mirror, sha256)
                did = True
        if bundle.into is None:
            if not (folder / bundle.name).is_file():
                raise DataSetError(f"There is no {folder / bundle.name}. Download it, or copy it there.")
        elif open_up:
            _unpack(bundle, folder)
            did = True
            if remove:
                for remote in bundle.parts:
                    (folder / remote.name).unlink(missing_ok=True)
                log.info("%s was removed.", bundle.name)
        worked += did
    return worked


def _get(remote: Remote, folder: Path, mirror: str | None, sha256: str | None) -> None:
    if mirror is not None:
        remote = replace(remote, url=f"{mirror.rstrip('/')}/{remote.name}")
    if offline():
        raise DownloadError(
            f"{remote.url} is not here and the network is forbidden (HF_HUB_OFFLINE). Put it at {folder / remote.name}."
        )
    log.info("Downloading %s.", remote.url)
    known_from, md5 = ("the list that was given", None) if sha256 else ("as published", remote.md5)
    try:
        download(
            remote.url, folder / remote.name, size=remote.size, sha256=sha256 or remote.sha256, md5=md5, known_from=known_from
        )
    except WeightsError as error:
        raise DataSetError(str(error)) from error
    except DownloadError as error:
        raise DownloadError(
            f"{error}. The same command goes on where it stopped; or put the file at {folder / remote.name}."
        ) from error


def _check(remote: Remote, folder: Path, sha256: str | None) -> None:
    """A file that was there before: its size and digest, where they are known. Raises DataSetError."""
    path = folder / remote.name
    wanted = {"sha256": sha256 or remote.sha256, "md5": None if sha256 else remote.md5}
    found = {what: digest_of(path, what) for what, digest in wanted.items() if digest is not None}
    size = path.stat().st_size
    if remote.size not in (None, size):
        raise DataSetError(f"{path} has {size} bytes, wanted {remote.size}. Remove it to download it again.")
    for what, digest in found.items():
        if not digest.startswith(str(wanted[what]).lower()):
            raise DataSetError(f"{path}: its {what} is {digest}, wanted {wanted[what]}. Remove it to download it again.")


def _unpack(bundle: Bundle, folder: Path) -> Unpacked:
    assert bundle.into is not None
    paths = [folder / remote.name for remote in bundle.parts]
    done = unpack(paths, folder / bundle.into, bundle.max_bytes, bundle.rename)
    if not done.files:
        raise DataSetError(f"{bundle.name} holds no file that is wanted of it.")
    log.info("%s: %d files in %s, %d of them unpacked now.", bundle.name, done.files, folder / bundle.into, done.written)
    about = {"files": done.files, "bytes": done.size, "parts": {path.name: path.stat().st_size for path in paths}}
    write_whole(bundle.marker(folder), json.dumps(about, indent=1) + "\n")
    return done


def read_sums(path: str | Path) -> dict[str, str]:
    """Return {file name: digest} of a file as sha256sum and md5sum write them. Raises DataSetError."""
    try:
        rows = [line.split(maxsplit=1) for line in read_text(path, error=DataSetError).splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataSetError(f"{path} cannot be read: {error}.") from None
    if not rows or any(len(row) != 2 or not set(row[0].lower()) <= set("0123456789abcdef") for row in rows):
        raise DataSetError(f"{path} is no list of checksums: lines 'digest  name' are wanted.")
    return {name.removeprefix("*").strip().rsplit("/", 1)[-1]: digest.lower() for digest, name in rows}
