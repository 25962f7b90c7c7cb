"""The states of the global random generators (torch's, CUDA's, numpy's, Python's), as tensors that a checkpoint can hold.

The suite draws its augmentation from streams of its own (models/randomness.py); these are for dropout and for objectives that draw globally.
"""

from __future__ import annotations

import random

import numpy as np
import torch
from torch import Tensor


def get_rng_state(device: torch.device) -> dict[str, Tensor]:
    """Return the states of this process. device: that of training; a GPU's generator is kept too."""
    _, keys, position, has_gauss, gauss = np.random.get_state()
    _, words, python_gauss = random.getstate()
    state = {
        "torch": torch.get_rng_state(),
        "numpy": torch.tensor([*map(int, keys), position, has_gauss], dtype=torch.int64),
        "python": torch.tensor(words, dtype=torch.int64),
        # the second of a pair of normal numbers that is still to be given out
        "gauss": torch.tensor([gauss, float("nan") if python_gauss is None else python_gauss], dtype=torch.float64),
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_rng_state(state: dict[str, Tensor], device: torch.device) -> None:
    """The reverse of `get_rng_state`."""
    gauss, python_gauss = state["gauss"].tolist()
    *keys, position, has_gauss = state["numpy"].tolist()
    torch.set_rng_state(state["torch"].cpu().clone())  # of a view into a larger tensor torch would read the wrong bytes
    np.random.set_state(("MT19937", np.array(keys, dtype=np.uint32), position, has_gauss, gauss))
    random.setstate((3, tuple(state["python"].tolist()), None if python_gauss != python_gauss else python_gauss))
    if "cuda" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"].cpu().clone(), device)
