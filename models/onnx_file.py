"""Networks as one ONNX file: waveform [batch, samples of one window] in, logits, probabilities and embeddings out, the batch's size free.

Each family brings its graph (maest/graph.py, clmr/graph.py); what is written is run in ONNX Runtime beside the network before it is left.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .errors import WeightsError

OPSET = 20
INPUT, LOGITS, ACTIVATIONS = "waveform", "logits", "activations"
TOLERANCE = 1e-4  # of the file's outputs against the network's, as a share of their largest where that is above 1


def output(name: str, op: str, purpose: str, *shape: int) -> dict[str, Any]:
    """An output in Essentia's schema; `shape` without the batch."""
    return {"name": name, "type": "float", "shape": ["batch", *shape], "op": op, "output_purpose": purpose}


def classes(n_classes: int, exclusive: bool = False) -> list[dict[str, Any]]:
    """The two outputs that every graph begins with. exclusive: of classes that exclude each other."""
    probabilities = output(ACTIVATIONS, "Softmax" if exclusive else "Sigmoid", "predictions", n_classes)
    return [output(LOGITS, "Linear", "logits", n_classes), probabilities]


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
