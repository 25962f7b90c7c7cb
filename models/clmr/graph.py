"""SampleCNN with its head as one ONNX file: waveform in, logits, probabilities and the representation h out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from .. import onnx_file
from .network import SampleCNN

EMBEDDINGS = "embeddings"
TYPE = "Music tags and embeddings"
DESCRIPTION = "Waveform to logits, probabilities and the representation behind the last convolution."
CITATION = "Spijkervet, Burgoyne: Contrastive Learning of Musical Representations, ISMIR 2021, arXiv 2103.09410"


class Graph(nn.Module):
    """The network in eval mode: waveform [B, N] of one window -> (logits [B, L], probabilities [B, L], h [B, C])."""

    def __init__(self, model: SampleCNN):
        super().__init__()
        self.sequential, self.fc, self.probabilities = model.sequential, model.fc, model.probabilities

    def forward(self, wave: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = self.sequential(wave[:, None]).flatten(1)
        logits = self.fc(h)
        return logits, self.probabilities(logits), h


def write(model: SampleCNN, path: Path) -> dict[str, Any]:
    """Write the graph to `path`, compared with the network (onnx_file.py); the model is left as it was.

    Raises ConfigError for a network without a head, and as `onnx_file.write` does.
    """
    outputs = [
        *onnx_file.classes(model.n_classes, model.exclusive),
        onnx_file.output(EMBEDDINGS, "MaxPool", "embeddings", model.embed_dim),
    ]
    was_training, device = model.training, model.device
    model.eval().cpu()

    def expected(wave: Tensor) -> Mapping[str, Tensor]:
        logits = model(wave)
        return {onnx_file.LOGITS: logits, onnx_file.ACTIVATIONS: model.probabilities(logits), EMBEDDINGS: model.features(wave)}

    try:
        return onnx_file.write(Graph(model).eval(), path, model.window_length, outputs, expected)
    finally:
        model.train(was_training).to(device)
