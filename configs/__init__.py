"""What is run: typed defaults (schema) and named configs, data only."""

from . import demo, inference, pretrain, probe, ssl, targets
from .pretrain import MAEST
from .probe import PROBE
from .ssl import SSL
from .targets import TARGETS

__all__ = ["MAEST", "PROBE", "SSL", "TARGETS", "demo", "inference", "pretrain", "probe", "ssl", "targets"]
