"""The folder of this suite in the user's cache: what can be made again (graphs, figures of the machine)."""

from __future__ import annotations

import os
from pathlib import Path

CACHE_VARIABLE = "MAEST_CACHE"


def cache_folder() -> Path:
    """Return it: MAEST_CACHE, or maest in the user's cache; it need not be there."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "maest"
