"""MAEST: supervised spectrogram transformers for music."""

from ..formats import FolderFormat
from . import ast, graph
from .archs import ARCHS, get_maest, load_maest, recognise
from .convert import remap_deit, remap_passt
from .network import MAEST
from .patchout import Patchout

FORMATS = {"ast": FolderFormat(ast.files), "onnx": graph.FORMAT}
build, load = get_maest, load_maest  # with `recognise`: what models/registry.py asks of every family

__all__ = [
    "ARCHS",
    "FORMATS",
    "MAEST",
    "Patchout",
    "build",
    "get_maest",
    "load",
    "load_maest",
    "recognise",
    "remap_deit",
    "remap_passt",
]
