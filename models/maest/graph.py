"""MAEST as one ONNX file: waveform in, logits, probabilities and the embeddings of named blocks out, the batch's size free.

The graph is written for runtimes, not for training: products, convolutions and other plain operators only (no Fourier transform, which browsers'
runtimes lack), so that it runs wherever ONNX does. Letters as in network.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .. import onnx_file
from ..formats import OnnxFormat
from ..frontend.graph import MelGraph
from .network import MAEST
from .window_graph import window_graph


def embedding_name(block: int) -> str:
    """Name of the output that holds a block's CLS, DIST and mean token."""
    return f"embeddings_block_{block}"


class Graph(nn.Module):
    """The network in eval mode as ONNX holds it: waveform [B, N] -> (logits [B, L], probabilities [B, L], [B, 3, C] per asked block).

    N is `mel.n_samples`: exactly one window. "separated": the logits are those of the mean of both heads' probabilities.
    """

    positions: Tensor
    kept: Tensor

    def __init__(self, model: MAEST, blocks: Sequence[int]):
        super().__init__()
        self.model, self.wanted = model, tuple(blocks)
        self.mel = MelGraph(model.melspectrogram, model.input_t)
        f, t = model.grid(model.input_t)
        rows, columns = model.patchout.keep(f, t, training=False)
        places = (
            model.time_new_pos_embed[0, :, 0].detach().cpu()[:, columns]
            + model.freq_new_pos_embed[0, ..., 0].detach().cpu()[:, rows]
        )
        self.register_buffer("positions", places.T.contiguous())
        self.register_buffer("kept", rows * t + columns)
        self.whole = len(rows) == f * t

    def forward(self, wave: Tensor) -> tuple[Tensor, ...]:
        net = self.model
        x = net.patch_embed.proj(self.mel(wave)[:, None]).flatten(2).transpose(1, 2)
        x = (x if self.whole else x[:, self.kept]) + self.positions
        extra = torch.cat([net.cls_token, net.dist_token], dim=1) if net.distilled else net.cls_token
        x = torch.cat([(extra + net.new_pos_embed).expand(x.shape[0], -1, -1), x], dim=1)
        embeddings = []
        for k, block in enumerate(net.blocks):
            x = block(x, net.n_extra if k == net.depth - 1 and k not in self.wanted else None)
            if k in self.wanted:
                embeddings.append(net._pool(x))
        *logits, _ = net.classify(x)
        if len(logits) == 1:
            return (logits[0], logits[0].sigmoid(), *embeddings)
        mean = torch.stack([head.sigmoid() for head in logits]).mean(dim=0)
        return (mean.logit(eps=1e-7), mean, *embeddings)


def prepare(model: MAEST, blocks: Sequence[int] | None) -> Callable[[Path], dict[str, Any]]:
    """Give what writes the graph, compared with the network (onnx_file.py); the model is left as it was.

    blocks: whose embeddings are outputs; None: all. Raises ValueError for blocks that are not there.
    """
    wanted = range(model.depth) if blocks is None else blocks
    layers = model.resolve_layers(wanted) if len(wanted) else ()
    return lambda path: _write(model, path, layers)


def _write(model: MAEST, path: Path, blocks: Sequence[int]) -> dict[str, Any]:
    shape = (model.n_extra + 1, model.embed_dim)
    outputs = onnx_file.classes(model.n_classes)
    outputs += [onnx_file.output(embedding_name(k), "Block", "embeddings", *shape) for k in blocks]

    def expected(wave: Tensor) -> Mapping[str, Tensor]:
        mel = model.melspectrogram(wave)[..., : model.input_t]
        want = {onnx_file.ACTIVATIONS: model.probabilities(mel)}
        if model.distilled_type == "mean":
            want[onnx_file.LOGITS] = model(mel)[0]
        if blocks:
            want.update(zip(map(embedding_name, blocks), model.embed_blocks(mel, blocks)))
        return want

    with onnx_file.evaluated_on_cpu(model):
        graph = Graph(model, blocks).eval()
        return onnx_file.write(graph, path, graph.mel.n_samples, outputs, expected)


FORMAT = OnnxFormat(
    "Music auto-tagging and embeddings",
    "Waveform to logits, probabilities and the CLS, DIST and mean tokens of blocks (0-based), front end included.",
    "Alonso-Jimenez, Serra, Bogdanov: Efficient Supervised Training of Audio Transformers for Music Representation Learning, "
    "ISMIR 2023, arXiv 2309.16418",
    prepare,
    window_graph,
)
