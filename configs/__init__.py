"""What is run: typed defaults (schema) and named configs, data only."""

# ruff: isort: skip_file
# in the order in which print_named_configs lists them
from . import pretrain, ssl, probe, inference, targets, demo, paper
from .paper import PAPER
from .pretrain import MAEST
from .probe import PROBE
from .ssl import SSL
from .targets import TARGETS

__all__ = ["MAEST", "PAPER", "PROBE", "SSL", "TARGETS", "demo", "inference", "paper", "pretrain", "probe", "ssl", "targets"]
