"""MusicFM: a foundation model of music by masked token prediction (Won, Hung and Le, ICASSP 2024, arXiv 2311.03318)."""

from .loading import build, load, recognise
from .network import MusicFM25Hz
from .pooling import frame_pool, sequence_pool

__all__ = ["MusicFM25Hz", "build", "frame_pool", "load", "recognise", "sequence_pool"]
