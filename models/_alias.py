"""One module tree under two names: `models` in a checkout, `maest` when installed.

Without this, a checkout with the package installed would hold every class twice, and `isinstance` and pickles would fail across the two names.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from types import ModuleType

NAMES = ("models", "maest")


class _SameModule(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Answers an import under the other name with the module of the real name."""

    def __init__(self, real: str, other: str):
        self.real, self.other = real, other
        self._specs: dict[str, importlib.machinery.ModuleSpec | None] = {}

    def _translate(self, fullname: str) -> str:
        return self.real + fullname[len(self.other) :]

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.other and not fullname.startswith(self.other + "."):
            return None
        real = self._translate(fullname)
        found = sys.modules[real].__spec__ if real in sys.modules else importlib.util.find_spec(real)
        if found is None:
            return None
        return importlib.machinery.ModuleSpec(
            fullname, self, origin=found.origin, is_package=found.submodule_search_locations is not None
        )

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = importlib.import_module(self._translate(spec.name))
        self._specs[spec.name] = module.__spec__  # the import system is about to overwrite it
        return module

    def exec_module(self, module: ModuleType) -> None:
        own = module.__spec__
        assert own is not None
        module.__spec__ = self._specs.pop(own.name)


def install(real: str) -> None:
    """Make the package imported as `real` importable under its other name too (idempotent)."""
    if real not in NAMES or any(isinstance(finder, _SameModule) for finder in sys.meta_path):
        return
    other = NAMES[1 - NAMES.index(real)]
    sys.meta_path.insert(0, _SameModule(real, other))
    sys.modules.setdefault(other, sys.modules[real])
