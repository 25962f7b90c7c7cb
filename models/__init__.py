"""Music audio transformers: audio in, vectors and labels out. Imported as `models` in a checkout, as `maest` when installed.

Importing the package itself is cheap (no torch): worker processes that only decode audio stay small. The names below load on first use.
"""

from __future__ import annotations

import importlib

from ._alias import install as _install

_install(__name__)

_WHERE: dict[str, str] = {
    "get_maest": ".maest",
    "get_model": ".weights.registry",
    "list_models": ".weights.registry",
    "load_model": ".weights.registry",
    "ModelCard": ".weights.registry",
    "AudioEncoder": ".encoder",
    "export_model": ".export",
}  # public name -> the module that defines it


def __getattr__(name: str) -> object:
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name], __name__), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
