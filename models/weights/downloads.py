"""Files from the network: one file that resumes after a cut (weights; the data sets of datasets/ too), or a repository of the Hugging Face hub.
What carries its name is whole.

A download goes to `<file>.part`, with what identifies the remote file beside it, so that a later run (or the next attempt) goes on where it was cut,
never splicing two different files. The sha256 of a finished download is checked where it is known, and else kept as `<file>.sha256` (the format of
sha256sum): a later download of the same name must have it. Environment: HF_HUB_OFFLINE=1 (no network at all), HF_ENDPOINT, HF_HOME and HF_HUB_CACHE
as huggingface_hub takes them, http(s)_proxy.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import logging
import os
import re
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..bounded_files import never_through_a_link, open_regular, read_json, read_text
from ..errors import WeightsError

log = logging.getLogger(__name__)
ATTEMPTS = 5  # to go on after a cut, as long as each brought something
TIMEOUT = 30.0  # s without an answer
_BLOCK = 1 << 20  # bytes read at once
_MOST_SUMS = 1 << 16  # bytes of a file of one checksum
HUB_FILES = ("model.safetensors", "config.json")


class DownloadError(OSError):
    """A file that could not be had now: no network, no such file, or cut off too often. A part of it may wait to be resumed."""


def offline() -> bool:
    """Whether HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) forbids the network."""
    return any(
        os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE") for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    )


def download(
    url: str,
    target: Path,
    sha256: str | None = None,
    *,
    md5: str | None = None,
    size: int | None = None,
    known_from: str = "its card",
) -> Path:
    """`url` as the file `target`, resumed where an earlier download of it was cut. Several processes may ask at once: one downloads.

    sha256: hex digest, or its first digits; None: that of an earlier download of this name, where one was kept. md5: where the publisher gives
    that one only. size: bytes. known_from: where these are from, for the message.

    Raises DownloadError when it cannot be had (what came is kept for a later run), WeightsError when it is another file than it should be.
    """
    from filelock import FileLock

    if not url.startswith(("http://", "https://")):
        raise DownloadError(f"{url} is no http or https address")
    target.parent.mkdir(parents=True, exist_ok=True)
    kept = target.with_name(f"{target.name}.sha256")
    with FileLock(target.with_name(f".{target.name}.lock")):
        if target.is_file():  # another process was faster
            return target
        part = _Part(target, url)
        for attempt in range(ATTEMPTS):
            before = part.size
            try:
                part.fetch(size)
                break
            except (urllib.error.HTTPError, OSError, http.client.HTTPException) as error:
                refused = isinstance(error, urllib.error.HTTPError) and error.code < 500
                if refused or part.size <= before or attempt == ATTEMPTS - 1:
                    raise DownloadError(f"{url}: {getattr(error, 'reason', None) or error or type(error).__name__}") from error
                log.warning("%s was cut off after %.1f MB (%s); going on.", url, part.size / 1e6, error)
        got = digest_of(part.path)
        wanted = sha256 or (_kept_digest(kept))
        source = known_from if sha256 else f"{kept}, from an earlier download; remove that file if the new one is meant"
        checks = [("sha256", got, wanted, source)]
        if md5 is not None:
            checks.append(("md5", digest_of(part.path, "md5"), md5, known_from))
        if size is not None:
            checks.append(("size", str(part.size), str(size), known_from))
        for what, found, right, source in checks:
            if right is not None and not found.startswith(right.lower()):
                part.discard()
                raise WeightsError(
                    f"{url} is not the file it should be: its {what} is {found}, wanted {right} ({source}). Nothing was kept."
                )
        with open(kept, "w", encoding="utf-8", opener=never_through_a_link) as file:
            file.write(f"{got}  {target.name}\n")
        os.replace(part.path, target)
        part.discard()
    return target


def _kept_digest(kept: Path) -> str | None:
    """What an earlier download's file had; None where that was not kept. Raises WeightsError for a list of checksums that is none."""
    if not os.path.lexists(kept):
        return None
    try:
        digest = read_text(kept, _MOST_SUMS).split()[:1]
    except (OSError, ValueError) as error:
        raise WeightsError(f"{kept} cannot be read: {error}") from error
    if not digest or not re.fullmatch(r"[0-9a-fA-F]{64}", digest[0]):
        raise WeightsError(f"{kept} holds no sha256: remove it, and what is downloaded will be taken as it comes.")
    return digest[0]


