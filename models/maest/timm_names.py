"""MAEST under timm's roof: after `import models.maest.timm_names`, `timm.create_model("maest_30s", pretrained=True)` builds it.

Names: the aliases of its cards. The networks are this package's own: their input and outputs are MAEST's, not an image model's.
"""

from __future__ import annotations

import sys
from typing import Any

from .._torchvision import ensure_torchvision

ensure_torchvision()

from timm.models import register_model  # noqa: E402

from ..weights.cards import get_card, list_cards  # noqa: E402
from .archs import get_maest  # noqa: E402
from .network import MAEST  # noqa: E402

_TIMM_ONLY = ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir")


def _register(name: str, arch: str) -> None:
    def build(pretrained: bool = False, num_classes: int | None = None, **kwargs: Any) -> MAEST:
        kept = {k: v for k, v in kwargs.items() if k not in _TIMM_ONLY}
        if num_classes is not None:
            kept["n_classes"] = num_classes
        return get_maest(arch, pretrained=pretrained, **kept)

    build.__name__, build.__qualname__, build.__module__ = name, name, __name__
    build.__doc__ = f"{arch}."
    setattr(sys.modules[__name__], name, register_model(build))


for _arch in list_cards():
    if (_card := get_card(_arch)).family == "maest":
        for _alias in _card.aliases:
            _register(_alias, _arch)
