"""Archives of data sets, unpacked as if a stranger had made them: zip (in numbered parts too) and tar.

Nothing of an archive is written before all its names are known to be safe, as far as the format lets them be known first: a zip has a table of
contents, of a tar the names come one by one. A file appears under its name when it is whole and its checksum right; a run that was killed is
gone on with by the same call, which writes only what is lacking.
"""

from __future__ import annotations

import bisect
import errno
import io
import itertools
import lzma
import os
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from models.bounded_files import open_regular
from models.errors import DataSetError
from models.settings import shown

from ..utils.files import atomic, remove_parts
from ..utils.progress import JobProgress

_BLOCK = 1 << 20  # bytes read at once
MAX_RATIO = (
    200  # a member that claims to grow by more, and beyond RATIO_FROM bytes, is taken for a bomb; audio grows by less than 2
)
MAX_HEADER = 1 << 20  # bytes of a long name, or of further headers, of a member of a tar
_IN_MEMORY = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
RATIO_FROM = 64 << 20
MOST_NAMES = 5_000_000  # of one archive; the largest data sets have a tenth of that
# of a name that is too long, of odd characters, or a file where another name needs a folder
_DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError, IndexError, OverflowError, struct.error,
)  # fmt: skip
_NAME_ERRORS = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.EEXIST, errno.ENOTDIR, errno.EISDIR)


@dataclass(frozen=True)
class Unpacked:
    """Files that the archive holds, how many were written now, and their bytes in all."""

    files: int
    written: int
    size: int


