"""MusicFM's published files: weights under several prefixes, and the statistics that normalise their input."""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..bounded_files import read_json
from ..errors import ConfigError, WeightsError, WeightsNotFoundError
from ..settings import shown
from ..weights.foreign import without_prefix

log = logging.getLogger(__name__)
FEATURE = "melspec_2048"
STATS, WEIGHTS = "./data/fma_stats.json", "./data/pretrained_fma.pt"
URL = "https://huggingface.co/minzwon/MusicFM"
WRONG = {  # names from before 13 February 2024 -> what is in their place
    "musicfm_25hz_FMA_330m_500k.pt": "pretrained_fma.pt",
    "fma_classic_stats.json": "fma_stats.json",
}
MSD_STATS = (6.768444971712967, 18.417922652295623)  # of pretrained_msd.pt, as several public repositories give them
PREFIXES = ("bestrq.model.", "model.")
_FIRST = "conv.conv.0.conv1.weight"
_MOST_STATS = 1 << 20  # bytes
_GIVEN = "These statistics"  # in place of a file's name
_OLD_NORM = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
State = dict[str, Tensor]


def published_state(state: Mapping[str, Tensor], source: str) -> State:
    """A file's entries under the published names: without a known prefix, weight norms and quantisers as the newer files name them.

    source: of the entries, for the error's text. Raises WeightsError for a file with entries beside the network's.
    """
    return {_renamed(name): value for name, value in without_prefix(state, _FIRST, PREFIXES, source).items()}


def _renamed(name: str) -> str:
    head, _, last = name.rpartition(".")
    if head == "conformer.pos_conv_embed.conv":
        return f"{head}.{_OLD_NORM.get(last, last)}"
    return re.sub(rf"^(quantizer_{FEATURE})\.", r"\1_0.", name)


def is_musicfm(state: Mapping[str, Any]) -> bool:
    """Whether a file's entries are a MusicFM's, with a known prefix or without."""
    return any(f"{p}{_FIRST}" in state and f"{p}conformer.embed_positions.inv_freq" in state for p in ("", *PREFIXES))


def sizes_of(state: Mapping[str, Tensor], source: str) -> dict[str, Any]:
    """The arguments of MusicFM25Hz that the shapes of a published file say. Raises WeightsError for a file that lacks what says them."""
    try:
        channels, width = int(state[_FIRST].shape[0]), int(state["conv.linear.weight"].shape[0])
        half_head = int(state["conformer.embed_positions.inv_freq"].shape[0])
        pos = state["conformer.pos_conv_embed.conv.parametrizations.weight.original1"].shape
        first = "conformer.layers.0."
        books = [value for name, value in state.items() if re.fullmatch(rf"quantizer_{FEATURE}_\d+\.codebook", name)]
        conformer = {
            "num_attention_heads": width // (2 * half_head),
            "intermediate_size": int(state[f"{first}ffn1.intermediate_dense.weight"].shape[0]),
            "conv_depthwise_kernel_size": int(state[f"{first}conv_module.depthwise_conv.weight"].shape[-1]),
            "num_conv_pos_embeddings": int(pos[-1]),
            "num_conv_pos_embedding_groups": width // int(pos[1]),
        }
        layers = {name.split(".")[2] for name in state if name.startswith("conformer.layers.")}
        size, dim = books[0].shape
        n_mels = int(state[f"preprocessor_{FEATURE}.mel_stft.mel_scale.fb"].shape[1])
    except (KeyError, IndexError, ZeroDivisionError, ValueError) as error:
        why = (
            f"it lacks {error.args[0]}"
            if isinstance(error, KeyError)
            else f"its shapes do not say what it was built with ({error!r})"
        )
        raise WeightsError(f"{source} is no whole MusicFM: {why}.") from error
    sizes = {"conv_dim": channels, "encoder_dim": width, "encoder_depth": len(layers), "n_mels": n_mels, "conformer": conformer}
    return {**sizes, "num_codebooks": len(books), "codebook_size": int(size), "codebook_dim": int(dim)}


# ---- statistics
def read_stats(statistics: str | Path | Mapping[str, Any]) -> tuple[float, float]:
    """Mean and deviation of the log-mels in dB, of a published stats file or of what one holds.

    Raises WeightsNotFoundError for a file that is not there, ConfigError for what is neither, for one without the keys, or with values that no
    log-mels in dB have.
    """
    if isinstance(statistics, Mapping):
        return _stats_of(dict(statistics), _GIVEN)
    path = as_path(statistics, "statistics")
    _note_name(path)
    if not path.is_file():
        raise WeightsNotFoundError(f"There is no stats file {path}: MusicFM's input is normalised by it. {_where()}")
    try:
        content = read_json(path, _MOST_STATS)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is no readable json: {error}. {_where()}") from error
    return _stats_of(content, str(path))


def _stats_of(content: Any, source: str) -> tuple[float, float]:
    keys = [f"{FEATURE}_mean", f"{FEATURE}_std"]
    lacking = [key for key in keys if not isinstance(content, dict) or key not in content]
    if lacking:
        raise ConfigError(
            f"{source} {'lack' if source == _GIVEN else 'lacks'} {' and '.join(lacking)}: these are MusicFM's. {_where()}"
        )
    found = [content[key] for key in keys]
    if not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in found):
        raise ConfigError(f"{source}: {' and '.join(keys)} are numbers; got {shown(found[0])} and {shown(found[1])}.")
    check_stats(float(found[0]), float(found[1]), source)
    return float(found[0]), float(found[1])


