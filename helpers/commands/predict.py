"""The command that tags audio: what is this music?"""

from __future__ import annotations

from pathlib import Path

from models.errors import ConfigError

from ..families.base import Config
from ..prediction.predict import PredictionSettings, check_audio, print_prediction
from ..prediction.predict import predict as tag_audio
from .context import Context
from .networks import as_trained, load_network


def predict(context: Context) -> list[str]:
    """What is this music? The classes heard in predict.audio, a file or folder: on the screen, and as pages in <out_dir>/predictions/<name>/."""
    config = as_trained(context)
    audio = asked_audio(config)
    check_audio(audio)
    loaded = load_network(context, config, classes=True, use="predict")
    settings = settings_of(config, loaded.weights, loaded.precision)
    found = tag_audio(loaded.network, audio, Path(config.predict.out_dir) / "predictions", settings)
    print_prediction(found)
    card = loaded.network.card
    context.print(*([] if card is None else [f"Weights: {card.name}, {card.licence}."]), *map(str, found.written))
    return [str(path) for path in found.written]


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
        hop_seconds=p.hop,
        batch_size=config.datamodule.batch_size_test,
        top=p.top,
        html=p.html,
        player_minutes=p.player_minutes,
        tables=tuple(kind for kind in ("csv", "json", "parquet") if getattr(p, kind)),
    )
