"""Hugging Face's AST format, both ways: MAEST as a folder that `transformers` loads without foreign code, and such a folder back.

AST (arXiv 2104.01778) has one table of positions for the whole grid where MAEST has one per axis; their sum splits back up to a constant.
It has one head, on the mean of CLS and DIST. Its classifier's LayerNorm shares the eps 1e-6 of the others, MAEST's head has 1e-5: logits differ
by some 1e-6 of their size. Letters: C width, F mel bands, M mel frames, f x t patch grid.

Names are those that published folders have (mtg-upf/discogs-maest-...); those of transformers 5 in memory are read too.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..errors import WeightsError
from ..formats import WEIGHTS
from .ast_config import EPS, MODEL_TYPE
from .network import MAEST
from .patchout import PATCH

log = logging.getLogger(__name__)
PREFIX = "audio_spectrogram_transformer."
POSITIONS = "embeddings.position_embeddings"

_OUTER = {  # AST's name, without its prefix -> MAEST's
    "embeddings.cls_token": "cls_token",
    "embeddings.distillation_token": "dist_token",
    "embeddings.patch_embeddings.projection": "patch_embed.proj",
    "layernorm": "norm",
    "classifier.layernorm": "head.0",
    "classifier.dense": "head.1",
}
_BLOCK = {
    "layernorm_before": "norm1",
    "attention.output.dense": "attn.proj",
    "layernorm_after": "norm2",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
}
_QKV = tuple(f"attention.attention.{part}" for part in ("query", "key", "value"))
_NEWER = (  # names of transformers 5 -> the published ones
    (r"^layers\.", "encoder.layer."),
    (r"\.attention\.q_proj\.", f".{_QKV[0]}."),
    (r"\.attention\.k_proj\.", f".{_QKV[1]}."),
    (r"\.attention\.v_proj\.", f".{_QKV[2]}."),
    (r"\.attention\.o_proj\.", ".attention.output.dense."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
)


def is_ast(state_dict: Mapping[str, Tensor]) -> bool:
    """Whether these are the names of an AST."""
    return f"{PREFIX}{POSITIONS}" in state_dict


# ---- out
def ast_state(model: MAEST) -> dict[str, Tensor]:
    """The network's weights under AST's names; `head_dist` is left out. Raises WeightsError for a network that AST cannot express."""
    if not model.distilled:
        raise WeightsError("AST has a DIST token, this network has none (distilled=False): export it as safetensors or onnx.")
    if any(getattr(model.patchout, f"s_patchout_{axis}_{kind}") for axis in "ft" for kind in ("indices", "interleaved")):
        raise WeightsError(
            "AST has no patchout, and this network always drops patches: build it without, or export safetensors or onnx."
        )
    own = {k: v.detach().cpu() for k, v in model.state_dict().items()}
    out: dict[str, Tensor] = {}
    for theirs, ours in _OUTER.items():
        prefix = "" if theirs.startswith("classifier.") else PREFIX
        out.update({f"{prefix}{theirs}{k[len(ours) :]}": v for k, v in own.items() if k == ours or k.startswith(f"{ours}.")})
    for i in range(model.depth):
        block, layer = f"blocks.{i}.", f"{PREFIX}encoder.layer.{i}."
        for kind in ("weight", "bias"):
            for name, part in zip(_QKV, own[f"{block}attn.qkv.{kind}"].chunk(3)):
                out[f"{layer}{name}.{kind}"] = part
            out.update({f"{layer}{theirs}.{kind}": own[f"{block}{ours}.{kind}"] for theirs, ours in _BLOCK.items()})
    rows = model.grid(model.input_t)[0]
    table = own["freq_new_pos_embed"][:, :, :rows] + own["time_new_pos_embed"]  # [1, C, f, t]
    out[f"{PREFIX}{POSITIONS}"] = torch.cat([own["new_pos_embed"], table.flatten(2).transpose(1, 2)], dim=1)
    return {k: v.contiguous().clone() for k, v in out.items()}


def max_length(model: MAEST) -> int:
    """AST's input length in frames: the shortest whose grid has as many columns as the time table (626 for the 10 s network)."""
    return (model.time_new_pos_embed.shape[-1] - 1) * model.stride[1] + PATCH


def ast_config(model: MAEST) -> dict[str, Any]:
    """config.json: transformers' keys, and under "maest" what builds the network again exactly."""
    labels = [unicodedata.normalize("NFKC", label) for label in model.label_names]
    return {
        "architectures": ["ASTForAudioClassification"],
        "model_type": MODEL_TYPE,
        "num_mel_bins": model.input_f,
        "max_length": max_length(model),
        "frequency_stride": model.stride[0],
        "time_stride": model.stride[1],
        "patch_size": PATCH,
        "hidden_size": model.embed_dim,
        "num_hidden_layers": model.depth,
        "num_attention_heads": model.num_heads,
        "intermediate_size": model.blocks[0].mlp.fc1.out_features,  # type: ignore[union-attr]
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "qkv_bias": True,
        "layer_norm_eps": EPS,
        "id2label": {str(i): label for i, label in enumerate(labels)},
        "label2id": {label: i for i, label in enumerate(labels)},
        "problem_type": "multi_label_classification",
        "maest": model.saved_settings,
    }


