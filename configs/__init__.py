"""What is run: typed defaults (schema) and named configs, data only."""

from . import demo, inference, pretrain, probe, ssl
from .pretrain import MAEST
from .probe import PROBE
from .ssl import SSL

__all__ = ["MAEST", "PROBE", "SSL", "demo", "inference", "pretrain", "probe", "ssl"]
