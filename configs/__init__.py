"""What is run: typed defaults (schema) and named configs, data only."""

from . import demo, inference, pretrain, probe
from .pretrain import MAEST
from .probe import PROBE

__all__ = ["MAEST", "PROBE", "demo", "inference", "pretrain", "probe"]
