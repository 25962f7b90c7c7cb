"""What MAEST's settings may be, and whether those of a file are its tensors': compared before a network is built."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..errors import ConfigError, WeightsError
from ..settings import FLAG, LABELS, Choice, Number, Numbers, Rules, check_settings, check_size
from .patchout import PATCH

_COUNT = Number(0, 1_000_000)
_POSITIONS = Numbers(_COUNT, 0, 100_000)
RULES: Rules = {
    "input_f": Number(1, 4096), "input_t": Number(1, 225_000), "n_classes": Number(1, 100_000), "embed_dim": Number(1, 16_384),
    "depth": Number(1, 1000), "num_heads": Number(1, 1024), "stride": Numbers(Number(1, 1000), 2, 2), "distilled": FLAG,
    "distilled_type": Choice(("mean", "separated")), "mlp_ratio": Number(1e-3, 64, whole=False), "init_std": Number(1e-12, 100, whole=False),
    "in_channels": Number(1, 1), "labels": LABELS, "norm_mean": Number(-1e6, 1e6, whole=False), "norm_std": Number(1e-12, 1e6, whole=False),
    "u_patchout": _COUNT, "s_patchout_t": _COUNT, "s_patchout_f": _COUNT, "s_patchout_t_interleaved": _COUNT,
    "s_patchout_f_interleaved": _COUNT, "s_patchout_t_indices": _POSITIONS, "s_patchout_f_indices": _POSITIONS,
}  # fmt: skip


def check(settings: Mapping[str, Any], what: str = "This MAEST", error: type[ValueError] = ConfigError) -> None:
    """Raise `error` for settings, given as far as they are known, that are no MAEST's, or one's that is too large to be built."""
    check_settings(settings, RULES, what, error)
    width, ratio = settings.get("embed_dim", 768), settings.get("mlp_ratio", 4.0)
    blocks = settings.get("depth", 12) * (4 + 2 * ratio) * width**2
    step = settings.get("stride", (10, 10))
    tables = (settings.get("input_t", 625) / step[1] + settings.get("input_f", 96) / step[0] + PATCH**2) * width
    check_size(blocks + tables + 2 * settings.get("n_classes", 400) * width, what, error)


def compare(settings: Mapping[str, Any], state: Mapping[str, Tensor], source: str, said: bool = False) -> None:
    """Compare settings with the tensors of a file, in any of MAEST's forms: a network of another size would be built in vain.

    Args:
        settings: as far as they are known.
        state: names and tensors of the file.
        source: the file, for the error's text.
        said: the settings are the file's own, so that its classes must be theirs too.

    Raises WeightsError naming the first that differs.
    """
    found = sizes_of(state)
    for name in ("embed_dim", "depth", *(("n_classes", "distilled") if said else ())):
        if name in settings and name in found and settings[name] != found[name]:
            raise WeightsError(
                f"{source} does not fit this network: {name} is {found[name]} by the file's tensors, and {settings[name]} by "
                f"{'its own settings: it is damaged' if said else 'the settings'}. Is it the checkpoint of another arch or family?"
            )


def sizes_of(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Width, depth and classes of the network that tensors belong to, as far as they tell, in the names of MAEST, PaSST, DeiT or AST."""
    out: dict[str, Any] = {}
    blocks = {
        int(found[1]) for name in state if (found := re.match(r"(?:blocks|.*encoder\.layer|.*\blayers)\.(\d{1,6})\.", name))
    }
    if blocks:
        out["depth"] = len(blocks)
    for name in ("cls_token", "audio_spectrogram_transformer.embeddings.cls_token"):
        if name in state and state[name].ndim == 3:
            out["embed_dim"] = state[name].shape[-1]
            out["distilled"] = name.replace("cls", "dist" if name == "cls_token" else "distillation") in state
    for name in ("head.1.weight", "classifier.dense.weight"):
        if name in state and state[name].ndim == 2:
            out["n_classes"] = state[name].shape[0]
    return out
