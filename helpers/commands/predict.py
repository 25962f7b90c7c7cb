"""The command that tags audio: what is this music?"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import numpy as np

from models.audio import iterate
from models.encoder import BLOCK_SECONDS
from models.errors import ConfigError
from models.prefetch import begun

from ..families.base import Config
from ..prediction.files import audio_files, check_audio
from ..prediction.predict import PredictionSettings, print_prediction
from ..prediction.predict import predict as tag_audio
from .context import Context
from .networks import as_trained, check_precision, load_network

DECODED_BLOCKS = 8  # before the network is there: 4 minutes, 15 MB


def predict(context: Context) -> list[str]:
    """What is this music? The classes heard in predict.audio, a file or folder: on the screen, and as pages in <out_dir>/predictions/<name>/."""
    config = as_trained(context)
    audio = asked_audio(config)
    check_audio(audio)
    check_precision(config)
    with closing(decoding(audio, context.family.sketch(config).sample_rate)) as blocks:  # while the network loads
        loaded = load_network(context, config, classes=True, use="predict")
        settings = settings_of(config, loaded.weights, loaded.precision)
        found = tag_audio(
            loaded.network, audio, Path(config.predict.out_dir) / "predictions", settings, blocks=blocks, sounds=context.begun
        )
    print_prediction(found)
    card, licence = loaded.network.card, loaded.network.licence
    name = loaded.weights if card is None else card.name
    context.print(*([] if licence is None else [f"Weights: {name}, {licence}."]), *map(str, found.written))
    return [str(path) for path in found.written]


def decoding(audio: str | Path, sample_rate: int) -> Generator[np.ndarray, None, None]:
    """Return the (first) file of `audio` as blocks of samples; decoding has begun. What is wrong with it is raised where blocks are asked for."""
    root, names = audio_files(audio)
    return begun(iterate(root / names[0], sample_rate, BLOCK_SECONDS), DECODED_BLOCKS)


def asked_audio(config: Config) -> str:
    """Return predict.audio. Raises ConfigError where it is not set."""
    if config.predict.audio is None:
        named = " (What is called None here is written predict.audio=./None.)" if Path("None").exists() else ""
        raise ConfigError(f"predict.audio names an audio file, or a folder of them. It is not set.{named}")
    return str(config.predict.audio)


def settings_of(config: Config, weights: str, precision: str) -> PredictionSettings:
    """Return how the config has audio tagged, and what it has written."""
    p = config.predict
    return PredictionSettings(
        weights=weights,
        precision=precision,
        backend=p.backend,
        hop_seconds=p.hop,
        batch_size=config.datamodule.batch_size_test,
        top=p.top,
        html=p.html,
        player_minutes=p.player_minutes,
        tables=tuple(kind for kind in ("csv", "json", "parquet") if getattr(p, kind)),
    )
