"""MERT's published weights by name, their sizes, and the config.json beside such weights.

Sources: the table of music2vec's model card (hours, context, sizes, rates, dates), arXiv 2306.00107. The weights are CC-BY-NC-4.0: not for
commercial use. Of v0 it is not known here whether its config has the constant-Q branch: a folder that has it is refused when it is loaded.
"""

from __future__ import annotations

from typing import Any

from ..weights.cards import ModelCard, register
from ..weights.checkpoints import CONFIG, register_config_reader, register_settings_check
from .files import PROCESSOR
from .settings import LARGE, MODEL_TYPES, SHAPE, check, of_transformers

LICENCE = "CC-BY-NC-4.0: not for commercial use"
SIZES: dict[str, dict[str, Any]] = {  # name -> arguments of MERT beside those of MERT-v1-95M
    "mert-v1-330m": {**LARGE},
    "mert-v1-95m": {},
    "mert-v0-public": {"sample_rate": 16000},
    "mert-v0": {"sample_rate": 16000},
}
_ABOUT = {  # hub's name, hours, parameters, date
    "mert-v1-330m": ("MERT-v1-330M", 160_000, 330_000_000, "2023-03-17"),
    "mert-v1-95m": ("MERT-v1-95M", 20_000, 95_000_000, "2023-03-17"),
    "mert-v0-public": ("MERT-v0-public", 900, 95_000_000, "2023-03-14"),
    "mert-v0": ("MERT-v0", 1000, 95_000_000, "2022-12-29"),
}
_FILES = ("pytorch_model.bin", CONFIG, PROCESSOR)


def _add(name: str) -> None:
    size, (there, hours, parameters, date) = {**SHAPE, "sample_rate": 24000, **SIZES[name]}, _ABOUT[name]
    hub, rate = f"m-a-p/{there}", int(size["sample_rate"])
    register(
        ModelCard(
            name, "mert", _FILES[0], f"https://huggingface.co/{hub}/resolve/main/{_FILES[0]}", "transformers", 0, rate, "waveform", 5.0, LICENCE,
            hub=hub, parts=_FILES, aliases=(hub,), embedding_rate=rate / 320, depth=size["num_hidden_layers"], embed_dim=size["hidden_size"],
            parameters=parameters, paradigm="MLM", training_hours=hours, training_seconds=5.0, released=date,
            note=f"pre-trained on about {hours} h of music; clips are computed by their own samples, unpadded",
        )
    )  # fmt: skip


for _name in SIZES:
    _add(_name)
for _type in MODEL_TYPES:
    register_config_reader(_type, of_transformers)
register_settings_check("mert", check)
