"""Music audio transformers: audio in, vectors and labels out. Imported as `models` in a checkout, as `maest` when installed.

Importing the package itself is cheap (no torch): worker processes that only decode audio stay small. The names below load on first use.

Families may live outside this tree: for each folder that the environment variable MAEST_FAMILIES names (separated as in PATH), the packages in its
folder models/ are packages of this one.
"""

from __future__ import annotations

import importlib

from ._alias import install as _install
from ._outside import folders_outside as _folders_outside

__path__ += _folders_outside("MAEST_FAMILIES", "models")
_install(__name__)

_WHERE: dict[str, str] = {
    "get_card": ".registry",
    "get_model": ".registry",
    "list_models": ".registry",
    "load_model": ".registry",
    "ModelCard": ".card",
    "AudioEncoder": ".encoder",
    "export_model": ".export",
}  # public name -> the module that defines it; and get_X for every family X


def __getattr__(name: str) -> object:
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name], __name__), name)
    if name.startswith("get_"):  # get_X of a family X: its `build`
        registry = importlib.import_module(".registry", __name__)
        if name[len("get_") :] in registry.FAMILIES:
            return registry.family_package(name[len("get_") :]).build
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