def preprocessor_config(model: MAEST) -> dict[str, Any]:
    """preprocessor_config.json. Its type is no class of transformers on purpose: AST's own extractor computes another spectrogram."""
    s = model.melspectrogram.settings
    return {
        "feature_extractor_type": "MAESTFeatureExtractor",
        "feature_size": 1,
        "sampling_rate": s.sample_rate,
        "num_mel_bins": s.n_mels,
        "max_length": max_length(model),
        "do_normalize": True,
        "mean": s.mean,
        "std": s.std_divisor / 2,  # AST divides by twice this
        "n_fft": s.n_fft,
        "hop_length": s.hop,
        "log_compression": "logC",
        "mel_scale": "slaney",
        "norm": "slaney",
        "window": "hann",
        "padding_value": 0.0,
        "return_attention_mask": False,
    }


def files(model: MAEST, about: Mapping[str, Any]) -> dict[str, Any]:
    """The files (models/formats.py) of a folder that transformers' ASTForAudioClassification loads, and this suite too; without `head_dist`.

    Logits are the network's within 1e-4: AST's classifier norm has eps 1e-6 where the network has 1e-5. Raises WeightsError for a network that AST
    cannot express.
    """
    state = ast_state(model)
    if model.distilled_type == "separated":
        log.warning(
            "This network has separated heads and AST has one, on the mean of CLS and DIST: head_dist is left out, and the folder's logits are "
            "not this network's. Its embeddings are."
        )
    log.info("AST's classifier norm has eps 1e-6, the network's head 1e-5: logits differ by some 1e-6 of their size.")
    return {
        WEIGHTS: state,
        "config.json": {**ast_config(model), **about},
        "preprocessor_config.json": preprocessor_config(model),
        "README.md": _README.format(licence=about["weights_licence"], frames=max_length(model)),
    }


_README = """# MAEST in Hugging Face's AST format

`transformers.ASTForAudioClassification.from_pretrained(this_folder)` loads it. The input is MAEST's log-mel,
[batch, {frames} frames, 96 bands] at 16 kHz, hop 256, normalised: not what transformers' own ASTFeatureExtractor computes.
The package `maest` makes it, and reads this folder too:

```python
from maest.frontend import MaestMel

mel = MaestMel()(wave)  # wave [batch, samples] -> [batch, 96, frames]; give the network mel.transpose(1, 2), padded or cut to {frames} frames
```

The classifier's LayerNorm has eps 1e-6 here and 1e-5 in MAEST: logits differ by some 1e-6 of their size.

Licence of the weights: {licence}
"""


# ---- in
def remap_ast(state_dict: Mapping[str, Tensor], model: MAEST) -> dict[str, Tensor]:
    """AST's names -> MAEST's, the table of positions split into frequency and time. `head_dist` is not in it.

    Raises WeightsError for a table that is no sum of a frequency and a time table (an AST that is no MAEST), or of another grid.
    """
    out: dict[str, Tensor] = {}
    blocks: dict[str, list[Tensor | None]] = {}
    for full, tensor in state_dict.items():
        name = full.removeprefix(PREFIX)
        for pattern, published in _NEWER:
            name = re.sub(pattern, published, name)
        if name == POSITIONS:
            continue
        if name in _OUTER:
            out[_OUTER[name]] = tensor
            continue
        stem, _, kind = name.rpartition(".")
        found = re.fullmatch(r"encoder\.layer\.(\d+)\.(.+)", stem)
        if stem in _OUTER:
            out[f"{_OUTER[stem]}.{kind}"] = tensor
        elif found and found[2] in _BLOCK:
            out[f"blocks.{found[1]}.{_BLOCK[found[2]]}.{kind}"] = tensor
        elif found and found[2] in _QKV:
            parts = blocks.setdefault(f"blocks.{found[1]}.attn.qkv.{kind}", [None, None, None])
            parts[_QKV.index(found[2])] = tensor
        else:
            out[full] = tensor  # named as unknown by whoever loads it
    for name, parts in blocks.items():
        present = [part for part in parts if part is not None]
        if len(present) == 3:  # an incomplete one is named as missing by whoever loads it
            out[name] = torch.cat(present)
    return {**out, **_split_positions(state_dict[f"{PREFIX}{POSITIONS}"], model)}


def _split_positions(table: Tensor, model: MAEST) -> dict[str, Tensor]:
    rows = model.grid(model.input_t)[0]
    if table.ndim != 3 or table.shape[1] <= 2 or (table.shape[1] - 2) % rows or table.shape[2] != model.embed_dim:
        raise WeightsError(
            f"{POSITIONS} is {list(table.shape)}, wanted [1, 2 + {rows} * t, {model.embed_dim}]: these are no AST weights of this geometry."
        )
    grid = table[:, 2:].transpose(1, 2).unflatten(2, (rows, -1)).double()  # [1, C, f, t]
    half = grid.mean(dim=(2, 3), keepdim=True) / 2  # the constant that a sum cannot tell: half to each
    freq, time = grid.mean(dim=3, keepdim=True) - half, grid.mean(dim=2, keepdim=True) - half
    residual, largest = float((grid - freq - time).abs().max()), float(grid.abs().max())
    if residual > max(1e-5, 8 * torch.finfo(table.dtype).eps) * max(largest, 1e-3):
        raise WeightsError(
            f"{POSITIONS} is no sum of a frequency and a time table (largest residual {residual:.2g}, largest entry {largest:.2g}): this AST is "
            "no MAEST, whose positions are such sums."
        )
    wanted = model.freq_new_pos_embed.shape[2]
    if rows < wanted:  # rows that no patch uses
        freq = torch.cat([freq, freq[:, :, -1:].expand(-1, -1, wanted - rows, -1)], dim=2)
    names = ("new_pos_embed", "freq_new_pos_embed", "time_new_pos_embed")
    return dict(zip(names, (t.to(table.dtype) for t in (table[:, :2], freq, time))))
