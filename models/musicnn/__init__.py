"""musicnn: a supervised tagger of musically motivated convolutions (Pons, Serra, arXiv 1909.06654), with its published weights."""

from .archs import build, load, recognise
from .bundle import read_bundle
from .graph import FORMAT
from .network import MusiCNN

FORMATS = {"onnx": FORMAT}

__all__ = ["FORMATS", "MusiCNN", "build", "load", "read_bundle", "recognise"]
