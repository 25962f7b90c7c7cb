"""Reading weight files of any form into one plain dict of the network's names, without running anything that the file may carry.

Forms: safetensors; torch files that hold a plain state dict, or one under "state_dict" (Lightning) or "model" (DeiT); this suite's training
checkpoints, which hold the trained network under "net.*" and, once there is one, the averaged network under "net_swa.*".
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import WeightsError, WeightsNotFoundError

if TYPE_CHECKING:
    from torch import Tensor

RAW, AVERAGED = "net.", "net_swa."
_CONTAINERS = ("state_dict", "model")
SETTINGS = "network"  # entry of this suite's training checkpoints: what the network was built with


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """All tensors of a weight file on the CPU, by the names that they have in it.

    Raises WeightsNotFoundError for an absent file, WeightsError for one that is truncated, of another kind, would run code, or holds no tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsNotFoundError(f"There is no weight file {path}.")
    content = _read(path)
    for name in _CONTAINERS:
        inner = content.get(name) if isinstance(content, Mapping) else None
        if isinstance(inner, Mapping):
            content = inner
            break
    if not isinstance(content, Mapping):
        raise WeightsError(
            f"{path} holds a {type(content).__name__}, not a state dict (names and tensors): it is no weight file."
        )
    tensors = {str(k): v for k, v in content.items() if hasattr(v, "shape")}
    if not tensors or len(tensors) < len(content):
        other = sorted(str(k) for k in content if str(k) not in tensors)[:3]
        raise WeightsError(
            f"{path} holds no state dict: {len(tensors)} tensors and {len(content) - len(tensors)} other entries {other}."
        )
    return tensors


def read_settings(path: str | Path) -> dict[str, Any]:
    """What the network of one of this suite's training checkpoints was built with; {} for any other file. Raises as `read_checkpoint` does."""
    path = Path(path)
    if path.is_dir() or path.suffix == ".safetensors":
        return {}
    if not path.is_file():
        raise WeightsNotFoundError(f"There is no weight file {path}.")
    content = _read(path)
    found = content.get(SETTINGS) if isinstance(content, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else {}


def read_state(path: str | Path, averaged: bool = True) -> dict[str, Tensor]:
    """The network's state dict in a weight file, with the network's own names.

    averaged: from a training checkpoint, the averaged weights if it holds any, else (or when False) the trained ones. Files with one set of
    weights give that.

    Raises as `read_checkpoint` does.
    """
    state = read_checkpoint(path)
    for prefix in (AVERAGED, RAW) if averaged else (RAW, AVERAGED):
        found = {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
        if found:
            state = found
            break
    while state and all(k.startswith("module.") for k in state):  # torch's AveragedModel and DistributedDataParallel
        state = {k[len("module.") :]: v for k, v in state.items()}
    return state


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise WeightsError(
                f"{path} is no readable safetensors file: {error}. It may be truncated: fetch it again."
            ) from error
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
    ) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsError(
            f"{path} is no readable torch weight file ({reason}). It may be truncated, of another kind, or hold more than tensors, which is "
            "refused because it could run code: fetch it again, or save its state dict alone."
        ) from error