def statistics_of(stats: Path | None, weights: Path | None, mean: float | None, std: float | None) -> tuple[float, float]:
    """Mean and deviation of a network's log-mels in dB.

    Args:
        stats: file of both; None: there is none.
        weights: file of the network; None: random ones.
        mean, std: that were given as numbers; None: not.

    Raises ConfigError for weights without statistics, of which nothing says those that they were trained with, and as `read_stats` does.
    """
    if stats is not None:
        if mean is not None or std is not None:
            raise ConfigError(
                f"{stats} holds mean and deviation: leave norm_mean and norm_std out, or give them with stat_path=None."
            )
        found = read_stats(stats)
    else:
        if weights is not None and (mean is None or std is None) and _variant(weights.name) != "msd":
            raise ConfigError(
                f"{weights} without statistics: its input would be normalised wrongly. Give stat_path=FILE, or norm_mean= and norm_std=."
            )
        found = (MSD_STATS[0] if mean is None else mean, MSD_STATS[1] if std is None else std)
    if torch.empty(0).is_meta:  # a sketch, of which nothing will be heard
        return found
    if stats is None and (mean is None or std is None):
        log.info(
            "No stat_path and no norm_mean, norm_std: the input is normalised by the Million Song Dataset's mean %.3f dB and deviation %.3f dB%s.",
            *found, "; the weights are random" if weights is None else "",
        )  # fmt: skip
    elif weights is None and stats is not None:
        log.info("No model_path: the weights are random; the statistics are those of %s.", stats)
    return found


def as_path(value: Any, name: str) -> Path:
    """A path that was given as one. Raises ConfigError for anything else. name: of the argument, for its text."""
    if not isinstance(value, (str, os.PathLike)):
        raise ConfigError(
            f"{name} is {shown(value)}; wanted the path of a file. MusicFM25Hz takes numbers as norm_mean= and norm_std=, with stat_path=None."
        )
    return Path(value)


def check_stats(mean: float, std: float, source: str) -> None:
    """Raise ConfigError for values that no log-mels in dB have: they lie between -100 and about 100."""
    if not (math.isfinite(mean) and -100 <= mean <= 100 and math.isfinite(std) and 0.01 <= std <= 200):
        raise ConfigError(
            f"{source}: a mean of {mean!r} dB and a deviation of {std!r} dB are no log-mels'; wanted -100 to 100, and 0.01 to 200 "
            f"(published: {MSD_STATS[0]:.3f} and {MSD_STATS[1]:.3f})."
        )


# ---- which files
def check_files(stat_path: str | Path | None, model_path: str | Path | None) -> tuple[Path | None, Path | None]:
    """The files that a network is made of, those of old names where only they are there; None: none is asked for.

    Raises WeightsNotFoundError naming all that are not there, ConfigError for statistics of another training than the weights'.
    """
    paths = {"stat_path": stat_path, "model_path": model_path}
    asked = [None if path is None else _present(as_path(path, name)) for name, path in paths.items()]
    if model_path is None and stat_path == STATS and asked[0] is not None and not asked[0].is_file():
        asked[0] = None  # nobody named it, and random weights go with any statistics
    absent = [path for path in asked if path is not None and not path.is_file()]
    if absent:
        raise WeightsNotFoundError(
            f"There is no {' and no '.join(map(str, absent))}. {_where()} Name yours with stat_path= and model_path=. For random weights: "
            "MusicFM25Hz(model_path=None, stat_path=None)."
        )
    variants = [None if path is None else _variant(path.name) for path in asked]
    if all(variants) and variants[0] != variants[1]:
        raise ConfigError(
            f"{asked[1]} was trained with {variants[1]}_stats.json, {asked[0]} is another training's: give its own."
        )
    for path in asked:
        if path is not None:
            _note_name(path)
    return asked[0], asked[1]


def _present(path: Path) -> Path:
    """The path, or where it is a default that is not there the file of its old name beside it."""
    old = next((path.with_name(o) for o, new in WRONG.items() if new == path.name), path)
    return old if not path.is_file() and old.is_file() else path


def _variant(name: str) -> str | None:
    return next((v for v in ("fma", "msd") if re.search(rf"(^|[_-]){v}([._-]|$)", name.lower())), None)


def _note_name(path: Path) -> None:
    if path.name in WRONG:
        log.warning(
            "%s has the name of a file that its authors took back as wrong (February 2024): its vectors may be wrong. Get %s of %s.",
            path, WRONG[path.name], URL,
        )  # fmt: skip


def _where() -> str:
    return f"Get pretrained_fma.pt and fma_stats.json (or pretrained_msd.pt and msd_stats.json) of {URL}."


def stats_beside(path: Path) -> Path:
    """The stats file that belongs to a weight file: in its folder, of its variant. Raises WeightsNotFoundError naming what was looked for."""
    variant = _variant(path.name)
    names = [f"{variant}_stats.json"] if variant else ["stats.json", "fma_stats.json", "msd_stats.json"]
    old = [name for name, new in WRONG.items() if new in names]
    looked = [*names, *(["stats.json"] if variant else []), *old]
    there = [path.parent / name for name in looked if (path.parent / name).is_file()]
    if not there or (variant is None and len(there) > 1):
        raise WeightsNotFoundError(
            f"{path} says nothing of the statistics that normalise its input: place {' or '.join(names)} of {URL} beside it, one of them, "
            "or give statistics=FILE, or a dict of melspec_2048_mean and melspec_2048_std (in a command: musicfm.stats=FILE)."
        )
    return there[0]
