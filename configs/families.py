"""The families of models that modules of this package describe: found, listed nowhere."""

from __future__ import annotations

import importlib
import pkgutil
import sys

from .naming import FamilyConfigs


def find_families(script: str) -> list[FamilyConfigs]:
    """Return what modules of this package bring as FAMILY for a script, in the order of their names."""
    package = sys.modules[str(__package__)]  # which imports this module
    names = [module.name for module in pkgutil.iter_modules(package.__path__) if module.name != "families"]
    modules = [importlib.import_module(f".{name}", __package__) for name in names]
    found = [module.FAMILY for module in modules if hasattr(module, "FAMILY")]
    return [family for family in found if script in family.scripts]
