"""Lets timm and its like import a torchvision that was built for another torch.

The registries' torchvision wheel is built for the CUDA torch. Beside a CPU torch its operators do not load, and `import torchvision` (so timm,
torchmetrics, Lightning, transformers) stops with "operator torchvision::nms does not exist". None of them calls those operators here: declaring
their schemas is enough. Done only when that very error occurs, once per process, and not before something imports torchvision: that takes over a
second, which a command that tags a file has no use for.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

NAME = "torchvision"
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_library = None  # the declarations live as long as this object does


def ensure_torchvision() -> None:
    """From now on let `import torchvision`, by whomever, declare the operators that its wheel lacks, where it must.

    That import raises whatever it would for any other reason than the missing operators.
    """
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finds torchvision where Python does, and mends how it is loaded."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name == NAME else None
        loader: Any = None if spec is None else spec.loader
        if loader is not None:
            load = loader.exec_module
            loader.exec_module = lambda module: _loaded(load, module)
        return spec


def _loaded(load: Any, module: ModuleType) -> None:
    global _library
    try:
        load(module)
    except RuntimeError as error:
        if _library is not None or "torchvision::nms does not exist" not in str(error):
            raise
        import torch

        for name in [m for m in sys.modules if m.startswith(f"{NAME}.")]:
            del sys.modules[name]  # half-imported
        _library = torch.library.Library(NAME, "DEF")
        for schema in _SCHEMAS:
            _library.define(schema)
        load(module)
