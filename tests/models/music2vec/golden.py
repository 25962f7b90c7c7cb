"""music2vec's golden numbers, and a network that holds them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from models.music2vec import Music2Vec
from models.music2vec.settings import SHAPE

HERE = Path(__file__).parents[2] / "fixtures" / "music2vec"
IO: dict[str, torch.Tensor] = {k: torch.from_numpy(v) for k, v in np.load(HERE / "io.npz").items()}
META: dict[str, Any] = json.loads((HERE / "meta.json").read_text())
CONFIG: dict[str, Any] = json.loads((HERE / "config.json").read_text())
STATE: dict[str, torch.Tensor] = {k: torch.from_numpy(v) for k, v in np.load(HERE / "state.npz").items()}
WAVE, HIDDEN = IO["wav"], IO["hidden_states"]
DEPTH = len(HIDDEN) - 1
SIZES = {name: CONFIG[name] for name in SHAPE}
NO_DROPOUT = {"hidden_dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0}


def make(**changes: Any) -> Music2Vec:
    """A network of the golden sizes with random weights."""
    return Music2Vec(None, **{**SIZES, **changes})


def loaded(**changes: Any) -> Music2Vec:
    """The network of the golden numbers, in eval mode."""
    net = make(**changes)
    net.load_state_dict(STATE)
    return net.eval()


def published(folder: Path, form: str = "safetensors", state: dict[str, torch.Tensor] = STATE, **config: Any) -> Path:
    """A folder as transformers writes it."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, "architectures": ["Data2VecAudioModel"], **config}))
    if form == "safetensors":
        save_file({k: v.contiguous() for k, v in state.items()}, folder / "model.safetensors", metadata={"format": "pt"})
    else:
        torch.save(state, folder / "pytorch_model.bin")
    return folder


def close(got: torch.Tensor, want: torch.Tensor, atol: float = 2e-5) -> None:
    torch.testing.assert_close(got.detach(), want, atol=atol, rtol=0)
