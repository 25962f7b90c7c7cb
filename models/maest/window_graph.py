"""MAEST's windows as an ONNX graph, written node by node: log-mels in, classes or tokens of blocks out, the batch's size free.

For this machine's ONNX Runtime, which brings attention and normalisation as single operators; what is sent to others is written by graph.py. torch's
exporter needs a minute of processor time for the full-size network, this a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..onnx_file import ACTIVATIONS, LOGITS, OPSET
from .network import MAEST
from .stored import FEATURES

INPUT = "windows"
_RUNTIME = "com.microsoft"  # ONNX Runtime's own operators


def _scalar(value: float) -> np.ndarray:
    return np.array(value, dtype=np.float32)


class _Graph:
    """Nodes and constants of a graph under way. Names are numbered, so that none comes twice."""

    def __init__(self, int8: bool) -> None:
        self.int8 = int8
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: Tensor | np.ndarray) -> str:
        from onnx import numpy_helper

        array = value.detach().float().cpu().contiguous().numpy() if isinstance(value, Tensor) else value
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def add(self, op: str, *inputs: str, outputs: int = 1, name: str | None = None, domain: str = "", **attributes: Any) -> Any:
        from onnx import helper

        names = [name] if name is not None else [f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def block_linear(self, x: str, layer: Any) -> str:
        """A linear layer of a block: with int8 its weights in 8 bits, a scale for each output, and its input in 8 bits by its own extremes."""
        return self.block_product(x, layer.weight, layer.bias)

    def block_product(self, x: str, weight: Tensor, bias: Tensor) -> str:
        if not self.int8:
            return self.product(x, weight, bias)
        weight = weight.detach().float().cpu()
        scale = weight.abs().amax(dim=1).clamp(min=1e-12) / 127
        rounded = (weight / scale[:, None]).round().to(torch.int8).T.contiguous().numpy()
        given = (
            self.constant(rounded),
            self.constant(scale),
            self.constant(np.zeros(len(scale), np.int8)),
            self.constant(bias),
        )
        out: str = self.add("DynamicQuantizeMatMul", x, *given, domain=_RUNTIME)
        return out

    def linear(self, x: str, layer: Any, name: str | None = None) -> str:
        return self.product(x, layer.weight, layer.bias, name)

    def product(self, x: str, weight: Tensor, bias: Tensor, name: str | None = None) -> str:
        out: str = self.add("Add", self.add("MatMul", x, self.constant(weight.T)), self.constant(bias), name=name)
        return out

    def first(self, x: str, n: int) -> str:
        """The first n tokens."""
        ends = (self.constant(np.array([i])) for i in (0, n, 1))
        out: str = self.add("Slice", x, *ends)
        return out

    def norm(self, x: str, layer: Any) -> str:
        weight, bias = self.constant(layer.weight), self.constant(layer.bias)
        out: str = self.add("LayerNormalization", x, weight, bias, axis=-1, epsilon=float(layer.eps))
        return out


def window_graph(model: MAEST, layers: Sequence[int] | None, int8: bool = False) -> Any:
    """Return the graph `windows [B, F, M] -> outputs` as an onnx.ModelProto.

    Args:
        model: as it computes in eval mode, its inference patchout included.
        layers: whose summaries are the outputs (`MAEST.summaries`), named by their numbers; None: "logits" and "activations" (probabilities).
        int8: the blocks' products in 8 bits; attention, norms, patches and heads stay as they are.
    """
    from onnx import TensorProto, helper

    g = _Graph(int8)
    x = _tokens(g, model)
    outputs: dict[str, list[int]] = {}
    wanted = set(layers or ())
    deepest = model.depth - 1 if layers is None or FEATURES in wanted else max(wanted)
    blocks: Any = model.blocks
    for k in range(deepest + 1):
        for_heads = k == model.depth - 1 and k not in wanted
        x = _block(g, x, blocks[k], model.n_extra if for_heads else None)
        if k in wanted:
            _pool(g, model, x, name=str(k))
            outputs[str(k)] = [model.n_extra + 1, model.embed_dim]
    if FEATURES in wanted or layers is None:
        outputs |= _heads(g, model, x, layers is None)
    told = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape]) for name, shape in outputs.items()]
    given = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", model.input_f, model.input_t])
    graph = helper.make_graph(g.nodes, "maest", [given], told, g.constants)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(_RUNTIME, 1)], ir_version=9
    )


def _tokens(g: _Graph, model: MAEST) -> str:
    """Windows -> tokens [B, N, C] with positions."""
    f, t = model.grid(model.input_t)
    rows, columns = model.patchout.keep(f, t, training=False)
    places = (
        model.time_new_pos_embed[0, :, 0].detach().cpu()[:, columns] + model.freq_new_pos_embed[0, ..., 0].detach().cpu()[:, rows]
    )
    proj = model.patch_embed.proj
    image = g.add("Unsqueeze", INPUT, g.constant(np.array([1])))
    weight, bias = g.constant(proj.weight), g.constant(proj.bias)  # type: ignore[arg-type]
    patches = g.add("Conv", image, weight, bias, kernel_shape=list(proj.kernel_size), strides=list(proj.stride))
    patches = g.add("Reshape", patches, g.constant(np.array([0, 0, -1])))
    patches = g.add("Transpose", patches, perm=[0, 2, 1])
    if len(rows) < f * t:
        patches = g.add("Gather", patches, g.constant((rows * t + columns).numpy()), axis=1)
    patches = g.add("Add", patches, g.constant(places.T))
    extra = torch.cat([model.cls_token, model.dist_token], dim=1) if model.distilled else model.cls_token
    batch = g.add("Shape", INPUT, start=0, end=1)
    shape = g.add("Concat", batch, g.constant(np.array([model.n_extra, model.embed_dim])), axis=0)
    first = g.add("Expand", g.constant(extra + model.new_pos_embed), shape)
    out: str = g.add("Concat", first, patches, axis=1)
    return out


def _block(g: _Graph, x: str, block: Any, first: int | None) -> str:
    """first: as in Block."""
    normed, qkv = g.norm(x, block.norm1), block.attn.qkv
    if first is None:
        query, key, value = g.add("Split", g.block_linear(normed, qkv), outputs=3, axis=-1, num_outputs=3)
    else:
        c = qkv.in_features
        query = g.block_product(g.first(normed, first), qkv.weight[:c], qkv.bias[:c])
        key, value = g.add("Split", g.block_product(normed, qkv.weight[c:], qkv.bias[c:]), outputs=2, axis=-1, num_outputs=2)
        x = g.first(x, first)
    mixed = g.add("MultiHeadAttention", query, key, value, domain=_RUNTIME, num_heads=block.attn.num_heads)
    x = g.add("Add", x, g.block_linear(mixed, block.attn.proj))
    hidden = g.add("Gelu", g.block_linear(g.norm(x, block.norm2), block.mlp.fc1))
    out: str = g.add("Add", x, g.block_linear(hidden, block.mlp.fc2))
    return out


def _pool(g: _Graph, model: MAEST, x: str, name: str) -> None:
    """CLS, DIST (when distilled), mean of the others: [B, 3 or 2, C]."""
    extra, end = g.constant(np.array([model.n_extra])), g.constant(np.array([np.iinfo(np.int64).max]))
    first = g.first(x, model.n_extra)
    others = g.add("Slice", x, extra, end, g.constant(np.array([1])))
    g.add("Concat", first, g.add("ReduceMean", others, g.constant(np.array([1])), keepdims=1), axis=1, name=name)


def _heads(g: _Graph, model: MAEST, x: str, classes: bool) -> dict[str, list[int]]:
    """Features, or logits and probabilities, as outputs with their shapes."""
    tokens = g.norm(g.first(x, model.n_extra), model.norm)
    if not classes:
        g.add("ReduceMean", tokens, g.constant(np.array([1])), keepdims=0, name=str(FEATURES))
        return {str(FEATURES): [model.embed_dim]}
    shapes = {ACTIVATIONS: [model.n_classes], LOGITS: [model.n_classes]}
    head: Any = model.head
    if model.distilled_type != "separated":
        features = g.add("ReduceMean", tokens, g.constant(np.array([1])), keepdims=0)
        g.add("Sigmoid", g.linear(g.norm(features, head[0]), head[1], name=LOGITS), name=ACTIVATIONS)
        return shapes
    cls, dist = (g.add("Gather", tokens, g.constant(np.array(i)), axis=1) for i in (0, 1))
    one = g.add("Sigmoid", g.linear(g.norm(cls, head[0]), head[1]))
    other = g.add("Sigmoid", g.linear(dist, model.head_dist))
    mean = g.add("Mul", g.add("Add", one, other), g.constant(_scalar(0.5)), name=ACTIVATIONS)
    inside = g.add("Clip", mean, g.constant(_scalar(1e-7)), g.constant(_scalar(1 - 1e-7)))
    g.add("Log", g.add("Div", inside, g.add("Sub", g.constant(_scalar(1)), inside)), name=LOGITS)
    return shapes
