"""The machine that is there: its figures, measured once for each processor and version of torch and kept in the user's cache.

MAEST_MACHINE=off measures nothing: all is computed in torch's own way. MAEST_MACHINE=FILE takes the figures of a file (as one in the cache is), so
that the unlike machines of a cluster compute alike. MAEST_MACHINE=remeasure lets the cache's figures of this machine count no more.
MAEST_CACHE names another folder than ~/.cache/maest.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from datasets.utils.files import atomic
from models.bounded_files import read_json
from models.cache import cache_folder
from models.errors import ConfigError
from models.processor import instructions, processor

from . import probe

log = logging.getLogger(__name__)
VARIABLE = "MAEST_MACHINE"
OFF, REMEASURE = "off", "remeasure"
FORMAT = 2  # raised when probe.py measures something else, or otherwise, under the same names
_measured: dict[str, dict[str, float]] = {}  # of this process, by the machine's key
_unsettled: dict[str, set[str]] = {}  # kinds whose figures scattered in this process, likewise
_one_at_a_time = threading.RLock()  # threads that measured at once would measure each other


def describe(device: torch.device) -> dict[str, Any]:
    """Return what figures hold for: device, instructions, cores, threads, torch."""
    about = {
        "format": FORMAT,
        "torch": torch.__version__,
        "device": processor(),
        "instructions": instructions(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }
    if device.type == "cuda":
        about["device"] = f"{torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}"
    return about


def figures(kinds: tuple[str, ...], device: torch.device) -> Mapping[str, float]:
    """Return the seconds of these kinds (probe.py) on a device, and of what else is known; what is not is measured now, and kept.

    Figures that scatter too much to decide anything (settling.py) are left out: this process does not try them again, and the next one does. A
    cache that cannot be written is no fault: the figures then last as long as the process. Raises ConfigError for a MAEST_MACHINE that is no such
    file.
    """
    chosen = os.environ.get(VARIABLE, "")
    if chosen == OFF:
        return {}
    if chosen not in ("", REMEASURE):
        return _given(Path(chosen))
    with _one_at_a_time:
        return _known(kinds, device, chosen == REMEASURE)


def _known(kinds: tuple[str, ...], device: torch.device, anew: bool) -> dict[str, float]:
    about = describe(device)
    key = _key(about)
    path = _file(key)
    if key not in _measured:
        _measured[key] = (None if anew else read(path, about)) or {}
    known, scattered = _measured[key], _unsettled.setdefault(key, set())
    lacking = [kind for kind in kinds if kind not in scattered and not any(name.startswith(f"{kind}/") for name in known)]
    if lacking:
        found, wild = probe.measure(lacking, device)
        scattered |= wild
        settled = {name: seconds for name, seconds in found.items() if name.partition("/")[0] not in wild}
        known |= settled
        if settled:
            write(path, about, known)
        if wild:
            log.warning(
                "Figures of this machine scatter too much to decide by (%s): measured again by the next run.",
                ", ".join(sorted(wild)),
            )
    return known


def unsettled(device: torch.device) -> frozenset[str]:
    """Return the kinds whose figures scattered too much in this process to decide anything: what they would decide is torch's own way."""
    if os.environ.get(VARIABLE, "") not in ("", REMEASURE):
        return frozenset()
    return frozenset(_unsettled.get(_key(describe(device)), ()))


def kept_in(device: torch.device) -> Path:
    """Return the file that figures of a device are kept in: of this process's threads and version of torch."""
    return _file(_key(describe(device)))


def _file(key: str) -> Path:
    return cache_folder() / f"machine-{key}.json"


def _key(about: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(dict(about), sort_keys=True).encode()).hexdigest()[:16]


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
