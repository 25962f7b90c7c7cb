"""Lets timm and its like import a torchvision that was built for another torch.

The registries' torchvision wheel is built for the CUDA torch. Beside a CPU torch its operators do not load, and `import torchvision` (so timm,
torchmetrics, Lightning, transformers) stops with "operator torchvision::nms does not exist". None of them calls those operators here: declaring
their schemas is enough. Done only when that very error occurs, once per process.
"""

from __future__ import annotations

import importlib
import sys

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_library = None  # the declarations live as long as this object does


def ensure_torchvision() -> None:
    """Import torchvision, declaring the operators that its wheel lacks where it must.

    Raises whatever `import torchvision` raises for any other reason than the missing operators.
    """
    global _library
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if _library is not None or "torchvision::nms does not exist" not in str(error):
            raise
        import torch

        for name in [m for m in sys.modules if m == "torchvision" or m.startswith("torchvision.")]:
            del sys.modules[name]  # half-imported
        _library = torch.library.Library("torchvision", "DEF")
        for schema in _SCHEMAS:
            _library.define(schema)
        importlib.import_module("torchvision")
    except ModuleNotFoundError as error:
        if error.name != "torchvision":
            raise
