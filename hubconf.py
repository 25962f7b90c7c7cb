"""torch.hub's entry points: `torch.hub.load("path/to/this/checkout", "maest_30s", source="local")`; `torch.hub.list` names them all."""

from functools import partial, update_wrapper

from models.maest.archs import SHORT as _SHORT
from models.maest.archs import get_maest as _get_maest
from models.maest.archs import load_maest as _load_maest

dependencies = ["torch", "timm", "numpy", "soundfile", "soxr", "av", "safetensors", "huggingface_hub", "filelock"]


def maest(source="discogs-maest-30s-pw-129e", **kwargs):
    """A trained MAEST by any of its names, or from a weight file or folder."""
    return _load_maest(source, **kwargs)


def _entry(arch):
    entry = update_wrapper(partial(_get_maest, arch), _get_maest)
    entry.__doc__ = f"{arch}; pretrained=False for random weights, and what models.get_maest takes."
    return entry


for _name, _arch in _SHORT.items():
    globals()[_name] = _entry(_arch)
