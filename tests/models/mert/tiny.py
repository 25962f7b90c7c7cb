"""Tiny seeded MERTs as transformers' HuBERT, and folders of them in the published layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from models._torchvision import ensure_torchvision

SHAPE: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48, "conv_dim": [8] * 7,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2], "conv_stride": [5, 2, 2, 2, 2, 2, 2], "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}  # fmt: skip
WAVE = torch.randn(2, 12000, generator=torch.Generator().manual_seed(1)) * 0.1 + 0.02


def hubert(**changes: Any) -> Any:
    """A HubertModel of transformers with seeded weights, in eval mode."""
    ensure_torchvision()
    from transformers import HubertConfig, HubertModel

    torch.manual_seed(0)
    return HubertModel(HubertConfig(**SHAPE, num_feat_extract_layers=7, **changes)).eval()


def state_of(net: Any, prefix: str = "", old: bool = True) -> dict[str, torch.Tensor]:
    """Its weights under the names of published files. old: weight norms by torch's older names, as published."""
    names = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    found = {}
    for name, value in net.state_dict().items():
        for new, other in names.items():
            name = name.replace(new, other) if old else name
        found[prefix + name] = value
    return found


def folder(path: Path, state: dict[str, torch.Tensor], processor: dict[str, Any] | None = None, **config: Any) -> Path:
    """A folder as published: config.json, pytorch_model.bin and preprocessor_config.json (None: without)."""
    path.mkdir(parents=True, exist_ok=True)
    said = {
        "model_type": "mert_model",
        "sample_rate": 24000,
        "attention_relax": -1.0,
        "deepnorm": False,
        "feature_extractor_cqt": False,
    }
    (path / "config.json").write_text(json.dumps({**said, **SHAPE, **config}))
    if processor is not None:
        (path / "preprocessor_config.json").write_text(json.dumps(processor))
    torch.save(state, path / "pytorch_model.bin")
    return path
