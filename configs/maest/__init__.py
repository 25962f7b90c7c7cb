"""MAEST (arXiv 2309.16418): the configuration of ex_maest.py and its named configs."""

from dataclasses import make_dataclass

from ..families import find_families
from ..naming import TARGETS as TARGETS_GROUP
from ..naming import Named, Script
from ..options import opt, section
from ..targets import TARGETS, extraction
from . import demo, inference, paper, schema
from .pretrain import MAEST

for _name, _target in TARGETS.items():
    if _name == _target.data:
        _make = f"python -m datasets.{_target.data}" if _target.data != "mtt" else "cd datasets/mtt && python preprocess.py"
        _text = f"{_target.about.split(',')[0]} as the data to extract from. Make it: {_make}"
        MAEST.put(Named(f"target_{_name}", extraction(_target), _text, TARGETS_GROUP))

ALIASES = {"inference": "predict", "maest.checkpoint_swa_weigts": "maest.checkpoint_swa_weights"}
FILE, FAMILY_NAME = "ex_maest.py", "maest"
GUESTS = find_families(FILE)  # families that read the same mels, and say that this script has them


def _with_guests() -> type:
    """Return the schema with the sections of the guests, and the key that chooses among all."""
    names = (FAMILY_NAME, *(guest.name for guest in GUESTS))
    text = "family of the network, whose section of this config describes it"
    fields: list[tuple[str, type, object]] = [("family", str, opt(FAMILY_NAME, text, names, affects="network"))]
    fields += [(name, kind, section(kind)) for guest in GUESTS for name, kind in guest.sections.items()]
    about = {"__doc__": schema.ExMaest.__doc__, "__module__": __name__}
    return make_dataclass("ExMaest", fields, bases=(schema.ExMaest,), namespace=about)


ExMaest = _with_guests()
for _guest in GUESTS:
    _guest.check_named(FAMILY_NAME)
    for _config in _guest.named.values():
        MAEST.put(_config)
_COMMANDS = {FAMILY_NAME: ("compute_norm_stats",), **{guest.name: guest.commands for guest in GUESTS}}
SCRIPT = Script("maest", FILE, ExMaest, MAEST, ALIASES, "demo", _COMMANDS)

__all__ = ["MAEST", "SCRIPT", "ExMaest", "demo", "inference", "paper"]
