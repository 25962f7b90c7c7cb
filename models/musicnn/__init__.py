"""musicnn: a supervised tagger of musically motivated convolutions (Pons, Serra, arXiv 1909.06654), with its published weights."""

from .archs import build, load, recognise
from .bundle import read_bundle
from .network import MusiCNN

__all__ = ["MusiCNN", "build", "load", "read_bundle", "recognise"]