class _Part:
    """What there is so far of a download, and which remote file it is of."""

    def __init__(self, target: Path, url: str):
        self.path, self.url = target.with_name(f"{target.name}.part"), url
        self._about = target.with_name(f"{target.name}.part.json")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self._about.unlink(missing_ok=True)

    def _validator(self) -> str | None:
        """The ETag or date that the remote file had when this part was begun; None where it cannot be resumed."""
        try:
            about = read_json(self._about)
        except (OSError, ValueError):
            return None
        return about.get("validator") if isinstance(about, dict) and about.get("url") == self.url else None

    def fetch(self, size: int | None = None) -> None:
        """What is lacking, appended. Raises OSError or HTTPException when it is cut; what came is on the disk then.

        size: bytes that the file should have; a server that announces another number is refused before anything is read (WeightsError).
        """
        start, validator = self.size, self._validator()
        if start and validator is None:
            self.discard()
            start = 0
        headers = {"User-Agent": "maest", "Accept-Encoding": "identity"}
        if start:
            headers |= {"Range": f"bytes={start}-", "If-Range": str(validator)}
        try:
            answer = _open(urllib.request.Request(self.url, headers=headers))
        except urllib.error.HTTPError as error:
            if error.code == 416 and start:  # nothing behind what is here: it is whole, or of another file
                if error.headers.get("Content-Range") == f"bytes */{start}":
                    return None
                self.discard()
                return self.fetch(size)
            raise
        with answer:
            resumed = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {start}-")
            if answer.status == 206 and not resumed:
                raise OSError(f"the server sent another range than was asked for ({answer.headers.get('Content-Range')})")
            if not resumed:  # whole, or changed since: the part is of no use
                self.discard()
                start = 0
            etag = answer.headers.get("ETag")
            strong = etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified")
            with open(self._about, "w", encoding="utf-8", opener=never_through_a_link) as about:
                about.write(json.dumps({"url": self.url, "validator": strong}))
            length = answer.headers.get("Content-Length")
            total = start + int(length) if length is not None and length.isdigit() else None
            if size is not None and total not in (None, size):
                raise WeightsError(f"{self.url} is not the file it should be: it has {total} bytes, wanted {size}.")
            self._append(answer, start, total)
        if total is not None and self.size < total:
            raise OSError(f"cut off after {self.size} of {total} bytes")

    def _append(self, answer: Any, start: int, total: int | None) -> None:
        from huggingface_hub.utils import tqdm

        with (
            open(self.path, "ab", opener=never_through_a_link) as file,
            tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=self.path.name.removesuffix(".part")) as bar,
        ):
            while block := answer.read(_BLOCK):
                file.write(block)
                bar.update(len(block))
            file.flush()
            os.fsync(file.fileno())


def _open(request: urllib.request.Request) -> Any:
    """Urlopen by the proxies that the environment names now: Python's own keeps those of the process's first call."""
    return urllib.request.build_opener().open(request, timeout=TIMEOUT)


def from_hub(
    repo: str, cached_only: bool = False, files: Sequence[str] = HUB_FILES, options: Mapping[str, Any] | None = None
) -> Path:
    """Folder of a hub repository's weights and config in huggingface_hub's cache, downloaded (and resumed) where they are not.

    files: names of what is wanted. options: revision, cache_dir and token, as huggingface_hub takes them.

    Raises DownloadError when they cannot be had.
    """
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    endpoint = os.environ.get("HF_ENDPOINT", constants.ENDPOINT).rstrip("/")
    if not cached_only and not _reachable(endpoint):  # the hub's own client would try for half a minute
        raise DownloadError(f"{endpoint}/{repo}: not reachable")
    folder = Path()
    try:
        for name in files:
            found = hf_hub_download(repo, name, local_files_only=cached_only, endpoint=endpoint, **(options or {}))
            folder = Path(found).parent
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise DownloadError(
            f"{endpoint}/{repo}: {str(error).strip().splitlines()[0] if str(error).strip() else error}"
        ) from error
    return folder


def _reachable(endpoint: str) -> bool:
    try:
        with _open(urllib.request.Request(endpoint, method="HEAD")):
            return True
    except urllib.error.HTTPError:
        return True  # it answered
    except (OSError, http.client.HTTPException, ValueError):
        return False


def digest_of(path: Path, algorithm: str = "sha256") -> str:
    """Hex digest of a file, read in blocks."""
    digest = hashlib.new(algorithm)
    with open_regular(path, WeightsError) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
