"""OMAR-RQ: music audio representations by masked prediction of quantised features (Alonso-Jiménez et al., ACM MM 2025, arXiv 2507.03482)."""

from ..tokens.masking import mask_patches
from ..tokens.quantizers import FiniteScalarQuantizer, RandomProjectionQuantizer
from .chunks import aggregate_embeddings, chunk_offsets
from .conformer import Conformer
from .cqt import CQT
from .encodec import EnCodec
from .gin_config import parse_gin, read_gin
from .loading import build, load, recognise
from .loading import get_model as get_model  # names that others have too stand in no list
from .network import OmarRQ
from .representations import MelSpectrogram, Waveform
from .resampling import resample as resample
from .targets import OmarRQWithTargets

__all__ = [
    "CQT",
    "Conformer",
    "EnCodec",
    "FiniteScalarQuantizer",
    "MelSpectrogram",
    "OmarRQ",
    "OmarRQWithTargets",
    "RandomProjectionQuantizer",
    "Waveform",
    "aggregate_embeddings",
    "build",
    "chunk_offsets",
    "load",
    "mask_patches",
    "parse_gin",
    "read_gin",
    "recognise",
]
