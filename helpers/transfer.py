"""From what a user names (embeddings, labels, published setting names) to what a probe takes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from datasets.groundtruth import Groundtruth, match
from datasets.store import TrackStore

from .embeddings import Reduce, load_embeddings, window_embeddings
from .probe import ProbeSettings, Split

Windows = Literal["mean", "one"]
log = logging.getLogger(__name__)
NAMES = {"train": "training", "val": "validation", "test": "test", "all": "all tracks"}


def read_split(
    name: str,
    source: str | Path,
    truth: Groundtruth,
    types: str,
    reduce: Reduce,
    token_size: int | None = None,
    skip_missing: bool = False,
    data: str = "",
    windows: Windows = "mean",
) -> Split:
    """The tracks of `truth` with their embeddings (`load_embeddings`).

    data: the data set's name, which every score on the split carries.
    windows: "mean" over each track's; "one": a random one of each track, but all of the test's (CLMR's linear evaluation).
    skip_missing: tracks without embeddings are left out and counted in the log; else they are an error that lists them.

    Raises GroundtruthError, StoreError or ConfigError as `load_embeddings` does.
    """
    if skip_missing:
        found = match(truth.keys, TrackStore.open(source).names)
        if found.absent:
            log.warning("%s: %s They are left out.", split_name(data, name), found.message(str(source)))
            truth = truth.subset(np.flatnonzero(found.numbers >= 0))
    kwargs: dict[str, Any] = dict(types=types, reduce=reduce, token_size=token_size)
    if windows == "one":
        x, owner = window_embeddings(source, truth.keys, "all" if name == "test" else "one", **kwargs)
        return Split(split_name(data, name), list(truth.keys), x, truth.matrix(), owner if name == "test" else None)
    return Split(split_name(data, name), list(truth.keys), load_embeddings(source, truth.keys, **kwargs), truth.matrix())


def split_name(data: str, part: str) -> str:
    """What scores on a part of a data set are reported under: "mtt test"."""
    return f"{data} {NAMES.get(part, part)}".strip()


def probe_settings(
    trainer: Mapping[str, Any], optimizer: Mapping[str, Any], model: Mapping[str, Any], batch_size: int, standardise: bool
) -> ProbeSettings:
    """ProbeSettings from sections with the published suite's names."""
    names = (
        "monitor",
        "scheduler",
        "weight_decay",
        "max_lr",
        "max_lr_epochs",
        "warmup_epochs",
        "base_lr",
        "gamma",
        "patience",
        "early_stopping",
    )
    return ProbeSettings(
        hidden=model["hidden_units"],
        num_layers=model["num_layers"],
        dropout=model["drop_out"],
        max_epochs=trainer["max_epochs"],
        batch_size=batch_size,
        standardise=standardise,
        optimizer=optimizer["name"],
        **{name: optimizer[name] for name in names},
    )
