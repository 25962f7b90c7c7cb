"""Whether a folder's recordings are as long as a contrastive crop, by their headers: before anything is prepared."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.audio import info
from models.clmr import SampleCNN
from models.errors import AudioError, ConfigError

log = logging.getLogger(__name__)
MOST_FILES = 1000  # whose headers are read, evenly spread over the folder
FILLED = 0.9  # share of the files that a crop which is named should fit


def lengths_of(folder: Path, names: Sequence[str], rate: int) -> np.ndarray:
    """Return the length of every file in samples at `rate`, int64, by its header; of more than MOST_FILES some of them."""
    found = []
    for i in np.unique(np.linspace(0, max(len(names) - 1, 0), min(len(names), MOST_FILES)).round().astype(int)).tolist():
        try:
            found.append(math.ceil(info(folder / names[i]).duration * rate))
        except (AudioError, OSError):
            continue  # preparation lists it
    return np.array(found, dtype=np.int64)


def check_crops(net: SampleCNN, folder: Path, names: Sequence[str], wanted: int) -> None:
    """Raise ConfigError where fewer than `wanted` of a folder's files are as long as the network's crop, naming a crop that fits; where only some
    are shorter, log that they will be left out.
    """
    lengths = lengths_of(folder, names, net.sample_rate)
    short = int((lengths < net.window_length).sum())
    if not short:
        return
    share = (len(lengths) - short) / len(lengths)
    crop = f"{net.window_length / net.sample_rate:.2f} s"
    what = f"{short} of {len(lengths)} files of {folder} are shorter than a crop ({crop})"
    cure = fitting(net, lengths, wanted)
    if share * len(names) < wanted:
        raise ConfigError(f"{what}, and {wanted} that fill one are wanted. {cure}")
    log.warning("%s and will be left out. %s", what, cure)


def fitting(net: SampleCNN, lengths: np.ndarray, wanted: int) -> str:
    """Return a sentence that names the longest crop, of fewer strides, that most files fill. lengths: of the files in samples."""
    enough = min(max(math.ceil(FILLED * len(lengths)), wanted), len(lengths))
    strides, channels = list(net.strides), list(net.channels)
    longest = int(np.sort(lengths)[-enough])
    while len(strides) > 1 and net.window_length // math.prod(net.strides) * math.prod(strides) > longest:
        strides.pop()
        channels.pop(-2)
    window = net.window_length // math.prod(net.strides) * math.prod(strides)
    if window > longest:
        return f"Their length is {longest / net.sample_rate:.2f} s or less: too short for any crop."
    n = int((lengths >= window).sum())
    keys = f'"clmr.strides={strides}" "clmr.channels={channels}"'.replace(", ", ",")
    return f"A crop of {window / net.sample_rate:.2f} s, which {n} of {len(lengths)} fill: {keys}."
