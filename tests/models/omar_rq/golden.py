"""OMAR-RQ's golden numbers: those that the project carries, and small folders in the published layout."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

HERE = Path(__file__).parents[2] / "fixtures" / "omar_rq"
HUB = HERE / "hub_mel_rq"


class Golden:
    """One .npz: tensors by name, its settings, its state dict."""

    def __init__(self, path: Path) -> None:
        self.data = np.load(path)
        self.about: dict[str, Any] = json.loads(str(self.data["config_json"])) if "config_json" in self.data.files else {}

    def __getitem__(self, key: str) -> torch.Tensor:
        return torch.from_numpy(self.data[key])

    def __contains__(self, key: str) -> bool:
        return key in self.data.files

    def names(self, prefix: str) -> list[str]:
        return [name for name in self.data.files if name.startswith(prefix)]

    @property
    def state(self) -> dict[str, torch.Tensor]:
        return {name.removeprefix("sd/"): self[name] for name in self.names("sd/")}


def carried(name: str) -> Golden:
    return Golden(HERE / f"{name}.npz")


def hub_state() -> dict[str, torch.Tensor]:
    return torch.load(HUB / "model.ckpt", weights_only=True)


def make_folder(path: Path, state: dict | None = None, edits: Sequence[tuple[str, str]] = (), gin: Path = HUB) -> Path:
    """A folder in the published layout. state: of model.ckpt; None: the hub's, {}: no file. edits: regular expressions in the config."""
    path.mkdir(parents=True, exist_ok=True)
    text = (gin / "config.gin").read_text()
    for pattern, value in edits:
        text, n = re.subn(pattern, value, text)
        assert n, pattern
    (path / "config.gin").write_text(text)
    state = hub_state() if state is None else state
    if state:
        torch.save(state, path / "model.ckpt")
    return path


def close(got: torch.Tensor, want: torch.Tensor, atol: float, rtol: float = 0.0) -> None:
    torch.testing.assert_close(got.detach(), want, atol=atol, rtol=rtol)
