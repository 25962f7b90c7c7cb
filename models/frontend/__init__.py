"""MAEST's mel front end: settings (mel_settings.py, without torch) and the module that computes log-mels (mel.py).

torch is imported with the first of mel.py's names: worker processes that only decode or resample stay small.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from .mel_settings import MAEST, NORM_MEAN, NORM_STD, Edges, MelSettings, essentia_filterbank, frames_of, slaney_filterbank

if TYPE_CHECKING:
    from .mel import MaestMel, mel_blocks, normalise

__all__ = [
    "MAEST",
    "NORM_MEAN",
    "NORM_STD",
    "Edges",
    "MaestMel",
    "MelSettings",
    "essentia_filterbank",
    "frames_of",
    "mel_blocks",
    "normalise",
    "slaney_filterbank",
]


def __getattr__(name: str) -> object:
    if name in ("MaestMel", "mel_blocks", "normalise"):
        return getattr(importlib.import_module(".mel", __name__), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
