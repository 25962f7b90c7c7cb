"""MAEST: supervised spectrogram transformers for music."""

from .archs import ARCHS, get_maest, load_maest
from .convert import remap_deit, remap_passt
from .network import MAEST
from .patchout import Patchout

build = get_maest  # what the registry calls: every family offers `build(name, **kwargs)`

__all__ = ["ARCHS", "MAEST", "Patchout", "get_maest", "load_maest", "remap_deit", "remap_passt"]
