"""music2vec: targets of a moving average of the network itself, predicted from masked audio (Li et al., ISMIR 2022 LBD, arXiv 2212.02508)."""

from .files import recognise
from .loading import build, load
from .network import Music2Vec
from .pooling import LayerAverage, time_mean
from .processor import Processor
from .recipe import data2vec_loss, ema_decay, teacher_targets

__all__ = [
    "LayerAverage", "Music2Vec", "Processor", "build", "data2vec_loss", "ema_decay", "load", "recognise", "teacher_targets", "time_mean",
]  # fmt: skip
