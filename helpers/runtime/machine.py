"""The machine that is there: its figures, measured once for each processor and version of torch and kept in the user's cache.

MAEST_MACHINE=off measures nothing: all is computed in torch's own way. MAEST_MACHINE=FILE takes the figures of a file (as one in the cache is), so
that the unlike machines of a cluster compute alike. MAEST_CACHE names another folder than ~/.cache/maest.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from datasets.utils.files import atomic
from models.bounded_files import read_json
from models.cache import cache_folder
from models.errors import ConfigError

from . import probe

log = logging.getLogger(__name__)
VARIABLE = "MAEST_MACHINE"
OFF = "off"
FORMAT = 1  # raised when probe.py measures something else under the same names
_measured: dict[str, dict[str, float]] = {}  # of this process, by the machine's key


def describe(device: torch.device) -> dict[str, Any]:
    """Return what figures hold for: device, cores, threads, torch."""
    about = {
        "format": FORMAT,
        "torch": torch.__version__,
        "device": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }
    if device.type == "cuda":
        about["device"] = f"{torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}"
    return about


def figures(kinds: tuple[str, ...], device: torch.device) -> Mapping[str, float]:
    """Return the seconds of these kinds (probe.py) on a device, and of what else is known; what is not is measured now, and kept.

    A cache that cannot be written is no fault: the figures then last as long as the process. Raises ConfigError for a MAEST_MACHINE that is no
    such file.
    """
    chosen = os.environ.get(VARIABLE, "")
    if chosen == OFF:
        return {}
    if chosen:
        return _given(Path(chosen))
    about = describe(device)
    key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
    path = cache_folder() / f"machine-{key}.json"
    if key not in _measured:
        _measured[key] = read(path, about) or {}
    known = _measured[key]
    lacking = [kind for kind in kinds if not any(name.startswith(f"{kind}/") for name in known)]
    for kind in lacking:
        known |= probe.measure(kind, device)
    if lacking:
        write(path, about, known)
    return known


def read(path: Path, about: Mapping[str, Any]) -> dict[str, float] | None:
    """Return the figures of a file of the cache; None, with a line in the log, for one that is damaged or of another machine."""
    if not path.exists():
        return None
    try:
        content = read_json(path)
        if not isinstance(content, dict) or content.get("about") != dict(about):
            raise ValueError("it is of another machine")
        return _checked(content.get("seconds"))
    except (OSError, ValueError, RecursionError) as error:
        log.warning("%s does not count (%s): this machine is measured again.", path, error)
        return None


def write(path: Path, about: Mapping[str, Any], seconds: Mapping[str, float]) -> None:
    """Keep figures; where that cannot be, say so."""
    try:
        with atomic(path, sync=False) as part:
            part.write_text(json.dumps({"about": dict(about), "seconds": dict(seconds)}, indent=1), encoding="utf-8")
    except OSError as error:
        log.info("This machine's figures cannot be kept in %s (%s): each run measures them.", path, error)


def _given(path: Path) -> dict[str, float]:
    try:
        content = read_json(path)
        return _checked(content.get("seconds") if isinstance(content, dict) else None)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"{VARIABLE} is {str(path)!r}, which holds no figures of a machine ({error}): name a file that `python ex_maest.py machine` has left, "
            f"or set {OFF}."
        ) from error


def _checked(seconds: Any) -> dict[str, float]:
    if not isinstance(seconds, dict) or not all(
        isinstance(name, str) and isinstance(s, (int, float)) and not isinstance(s, bool) and math.isfinite(s) and s > 0
        for name, s in seconds.items()
    ):
        raise ValueError("it holds no seconds by name")
    return {name: float(s) for name, s in seconds.items()}


def _processor() -> str:
    """Return the processor's model, as precisely as the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    names = ("vendor_id", "cpu family", "model", "model name", "stepping", "CPU part")
    said: dict[str, str] = {}
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").split("\n\n")[0].splitlines():
            name, _, value = line.partition(":")
            if name.strip() in names:
                said[name.strip()] = value.strip()
    return " ".join(said.get(name, "") for name in names if name in said) or f"{platform.machine()} {platform.processor()}"
