"""music2vec's published weights by name, and the config.json of transformers beside such weights.

Sources: the model card (its table gives a context of 30 s, its text says that the crop5s training was released: 5 s here), arXiv 2212.02508.
"""

from __future__ import annotations

from ..weights.cards import ModelCard, register
from ..weights.checkpoints import register_config_reader, register_settings_check
from .settings import MODEL_TYPE, RATE, check, of_transformers

HUB = "m-a-p/music2vec-v1"
_FILES = ("pytorch_model.bin", "config.json")

register(
    ModelCard(
        "music2vec-v1", "music2vec", _FILES[0], f"https://huggingface.co/{HUB}/resolve/main/{_FILES[0]}", "transformers", 0, RATE, "waveform", 5.0,
        "CC-BY-NC-4.0: not for commercial use", hub=HUB, parts=_FILES, aliases=(HUB,), embedding_rate=50.0, depth=12,
        embed_dim=768, parameters=95_000_000, paradigm="BYOL", training_hours=1000.0, training_seconds=5.0, released="2022-10-30",
        note="pre-trained on about 1000 h of music; padded clips have the vectors of unpadded ones where their lengths are given",
    )
)  # fmt: skip
register_config_reader(MODEL_TYPE, of_transformers)
register_settings_check("music2vec", check)
