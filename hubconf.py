"""torch.hub's entry points: `torch.hub.load("path/to/this/checkout", "maest_30s", source="local")`; `torch.hub.list` names them all."""

from functools import partial, update_wrapper

from models.registry import default_model as _default_model
from models.registry import family_package as _family_package
from models.registry import get_card as _get_card
from models.registry import list_models as _list_models
from models.registry import load_model as _load_model

dependencies = ["torch", "timm", "numpy", "soundfile", "soxr", "av", "safetensors", "huggingface_hub", "filelock"]


def maest(source=None, **kwargs):
    """A trained network by any of its names (None: the 30 s MAEST), or from a weight file or folder."""
    return _load_model(source or _default_model(), **kwargs)


def _entry(card):
    build = _family_package(card.family).build
    entry = update_wrapper(partial(build, card.name), build)
    entry.__doc__ = f"{card.name}; pretrained=False for random weights, and what `build` of models/{card.family} takes."
    return entry


for _card in map(_get_card, _list_models()):
    for _alias in _card.aliases:
        globals()[_alias] = _entry(_card)
