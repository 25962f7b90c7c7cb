"""What is run: typed defaults (schema) and named configs, data only."""

from . import demo, inference, pretrain, probe, targets
from .pretrain import MAEST
from .probe import PROBE
from .targets import TARGETS

__all__ = ["MAEST", "PROBE", "TARGETS", "demo", "inference", "pretrain", "probe", "targets"]
