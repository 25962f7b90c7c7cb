"""What a run was made with: the state of the code, the lock, the installed packages, the machine, and the process that runs it."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from models.bounded_files import read_bytes, read_text

GIT_SECONDS = 20.0  # a git that hangs (a dead network disk) must not hold a run up for ever


def git_state(folder: Path) -> dict[str, Any] | None:
    """Return {"url", "commit", "dirty"} of the repository that holds `folder`; None where there is none, or no git. Untracked files do not count."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    url = _git(folder, "config", "--get", "remote.origin.url") or f"file://{_git(folder, 'rev-parse', '--show-toplevel')}"
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"url": re.sub(r"//[^/@]*@", "//", url), "commit": commit, "dirty": bool(changed)}  # an address may hold a password


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=GIT_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def lock_state(folder: Path) -> dict[str, Any] | None:
    """Return {"file", "sha256", "differs"} of folder/requirements.txt; differs: its packages whose installed version is another, or absent.

    None where there is no lock (an installed package).
    """
    lock = folder / "requirements.txt"
    if not lock.is_file():
        return None
    pins = dict(re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^ ;\n]+)", read_text(lock), flags=re.MULTILINE))
    differs = {name: version for name in pins if (version := _version(name)) != pins[name]}
    return {"file": lock.name, "sha256": hashlib.sha256(read_bytes(lock)).hexdigest(), "differs": differs}


def packages(folder: Path) -> list[str]:
    """name==version of the installed packages that folder/requirements.in asks for by name."""
    asked = folder / "requirements.in"
    names = re.findall(r"^([A-Za-z0-9._-]+)", read_text(asked), flags=re.MULTILINE) if asked.is_file() else ["torch", "numpy"]
    return [f"{name}=={version}" for name in sorted(names, key=str.lower) if (version := _version(name))]


@functools.cache  # reading a package's description takes milliseconds, and a process keeps the packages that it began with
def _version(name: str) -> str | None:
    """Return the installed version without its local part ("+cpu" says where a wheel came from, and torch's own says it again)."""
    try:
        return metadata.version(name).partition("+")[0]
    except metadata.PackageNotFoundError:
        return None


def process_state(pid: int | None = None) -> dict[str, Any]:
    """Return what tells a process from every other, past and future: {"pid", "started", "space"}.

    started: its start in the kernel's clock ticks; space: the process numbers that `pid` is one of (a container has its own). Both
    are None where the system does not tell (no /proc).
    """
    pid = os.getpid() if pid is None else pid
    return {"pid": pid, "started": _start_ticks(pid), "space": _number_space()}


def process_is_gone(hostname: str | None, process: dict[str, Any] | None) -> bool | None:
    """Return whether the process that `process_state` described on `hostname` is no more. None: not to be known from here (another machine)."""
    if not process or hostname != platform.node() or process.get("space") != _number_space() or process.get("started") is None:
        return None
    return _start_ticks(int(process["pid"])) != process["started"]


def _start_ticks(pid: int) -> int | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *rest = text.rpartition(")")[2].split()  # the command's name in brackets may hold anything
    return None if state == "Z" else int(rest[18])


def _number_space() -> str | None:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return None


def project_sources(root: Path) -> list[Path]:
    """Return the Python files of the project's packages below `root`: what every run stores beside its script."""
    return [path for folder in ("configs", "models", "datasets", "helpers") for path in sorted((root / folder).rglob("*.py"))]
