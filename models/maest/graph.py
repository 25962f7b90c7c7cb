"""MAEST as one ONNX file: waveform in, logits, probabilities and the embeddings of named blocks out, the batch's size free.

The graph is written for runtimes, not for training: products, convolutions and other plain operators only (no Fourier transform, which browsers'
runtimes lack), so that it runs wherever ONNX does. Letters as in network.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import WeightsError

if TYPE_CHECKING:
    from .network import MAEST

OPSET = 20
INPUT, LOGITS, ACTIVATIONS = "waveform", "logits", "activations"
TOLERANCE = 1e-4  # of the file's outputs against the network's, as a share of their largest where that is above 1


def embedding_name(block: int) -> str:
    """Name of the output that holds a block's CLS, DIST and mean token."""
    return f"embeddings_block_{block}"


class Graph(nn.Module):
    """The network in eval mode as ONNX holds it: waveform [B, N] -> (logits [B, L], probabilities [B, L], [B, 3, C] per asked block).

    N is `n_samples`: exactly one window. "separated": the logits are those of the mean of both heads' probabilities.
    """

    dft: Tensor
    positions: Tensor
    kept: Tensor

    def __init__(self, model: MAEST, blocks: Sequence[int]):
        super().__init__()
        self.model, self.wanted = model, tuple(blocks)
        s, window = model.melspectrogram.settings, model.melspectrogram.window
        bins, samples = torch.arange(s.n_fft // 2 + 1), torch.arange(s.n_fft)
        angle = 2 * math.pi * ((bins[None] * samples[:, None]) % s.n_fft).double() / s.n_fft
        parts = torch.cat([angle.cos(), angle.sin()], dim=1) * window.double().cpu()[:, None]
        self.register_buffer("dft", parts.float())  # [n_fft, 2 * bins], the window in it
        f, t = model.grid(model.input_t)
        rows, columns = model.patchout.keep(f, t, training=False)
        places = (
            model.time_new_pos_embed[0, :, 0].detach().cpu()[:, columns]
            + model.freq_new_pos_embed[0, ..., 0].detach().cpu()[:, rows]
        )
        self.register_buffer("positions", places.T.contiguous())
        self.register_buffer("kept", rows * t + columns)
        self.whole = len(rows) == f * t

    @property
    def n_samples(self) -> int:
        """Samples of one window: all its frames and no more."""
        return self.model.input_t * self.model.melspectrogram.settings.hop

    def mel(self, wave: Tensor) -> Tensor:
        """Waveform [B, N] -> normalised mel [B, F, M], `MaestMel`'s to rounding."""
        s = self.model.melspectrogram.settings
        hops = functional.pad(wave, (s.hop, s.hop)).unflatten(1, (-1, s.hop))
        frames = torch.cat([hops[:, :-1], hops[:, 1:]], dim=-1)[
            :, : self.model.input_t
        ]  # half-overlapping: n_fft is twice the hop
        real, imaginary = (frames @ self.dft).chunk(2, dim=-1)
        power = real * real + imaginary * imaginary
        mel = torch.log10(1 + s.compression * (power @ self.model.melspectrogram.bank))
        return ((mel - s.mean) / s.std_divisor).transpose(1, 2)

    def forward(self, wave: Tensor) -> tuple[Tensor, ...]:
        net = self.model
        x = net.patch_embed.proj(self.mel(wave)[:, None]).flatten(2).transpose(1, 2)
        x = (x if self.whole else x[:, self.kept]) + self.positions
        extra = torch.cat([net.cls_token, net.dist_token], dim=1) if net.distilled else net.cls_token
        x = torch.cat([(extra + net.new_pos_embed).expand(x.shape[0], -1, -1), x], dim=1)
        embeddings = []
        for k, block in enumerate(net.blocks):
            x = block(x)
            if k in self.wanted:
                embeddings.append(net._pool(x))
        *logits, _ = net.classify(x)
        if len(logits) == 1:
            return (logits[0], logits[0].sigmoid(), *embeddings)
        mean = torch.stack([head.sigmoid() for head in logits]).mean(dim=0)
        return (mean.logit(eps=1e-7), mean, *embeddings)


def write(model: MAEST, path: Path, blocks: Sequence[int]) -> dict[str, Any]:
    """Write the graph to `path` and run it in ONNX Runtime beside the network; the model is left as it was.

    Returns {"inputs": [...], "outputs": [...]} in Essentia's schema. Raises ImportError without onnx, onnxscript and onnxruntime, WeightsError
    when the file's outputs are not the network's.
    """
    import onnxruntime

    settings = model.melspectrogram.settings
    if settings.n_fft != 2 * settings.hop:
        raise WeightsError(
            f"The ONNX front end needs frames of two hops; this one has {settings.n_fft} and {settings.hop} samples."
        )
    was_training, device = model.training, model.device
    model.eval().cpu()
    try:
        graph = Graph(model, blocks).eval()
        names = [LOGITS, ACTIVATIONS, *map(embedding_name, blocks)]
        wave = torch.from_numpy(_trial(2, graph.n_samples))
        torch.onnx.export(
            graph,
            (wave,),
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
            _compare(
                model,
                blocks,
                dict(zip(names, session.run(names, {INPUT: _trial(batch, graph.n_samples)}))),
                batch,
                graph.n_samples,
            )
    finally:
        model.train(was_training).to(device)
    tokens = model.n_extra + 1
    outputs: list[dict[str, Any]] = [
        {"name": LOGITS, "type": "float", "shape": ["batch", model.n_classes], "op": "Linear", "output_purpose": "logits"},
        {
            "name": ACTIVATIONS,
            "type": "float",
            "shape": ["batch", model.n_classes],
            "op": "Sigmoid",
            "output_purpose": "predictions",
        },
    ]
    outputs += [
        {
            "name": embedding_name(k),
            "type": "float",
            "shape": ["batch", tokens, model.embed_dim],
            "op": "Block",
            "output_purpose": "embeddings",
        }
        for k in blocks
    ]
    return {"inputs": [{"name": INPUT, "type": "float", "shape": ["batch", graph.n_samples]}], "outputs": outputs}


def _trial(batch: int, samples: int) -> np.ndarray:
    """Noise of several loudnesses, silence included, [B, N] float32."""
    rng = np.random.default_rng(batch)
    return (rng.standard_normal((batch, samples)) * np.linspace(0.3, 0.0, batch)[:, None]).astype(np.float32)


@torch.no_grad()
def _compare(model: MAEST, blocks: Sequence[int], got: dict[str, np.ndarray], batch: int, samples: int) -> None:
    mel = model.melspectrogram(torch.from_numpy(_trial(batch, samples)))[..., : model.input_t]
    want = {ACTIVATIONS: model.probabilities(mel)}
    if model.distilled_type == "mean":
        want[LOGITS] = model(mel)[0]
    if blocks:
        want.update(zip(map(embedding_name, blocks), model.embed_blocks(mel, blocks)))
    for name, wanted in want.items():
        error, size = float(np.abs(got[name] - wanted.numpy()).max()), max(1.0, float(wanted.abs().max()))
        if not error <= TOLERANCE * size:
            raise WeightsError(
                f"The ONNX file's {name} is off the network's by {error:.2g} (batch of {batch}, tolerance {TOLERANCE * size:.2g})."
            )
