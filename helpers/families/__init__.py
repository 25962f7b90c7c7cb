"""The families of models, each a module of this package with a `FAMILY`; found by name, listed nowhere. Importing the package itself is cheap."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from models._outside import folders_outside

if TYPE_CHECKING:
    from .base import Family

# a family may live outside the checkout: FOLDER/helpers/families/<name>.py, beside FOLDER/models/<name>/ and FOLDER/configs/<name>.py
__path__ += folders_outside("MAEST_FAMILIES", "helpers", "families")


def get_family(name: str) -> Family:
    """Return a family by its name. Raises ConfigError, naming the nearest, for an unknown one."""
    from models.errors import ConfigError, nearest
    from models.registry import FAMILIES  # at first use: it imports torch

    if name not in FAMILIES:
        raise ConfigError(
            f"There is no family '{name}'; there are {', '.join(FAMILIES)}.{nearest(name, FAMILIES)} A family is a "
            f"folder models/{name}/ with archs.py, in the checkout or in a folder that MAEST_FAMILIES names."
        )
    found: Family = importlib.import_module(f".{name}", __package__).FAMILY
    return found
