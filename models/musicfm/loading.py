"""MusicFM's weight files: `build` by a card's name, and `load` of whatever holds a network.

Forms: published files (.pt or .safetensors, several prefixes) with their stats file beside them, folders of both, this suite's checkpoints and
exports, which say themselves what they hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..weights.build import build_from_card
from ..weights.cards import get_card
from ..weights.checkpoints import read_state
from ..weights.foreign import network_settings
from ..weights.undrawn import build_filled
from . import archs as archs  # its cards are registered
from .files import WRONG, as_path, check_files, is_musicfm, published_state, read_stats, sizes_of, stats_beside
from .network import MusicFM25Hz


def recognise(state: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Whether a file that names no family holds a MusicFM, with a known prefix or without."""
    return is_musicfm(state)


def load(
    path: str | Path, averaged: bool = True, statistics: str | Path | Mapping[str, Any] | None = None, **settings: Any
) -> MusicFM25Hz:
    """The network in a weight file or folder of any form, in eval mode; its size is the file's.

    averaged: of an own training checkpoint the averaged weights, where there are any. statistics: of a published one, its stats file or
    what that holds by name; None: the one beside it. settings: of MusicFM25Hz, in place of the file's.

    Raises WeightsNotFoundError, WeightsError for files that do not fit, ConfigError for statistics that cannot be a file's.
    """
    path = Path(path)
    names = ("pretrained_fma.pt", "pretrained_msd.pt", *(name for name in WRONG if name.endswith(".pt")))
    published = [] if not path.is_dir() else [name for name in names if (path / name).is_file()]
    if published:
        if len(published) > 1:
            raise ConfigError(f"{path} holds {' and '.join(published)}: name the one that is meant.")
        path /= published[0]
    said, state = network_settings(path, "musicfm"), published_state(read_state(path, averaged), str(path))
    if not said:
        sizes = sizes_of(state, str(path))  # first: of another network's file nobody wants statistics
        stats = stats_beside(path) if statistics is None else statistics
        if not isinstance(stats, Mapping):
            check_files(as_path(stats, "statistics"), path)
        mean, std = read_stats(stats)
        said = {**sizes, "norm_mean": mean, "norm_std": std, "is_flash": True}
    elif statistics is not None:
        raise ConfigError(f"{path} says its own statistics: leave statistics (in a command: musicfm.stats) out.")
    arguments: dict[str, Any] = {**said, "stat_path": None, "model_path": None, **settings}
    return build_filled(lambda: MusicFM25Hz(**arguments), state, str(path)).eval()


def build(
    name: str = "musicfm-msd",
    pretrained: bool = True,
    checkpoint: str | Path | None = None,
    averaged: bool = True,
    labels: Sequence[str] | None = None,
    out_dim: int | None = None,
    statistics: str | Path | Mapping[str, Any] | None = None,
    **settings: Any,
) -> MusicFM25Hz:
    """A MusicFM25Hz by its published name, or from files; attention by torch's scaled_dot_product_attention.

    pretrained: with the published weights (MAEST_WEIGHTS, the cache, or a download). checkpoint: a weight file or folder in their place.
    averaged: of an own training checkpoint the averaged weights, where there are any. labels, out_dim: of a fresh head, for random weights.
    statistics: of a published file, as `load` takes them, or of random weights in place of norm_mean and norm_std.
    settings: of MusicFM25Hz, for random weights; the size of loaded ones is the file's.

    Raises ConfigError for an unknown name or a head that a file has not, WeightsNotFoundError, WeightsError for files that do not fit.
    """
    card = get_card(name, "musicfm")

    def random() -> MusicFM25Hz:
        if statistics is not None:
            if twice := [name for name in ("norm_mean", "norm_std", "stat_path") if name in settings]:
                raise ConfigError(f"statistics are a mean and a deviation: leave {' and '.join(twice)} out, or statistics.")
            settings["norm_mean"], settings["norm_std"] = read_stats(statistics)
        return MusicFM25Hz(
            **{"is_flash": True, "stat_path": None, "model_path": None, **settings}, out_dim=out_dim, labels=labels
        )

    def of_file(path: Path) -> MusicFM25Hz:
        if checkpoint is None and path.is_dir() and (path / card.file).is_file():
            path /= card.file  # the hub's folder holds both trainings
        return load(path, averaged=averaged, statistics=statistics)

    return build_from_card(card, random, of_file, pretrained, checkpoint, out_dim)
