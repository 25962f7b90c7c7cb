"""Networks as one ONNX file: waveform [batch, samples of one window] in, logits, probabilities and embeddings out, the batch's size free.

A family brings its graph (its `graph` module); where it reads samples, and for what was fine-tuned, there is `WaveformGraph`. What is written is run
in ONNX Runtime beside the network before it is left.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .encoder import AudioEncoder
from .errors import ConfigError, WeightsError
from .formats import OnnxFormat
from .frontend.graph import MelGraph
from .mel_encoder import MelEncoder

OPSET = 20
INPUT, LOGITS, ACTIVATIONS, EMBEDDINGS = "waveform", "logits", "activations", "embeddings"
TOLERANCE = 1e-4  # of the file's outputs against the network's, as a share of their largest where that is above 1


def output(name: str, op: str, purpose: str, *shape: int) -> dict[str, Any]:
    """An output in Essentia's schema; `shape` without the batch."""
    return {"name": name, "type": "float", "shape": ["batch", *shape], "op": op, "output_purpose": purpose}


def classes(n_classes: int, exclusive: bool = False) -> list[dict[str, Any]]:
    """The two outputs that every graph begins with. exclusive: of classes that exclude each other."""
    probabilities = output(ACTIVATIONS, "Softmax" if exclusive else "Sigmoid", "predictions", n_classes)
    return [output(LOGITS, "Linear", "logits", n_classes), probabilities]


@contextmanager
def evaluated_on_cpu(model: AudioEncoder) -> Iterator[None]:
    """In eval mode and on the CPU while its graph is written; as it was afterwards."""
    was_training, device = model.training, model.device
    model.eval().cpu()
    try:
        yield
    finally:
        model.train(was_training).to(device)


def write(
    graph: nn.Module,
    path: Path,
    n_samples: int,
    outputs: Sequence[dict[str, Any]],
    expected: Callable[[Tensor], Mapping[str, Tensor]],
) -> dict[str, Any]:
    """Write a graph `wave [B, n_samples] -> outputs` and compare what ONNX Runtime computes with `expected(wave)`, output by output.

    Returns {"inputs": [...], "outputs": [...]} in Essentia's schema. Raises ImportError without onnx, onnxscript and onnxruntime, WeightsError
    when the file's outputs are not the network's.
    """
    import onnxruntime

    names = [one["name"] for one in outputs]
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", r".*`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning
        )  # torch's own call
        torch.onnx.export(
            graph,
            (torch.from_numpy(_trial(2, n_samples)),),
            str(path),
            dynamo=True,
            external_data=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=names,
            dynamic_shapes={"wave": {0: torch.export.Dim("batch")}},
            verbose=False,
        )
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for batch in (1, 3):
        wave = _trial(batch, n_samples)
        _compare(dict(zip(names, session.run(names, {INPUT: wave}))), expected, wave)
    return {"inputs": [{"name": INPUT, "type": "float", "shape": ["batch", n_samples]}], "outputs": list(outputs)}


def _trial(batch: int, samples: int) -> np.ndarray:
    """Noise of several loudnesses, silence included, [B, N] float32."""
    rng = np.random.default_rng(batch)
    return (rng.standard_normal((batch, samples)) * np.linspace(0.3, 0.0, batch)[:, None]).astype(np.float32)


@torch.no_grad()
def _compare(got: Mapping[str, np.ndarray], expected: Callable[[Tensor], Mapping[str, Tensor]], wave: np.ndarray) -> None:
    for name, wanted in expected(torch.from_numpy(wave)).items():
        error, size = float(np.abs(got[name] - wanted.numpy()).max()), max(1.0, float(wanted.abs().max()))
        if not error <= TOLERANCE * size:
            raise WeightsError(
                f"The ONNX file's {name} is off the network's by {error:.2g} (batch of {len(wave)}, tolerance {TOLERANCE * size:.2g})."
            )


# ---- any network
class WaveformGraph(nn.Module):
    """Any network: waveform [B, N] of a window -> (logits [B, L], probabilities [B, L], the last layer's summary [B, *shape])."""

    def __init__(self, model: AudioEncoder):
        super().__init__()
        self.model = model
        self.front = MelGraph(model.melspectrogram, model.window_length) if isinstance(model, MelEncoder) else nn.Identity()

    def forward(self, wave: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        windows = self.front(wave)
        logits = self.model.window_logits(windows)
        (summary,) = self.model.summaries(windows, [self.model.depth - 1])
        return logits, self.model.probabilities(logits), summary


def prepare_waveform(
    model: AudioEncoder,
    layers: Sequence[int] | None,
    graph: Callable[[Any], nn.Module] = WaveformGraph,
    op: str = "Block",
) -> Callable[[Path], dict[str, Any]]:
    """`OnnxFormat.prepare` of any network, with the outputs of WaveformGraph; the model is left as it was.

    graph: makes the module of a network. op: what computes the embeddings, in Essentia's schema. Raises ConfigError for a network without classes,
    and where layers are asked for.
    """
    if layers is not None:
        raise ConfigError(
            f"blocks is for families whose graphs have several embeddings; a {type(model).__name__}'s file holds those of its last layer."
        )
    last = model.depth - 1
    shape = model.summary_shapes([last])[last]
    outputs = [
        *classes(len(model.label_names), model.exclusive),  # refused here where there are none
        output(EMBEDDINGS, op, "embeddings", *shape),
    ]

    n_samples = model.window_length * (model.mel_settings.hop if isinstance(model, MelEncoder) else 1)

    def expected(wave: Tensor) -> Mapping[str, Tensor]:
        windows: Tensor = model.melspectrogram(wave)[..., : model.window_length] if isinstance(model, MelEncoder) else wave
        logits = model.window_logits(windows)
        (summary,) = model.summaries(windows, [last])
        return {LOGITS: logits, ACTIVATIONS: model.probabilities(logits), EMBEDDINGS: summary}

    def write_file(path: Path) -> dict[str, Any]:
        with evaluated_on_cpu(model):
            return write(graph(model).eval(), path, n_samples, outputs, expected)

    return write_file


WAVEFORM = OnnxFormat(
    "Music tags and embeddings", "Waveform to logits, probabilities and the embeddings of the last layer.", "", prepare_waveform
)
