"""Which processor this is, as far as the system tells: what was measured on one does not hold on another."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path

import torch


def processor() -> str:
    """Return the processor's model, as precisely as the system tells it."""
    names = ("vendor_id", "cpu family", "model", "model name", "stepping", "CPU part")
    said = _cpuinfo()
    return " ".join(said.get(name, "") for name in names if name in said) or f"{platform.machine()} {platform.processor()}"


def instructions() -> str:
    """Return a mark of the processor's flags: a virtual machine that moved may have others under the same name. Where none are told, torch's."""
    said = _cpuinfo()
    flags = " ".join(sorted((said.get("flags") or said.get("Features") or torch.backends.cpu.get_cpu_capability()).split()))
    return hashlib.sha256(flags.encode()).hexdigest()[:16]


def _cpuinfo() -> dict[str, str]:
    """Return what the system says of the first processor; nothing where it says nothing."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n\n")[0].splitlines()
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
