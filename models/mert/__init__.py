"""MERT: encoders of music trained on tokens of audio codecs and constant-Q spectra (Li et al., ICLR 2024, arXiv 2306.00107), for extraction."""

from .files import recognise
from .loading import build, load
from .network import MERT

__all__ = ["MERT", "build", "load", "recognise"]
