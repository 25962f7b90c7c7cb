"""The self-supervised families that ex_ssl.py trains: from their config section to network, objective and kind of batches.

A family is a module of this package with the public functions of clmr.py (`rate`, `labelled`, `check`, `network`, `objective`, `batches`, ...);
its models are a folder of models/, its section a dataclass of configs/schema_ssl.py, its named configs stand in configs/.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from models.errors import ConfigError, nearest

FAMILIES = ("clmr",)


def family(name: str) -> ModuleType:
    """The family's module. Raises ConfigError for an unknown name."""
    if name not in FAMILIES:
        raise ConfigError(f"There is no family '{name}'; there are {', '.join(FAMILIES)}.{nearest(name, FAMILIES)}")
    return importlib.import_module(f".{name}", __package__)
