"""MAEST (arXiv 2309.16418): the configuration of ex_maest.py and its named configs."""

from ..naming import TARGETS as TARGETS_GROUP
from ..naming import Named, Script
from ..targets import TARGETS, extraction
from . import demo, inference, paper
from .pretrain import MAEST
from .schema import ExMaest

for _name, _target in TARGETS.items():
    if _name == _target.data:
        _make = f"python -m datasets.{_target.data}" if _target.data != "mtt" else "cd datasets/mtt && python preprocess.py"
        _text = f"{_target.about.split(',')[0]} as the data to extract from. Make it: {_make}"
        MAEST.put(Named(f"target_{_name}", extraction(_target), _text, TARGETS_GROUP))

ALIASES = {"inference": "predict", "maest.checkpoint_swa_weigts": "maest.checkpoint_swa_weights"}
SCRIPT = Script("maest", "ex_maest.py", ExMaest, MAEST, ALIASES, "demo", {"maest": ("compute_norm_stats",)})

__all__ = ["MAEST", "SCRIPT", "ExMaest", "demo", "inference", "paper"]
