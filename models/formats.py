"""What a family says of the formats that its networks are exported in, beside safetensors: models/export.py writes them.

A family's package names them in `FORMATS`, e.g. {"ast": FolderFormat(...), "onnx": OnnxFormat(...)}. A family that reads samples has ONNX without
saying so (onnx_file.WaveformGraph).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class FolderFormat:
    """A format that is a folder of files.

    files: (network, what every export says of it) -> content by file name: tensors by name (.safetensors), what json holds (.json), or text. Raises
    WeightsError for a network that the format cannot express.
    """

    files: Callable[[Any, Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True)
class OnnxFormat:
    """A family's ONNX graph.

    type, description, citation: of Essentia's model metadata.
    prepare: (network, layers whose embeddings are outputs; None: all that the graph has) -> what writes the file and returns its inputs and outputs
    in Essentia's schema. Raises ConfigError or WeightsError, before work, for what the graph cannot express.
    windows: (network, layers; None: classes, whether products are in 8 bits) -> the graph of windows for this machine (onnx_windows.py), as an
    onnx.ModelProto; None: torch's exporter writes it.
    """

    type: str
    description: str
    citation: str
    prepare: Callable[[Any, Sequence[int] | None], Callable[[Path], dict[str, Any]]]
    windows: Callable[[Any, Sequence[int] | None, bool], Any] | None = None
