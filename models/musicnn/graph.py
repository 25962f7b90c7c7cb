"""MusiCNN as one ONNX file: waveform of one window in, logits, probabilities and vectors of layers out, the batch's size free."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from .. import onnx_file
from ..formats import OnnxFormat
from ..frontend.graph import MelGraph
from .network import MusiCNN


def embedding_name(layer: int) -> str:
    """Name of the output that holds a layer's summary."""
    return f"embeddings_layer_{layer}"


class Graph(nn.Module):
    """The network in eval mode: waveform [B, N] -> (logits [B, L], probabilities [B, L], [B, C] per asked layer)."""

    def __init__(self, model: MusiCNN, layers: Sequence[int]):
        super().__init__()
        self.model, self.wanted = model, tuple(layers)
        self.mel = MelGraph(model.melspectrogram, model.input_t)

    def forward(self, wave: Tensor) -> tuple[Tensor, ...]:
        last = self.model.depth - 1
        *summaries, vectors = self.model.summaries(self.mel(wave), [*self.wanted, last])
        logits = self.model.head(vectors)
        return (logits, self.model.probabilities(logits), *summaries)


def prepare(model: MusiCNN, layers: Sequence[int] | None) -> Callable[[Path], dict[str, Any]]:
    """Give what writes the graph, compared with the network (onnx_file.py); the model is left as it was.

    layers: whose summaries are outputs; None: all. Raises ValueError for layers that are not there.
    """
    wanted = range(model.depth) if layers is None else layers
    chosen = model.resolve_layers(wanted) if len(wanted) else ()
    return lambda path: _write(model, path, chosen)


def _write(model: MusiCNN, path: Path, layers: Sequence[int]) -> dict[str, Any]:
    outputs = onnx_file.classes(model.n_classes, model.exclusive)
    outputs += [onnx_file.output(embedding_name(k), "Block", "embeddings", model.widths[k]) for k in layers]

    def expected(wave: Tensor) -> Mapping[str, Tensor]:
        mel = model.melspectrogram(wave)[..., : model.input_t]
        logits = model.window_logits(mel)
        found = dict(zip(map(embedding_name, layers), model.summaries(mel, layers))) if layers else {}
        return {onnx_file.LOGITS: logits, onnx_file.ACTIVATIONS: model.probabilities(logits), **found}

    with onnx_file.evaluated_on_cpu(model):
        graph = Graph(model, layers).eval()
        return onnx_file.write(graph, path, graph.mel.n_samples, outputs, expected)


FORMAT = OnnxFormat(
    "Music auto-tagging and embeddings",
    "Waveform to logits, probabilities and the mean vectors of layers (0-based), front end included.",
    "Pons, Serra: musicnn: Pre-trained convolutional neural networks for music audio tagging, 2019, arXiv 1909.06654",
    prepare,
)