class JoinedFile(io.RawIOBase):
    """Numbered parts read as the one file that they are pieces of: seekable, a part open at a time, nothing copied.

    parts: in any order; their numbers give it ("mp3.zip.001", "mp3.zip.002", ...).

    Raises DataSetError as `in_order` does.
    """

    def __init__(self, parts: Sequence[str | os.PathLike[str]]):
        super().__init__()
        self.parts = in_order(parts)
        self._ends = list(itertools.accumulate(part.stat().st_size for part in self.parts))
        self._at = 0
        self._open: tuple[int, IO[bytes]] | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._ends[-1]}[whence]
        if start + offset < 0:
            raise OSError(errno.EINVAL, f"cannot seek to {start + offset}")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        number = bisect.bisect_right(self._ends, self._at)
        if number == len(self.parts):
            return 0
        if self._open is None or self._open[0] != number:
            self._close_part()
            self._open = (number, open_regular(self.parts[number], DataSetError, buffering=0))  # closed in _close_part
        file = self._open[1]
        file.seek(self._at - (self._ends[number - 1] if number else 0))
        count = file.readinto(buffer)  # type: ignore[attr-defined]
        self._at += count
        return count

    def _close_part(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def close(self) -> None:
        self._close_part()
        super().close()


def in_order(parts: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Return parts by their number (a single file may have none). Raises DataSetError for absent parts, gaps and numbers that stand twice."""
    paths = [Path(part) for part in parts]
    absent = sorted(str(path) for path in paths if not path.is_file())
    if absent or not paths:
        raise DataSetError(f"There is no {', no '.join(absent) or 'archive'}. Download it, or copy it there.")
    if len(paths) == 1:
        return paths
    numbers = {}
    for path in paths:
        found = re.search(r"\.(\d+)$", path.name)
        if not found or int(found[1]) in numbers:
            raise DataSetError(f"{path.name} is no part of {paths[0].name}: parts end in a number each, .001, .002 and so on.")
        numbers[int(found[1])] = path
    ordered = sorted(numbers)
    gaps = sorted(set(range(ordered[0], ordered[-1])) - set(ordered)) + ([] if ordered[0] <= 1 else [ordered[0] - 1])
    if gaps:
        raise DataSetError(f"Parts {gaps} of {paths[0].with_suffix('').name} are missing; there are {ordered}.")
    return [numbers[number] for number in ordered]


def unpack(
    parts: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    max_bytes: int | None = None,
    rename: Callable[[str], str | None] = lambda name: name,
) -> Unpacked:
    """Unpack one archive (zip, or tar in any compression; zip in numbered parts too) under the folder `out`.

    max_bytes: refuse an archive whose files are larger in all; never more than the disk has free. rename: an archive's name to
    the one it gets here; None leaves the file out.

    Raises DataSetError, before the file in question is written (of a zip: before any is), for names that lead out of `out`, absolute names,
    links and special files, names that stand twice, bombs and encrypted archives; and for damage, naming the file.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    remove_parts(out, deep=True)
    ordered = in_order(parts)
    name = ordered[0].name if len(ordered) == 1 else ordered[0].stem
    with io.BufferedReader(JoinedFile(ordered), _BLOCK) as file:
        try:
            if zipfile.is_zipfile(file):
                return _unpack_zip(file, out, name, max_bytes, rename)
            file.seek(0)
            return _unpack_tar(file, out, name, max_bytes, rename)
        except DataSetError:
            raise
        except _DAMAGE as error:  # RecursionError: headers upon headers
            raise DataSetError(
                f"{name} cannot be unpacked: {_words(error)}. Remove it (all its parts) and download it again."
            ) from error
        except OSError as error:
            if error.errno not in _NAME_ERRORS:
                raise
            raise DataSetError(
                f"{name} holds a name that cannot be a file here: {str(error.filename)[-60:]!r} ({error.strerror})."
            ) from error


def _words(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return text if text.isprintable() else shown(text)


def _unpack_zip(file: IO[bytes], out: Path, name: str, max_bytes: int | None, rename: Callable[[str], str | None]) -> Unpacked:
    with zipfile.ZipFile(file) as archive:
        members = []
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise DataSetError(f"{name} holds {info.orig_filename!r}, a link or special file; nothing of it was unpacked.")
            if info.flag_bits & 1:
                raise DataSetError(f"{name} is encrypted ({info.orig_filename!r}).")
            if info.is_dir():
                check_name(info.orig_filename.rstrip("/"), name)
                continue
            check_name(info.orig_filename, name)
            target = rename(info.filename)
            if target is not None:
                check_name(target, name)
                members.append((info, target))
        _check_tree([target for _, target in members], name)
        for info, _ in members:
            if info.file_size > RATIO_FROM and info.file_size > MAX_RATIO * max(info.compress_size, 1):
                raise DataSetError(
                    f"{name}: {info.filename!r} claims to grow {info.file_size / max(info.compress_size, 1):.0f}-fold."
                )
        total = sum(info.file_size for info, _ in members)
        size = file.seek(0, os.SEEK_END)
        packed = sum(info.compress_size for info, _ in members)
        if packed > size or (total > RATIO_FROM and total > MAX_RATIO * size):  # members that lie over one another are a bomb
            raise DataSetError(
                f"{name} claims to grow to {total / 1e9:.1f} GB out of {size / 1e9:.3f} GB; nothing of it was unpacked."
            )
        lacking = [(info, target) for info, target in members if not _stands(out, target, info.file_size)]
        _check_size(total, sum(info.file_size for info, _ in lacking), max_bytes, out, name)
        if lacking:
            with JobProgress(f"Unpacking {name}", len(members), "files", done=len(members) - len(lacking)) as progress:
                for info, target in lacking:
                    with archive.open(info) as source:
                        _write(out, target, source, info.file_size, name)
                    progress.advance()
    return Unpacked(len(members), len(lacking), total)


def _unpack_tar(file: IO[bytes], out: Path, name: str, max_bytes: int | None, rename: Callable[[str], str | None]) -> Unpacked:
    files = written = total = read = seen_bytes = count = 0
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    with (
        tarfile.open(fileobj=file, mode="r|*", tarinfo=_Member) as archive,
        JobProgress(f"Unpacking {name}", size >> 20, "MB") as progress,
    ):
        seen: set[str] = set()
        for member in archive:
            found = member.name.removeprefix("./")
            count += 1
            if count > MOST_NAMES:
                raise DataSetError(
                    f"{name} holds more than {MOST_NAMES:,} names; what stands before {member.name!r} was unpacked."
                )
            seen_bytes += member.size + tarfile.BLOCKSIZE  # folders, files that are left out and bare names are read, too
            if seen_bytes > RATIO_FROM and seen_bytes > MAX_RATIO * size:
                raise DataSetError(
                    f"{name} grows more than {MAX_RATIO}-fold, up to {member.name!r}; what stands before it was unpacked."
                )
            if member.isdir():
                if found not in ("", "."):
                    check_name(found.rstrip("/"), name)
                continue
            if not member.isreg():
                raise DataSetError(f"{name} holds {member.name!r}, a link or special file; it was not unpacked.")
            check_name(found, name)
            path = rename(found)
            if path is None:
                continue
            check_name(path, name)
            if path in seen:
                raise DataSetError(f"{name} holds {path!r} twice.")
            seen.add(path)
            files, total = files + 1, total + member.size
            lacking = not _stands(out, path, member.size)
            _check_size(total, member.size if lacking else 0, max_bytes, out, name)
            if lacking:
                source = archive.extractfile(member)
                assert source is not None
                _write(out, path, source, member.size, name)
                written += 1
            progress.advance((file.tell() >> 20) - read, note=f"{files} files")
            read = file.tell() >> 20
    return Unpacked(files, written, total)


class _Member(tarfile.TarInfo):
    """A member whose long names and further headers, which tarfile reads into memory whole, are bounded."""

    @classmethod
    def frombuf(cls, buf: Any, encoding: Any, errors: str) -> _Member:
        """Return the member that a header describes. Raises tarfile.ReadError for a header that would fill the memory."""
        found = super().frombuf(buf, encoding, errors)
        if found.type in _IN_MEMORY and found.size > MAX_HEADER:
            raise tarfile.ReadError(f"a header of {found.size / 1e6:.0f} MB")
        return found


def check_name(path: str, archive: str) -> None:
    """Raise DataSetError for a member's name that is no plain relative path (as data/layouts.py asks of tracks' names)."""
    parts = path.split("/")
    if (
        path.startswith("/")
        or any(mark in path for mark in ("\0", "\\"))
        or re.match(r"[A-Za-z]:", path)
        or any(part in ("", ".", "..") for part in parts)
    ):
        raise DataSetError(f"{archive} holds the name {path!r}, which may lead out of the folder; it was not unpacked.")


def _check_tree(names: Sequence[str], archive: str) -> None:
    """No name twice, and no file where another name needs a folder."""
    unique = set(names)
    if len(unique) != len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise DataSetError(f"{archive} holds {twice!r} twice; nothing of it was unpacked.")
    folders = {parent.as_posix() for name in unique for parent in Path(name).parents}
    if both := sorted(unique & folders):
        raise DataSetError(f"{archive} holds {both[0]!r} as a file and as a folder; nothing of it was unpacked.")


def _check_size(total: int, needed: int, max_bytes: int | None, out: Path, archive: str) -> None:
    if max_bytes is not None and total > max_bytes:
        raise DataSetError(f"{archive} claims to hold {total / 1e9:.1f} GB; {max_bytes / 1e9:.1f} GB at most are expected of it.")
    free = shutil.disk_usage(out).free
    if needed > free:
        raise DataSetError(f"{archive} needs {needed / 1e9:.1f} GB more; {free / 1e9:.1f} GB are free in {out}.")


def _stands(out: Path, name: str, size: int) -> bool:
    """Whether the file is there: files get their name when they are whole, so that the size tells."""
    try:
        found = (out / name).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == size


def _write(out: Path, name: str, source: IO[bytes], size: int, archive: str) -> None:
    """One file, whole or not at all."""
    target = out / name
    for parent in list(target.relative_to(out).parents)[-2::-1]:  # from the outermost in; a link on the way may lead anywhere
        if (out / parent).is_symlink():
            raise DataSetError(f"{out / parent} is a link; {archive} is not unpacked through it.")
    with atomic(target, sync=False) as part, open(part, "xb") as file:
        for block in _blocks(source, size, name, archive):
            file.write(block)


def _blocks(source: IO[bytes], size: int, name: str, archive: str) -> Iterator[bytes]:
    """The member's bytes; zipfile checks their CRC at the end. Never more than the archive states."""
    count = 0
    while block := source.read(_BLOCK):
        count += len(block)
        if count > size:
            break
        yield block
    if count != size:
        raise DataSetError(f"{archive}: {name!r} is {'longer' if count > size else 'shorter'} than the {size} bytes it states.")
