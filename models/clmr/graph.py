"""SampleCNN with its head as one ONNX file: waveform in, logits, probabilities and the representation h out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from .. import onnx_file
from ..formats import OnnxFormat
from .network import SampleCNN


class Graph(nn.Module):
    """The network in eval mode: waveform [B, N] of one window -> (logits [B, L], probabilities [B, L], h [B, C])."""

    def __init__(self, model: SampleCNN):
        super().__init__()
        self.sequential, self.fc, self.probabilities = model.sequential, model.fc, model.probabilities

    def forward(self, wave: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = self.sequential(wave[:, None]).flatten(1)
        logits = self.fc(h)
        return logits, self.probabilities(logits), h


def prepare(model: SampleCNN, layers: Sequence[int] | None) -> Callable[[Path], dict[str, Any]]:
    """Give what writes the graph, compared with the network (onnx_file.py). Raises ConfigError for a network without a head."""
    return onnx_file.prepare_waveform(model, layers, Graph, "MaxPool")


FORMAT = OnnxFormat(
    "Music tags and embeddings",
    "Waveform to logits, probabilities and the representation behind the last convolution.",
    "Spijkervet, Burgoyne: Contrastive Learning of Musical Representations, ISMIR 2021, arXiv 2103.09410",
    prepare,
)
