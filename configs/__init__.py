"""What is run: typed defaults (schema) and named configs, data only."""

from . import demo, inference, paper, pretrain, probe, ssl, targets
from .paper import PAPER
from .pretrain import MAEST
from .probe import PROBE
from .ssl import SSL
from .targets import TARGETS

__all__ = ["MAEST", "PAPER", "PROBE", "SSL", "TARGETS", "demo", "inference", "paper", "pretrain", "probe", "ssl", "targets"]
