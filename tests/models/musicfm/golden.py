"""MusicFM's golden numbers, and a network that holds them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.musicfm import MusicFM25Hz

HERE = Path(__file__).parents[2] / "fixtures" / "musicfm"
STATS = HERE / "stats.json"
IO: dict[str, torch.Tensor] = {k: torch.from_numpy(v) for k, v in np.load(HERE / "io.npz").items()}
META: dict[str, Any] = json.loads((HERE / "meta.json").read_text())
STATE: dict[str, torch.Tensor] = {k: torch.from_numpy(v) for k, v in np.load(HERE / "state.npz").items()}
WAVE, DEPTH, MASK_SEED = IO["wav"], META["dims"]["depth"], 27
SIZES: dict[str, Any] = {
    "conv_dim": META["dims"]["conv"],
    "encoder_dim": META["dims"]["enc"],
    "encoder_depth": DEPTH,
    "codebook_dim": META["dims"]["cd"],
    "codebook_size": META["dims"]["cb"],
    "conformer": META["conformer"],
}


def make(**changes: Any) -> MusicFM25Hz:
    """A network of the golden sizes, in eval mode; random unless model_path says otherwise."""
    return MusicFM25Hz(**{**SIZES, "stat_path": STATS, "model_path": None, **changes}).eval()


def loaded(**changes: Any) -> MusicFM25Hz:
    net = make(**changes)
    net.load_state_dict(STATE)
    return net


def published(path: Path, prefix: str = "model.", state: dict[str, torch.Tensor] = STATE) -> Path:
    """A weight file as it is published."""
    torch.save({"state_dict": {prefix + k: v for k, v in state.items()}}, path)
    return path


def close(got: torch.Tensor, want: torch.Tensor, atol: float) -> None:
    torch.testing.assert_close(got.detach(), want, atol=atol, rtol=0)
