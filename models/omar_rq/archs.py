"""OMAR-RQ's published weights by name: their cards, sizes, and what they were trained to predict.

Sources: the README of the repository (scores, input, rate) and its configurations (sizes); each model's own config.gin decides when its weights
are loaded. The weights are CC BY-NC-SA 4.0: non-commercial.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..weights.cards import ModelCard, register
from ..weights.checkpoints import register_settings_check
from .network import check

LICENCE = "CC BY-NC-SA 4.0 (non-commercial)"
TASKS = ("tagging mAP", "difficulty MSE", "pitch accuracy", "chord accuracy", "beat F1", "structure accuracy")
MEL_16: Mapping[str, Any] = {"name": "MelSpectrogram", "sr": 16000, "hop_len": 256, "patch_size": [96, 4]}
FILES = ("config.gin", "model.ckpt")


def waveform(patch: int) -> dict[str, Any]:
    """Return the input of the networks that read samples: patches of so many."""
    return {"name": "Waveform", "sr": 24000, "norm_mean": 0, "norm_std": 0.1908563740990311, "patch_size": [1, patch]}


def published(input: Mapping[str, Any], small: bool = False) -> dict[str, Any]:
    """Return the arguments of OmarRQ of a published network, as far as its repository says them."""
    if small:  # DeepNorm's constants of 12 blocks were set by hand
        sizes: dict[str, Any] = {"embed_dim": 512, "depth": 12, "num_heads": 8, "alpha_deepnorm": 2.21, "beta_deepnorm": 0.0026}
        return {**sizes, "input": dict(input), "max_seconds": 10.0}
    return {"embed_dim": 1024, "depth": 24, "num_heads": 8, "input": dict(input), "max_seconds": 30.0}


ARCHS: dict[str, dict[str, Any]] = {
    "omar-rq-base": published(MEL_16),
    "omar-rq-multicodebook": published(MEL_16),
    "omar-rq-multifeature": published(waveform(1280)),
    "omar-rq-multifeature-25hz": published(waveform(960)),
    "omar-rq-multifeature-25hz-fsq": published(waveform(960)),
    "omar-rq-base-freesound-small": published(MEL_16, small=True),
}
MEL_24: Mapping[str, Any] = {
    "name": "MelSpectrogram",
    "sr": 24000,
    "hop_len": 320,
    "norm_mean": 1.860820794608335,
    "norm_std": 1.2249547514586288,
}
CQT_24: Mapping[str, Any] = {"name": "CQT", "sr": 24000, "hop_len": 320, "n_bins": 188}
ENCODEC: Mapping[str, Any] = {"name": "EnCodec"}
_FSQ = {"quantizer_type": "finite_scalar_quantizer", "codebook_size": 7776, "levels": (6, 6, 6, 6, 6), "num_codebooks": 2}
_RQ = {"codebook_size": 8196, "num_codebooks": 2}  # 8196 is what the published configs say


def _stacked(frames: int, *targets: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """Targets of 75 frames/s in patches of so many."""
    rows = {"MelSpectrogram": 96, "CQT": 188, "EnCodec": 128}
    return tuple({**one, "patch_size": [rows[one["name"]], frames]} for one in targets)


PRETRAINING: dict[str, tuple[tuple[Mapping[str, Any], ...], dict[str, Any]]] = {  # targets, and arguments of settings.Masking
    "omar-rq-base": ((MEL_16,), {}),
    "omar-rq-multicodebook": ((MEL_16,), {"num_codebooks": 4}),
    "omar-rq-multifeature": (_stacked(4, MEL_24, CQT_24, ENCODEC), _RQ),
    "omar-rq-multifeature-25hz": (_stacked(3, CQT_24, ENCODEC, MEL_24), _RQ),
    "omar-rq-multifeature-25hz-fsq": (_stacked(3, CQT_24, ENCODEC, MEL_24), _FSQ),
    "omar-rq-base-freesound-small": ((MEL_16,), {"num_codebooks": 16, "codebook_size": 2048}),
}
_SCORES: dict[str, tuple[float, ...]] = {
    "omar-rq-base": (0.482, 1.65, 0.892, 0.657, 0.783, 0.647),
    "omar-rq-multicodebook": (0.488, 1.66, 0.897, 0.675, 0.775, 0.639),
    "omar-rq-multifeature": (0.467, 1.76, 0.938, 0.734, 0.833, 0.623),
    "omar-rq-multifeature-25hz": (0.463, 1.79, 0.932, 0.728, 0.848, 0.628),
    "omar-rq-multifeature-25hz-fsq": (0.463, 1.71, 0.940, 0.749, 0.855, 0.628),
}
_TARGETS = {
    "omar-rq-base": "mel, 1 codebook of 8192",
    "omar-rq-multicodebook": "mel, 4 codebooks of 8192",
    "omar-rq-multifeature": "mel, CQT and EnCodec, 2 codebooks of 8196 each",
    "omar-rq-multifeature-25hz": "CQT, EnCodec and mel, 2 codebooks of 8196 each",
    "omar-rq-multifeature-25hz-fsq": "CQT, EnCodec and mel, 2 finite scalar quantisers of 6^5 each",
    "omar-rq-base-freesound-small": "mel, 16 codebooks of 2048, on 10 s clips of Freesound",
}


def _add(name: str) -> None:
    arch = ARCHS[name]
    sr, patch = arch["input"]["sr"], arch["input"]["patch_size"][1]
    rate = sr / (arch["input"].get("hop_len", 1) * patch)
    register(
        ModelCard(
            name, "omar_rq", FILES[1], f"https://huggingface.co/mtg-upf/{name}/resolve/main/{FILES[1]}", "omar_rq", 0, sr, "waveform",
            arch["max_seconds"], LICENCE, hub=f"mtg-upf/{name}", parts=FILES, note=f"targets: {_TARGETS[name]}",
            aliases=(f"mtg-upf/{name}", name.replace("-", "_")), embedding_rate=rate, depth=arch["depth"],
            scores=dict(zip(TASKS, _SCORES.get(name, ()))), embed_dim=arch["embed_dim"], paradigm="masked tokens",
            training_seconds=arch["max_seconds"], training_hours=None if "freesound" in name else 330_000.0,
        )
    )  # fmt: skip


for _name in ARCHS:
    _add(_name)
register_settings_check("omar_rq", check)
