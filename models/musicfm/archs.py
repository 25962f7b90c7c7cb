"""MusicFM's published weights by name: two trainings of one network. No training code, and no scores of these two files, are published.

Sources: the repository's README (data), arXiv 2311.03318 (Table 1: FM9 is the FMA training). Their code is MIT; of the weights no other licence is
named. Vectors of a clip depend on all of it: clips of unlike length are never padded into one batch.
"""

from __future__ import annotations

from ..weights.cards import ModelCard, register
from ..weights.checkpoints import register_settings_check
from .files import URL
from .network import RATE, check

LICENCE = "MIT (of the code; none other is named for the weights)"
_DATA = {"fma": "FMA-large, 8000 h", "msd": "the whole Million Song Dataset; stronger than fma by its authors' word"}
_HOURS = {"fma": 8000.0}  # of msd none are said
_SCORES = {"fma": {"beat F1": 0.868, "downbeat F1": 0.767, "chord accuracy": 0.675, "structure accuracy": 0.664,
                   "key accuracy": 0.674, "tagging mAP": 0.4726, "tagging ROC-AUC": 0.9167}}  # fmt: skip

for _variant, _data in _DATA.items():
    _files = (f"pretrained_{_variant}.pt", f"{_variant}_stats.json")
    register(
        ModelCard(
            f"musicfm-{_variant}", "musicfm", _files[0], f"{URL}/resolve/main/{_files[0]}", "musicfm", 0, RATE, "waveform", 30.0, LICENCE,
            hub="minzwon/MusicFM", parts=_files, note=f"trained on {_data}; clips are computed by their own samples, unpadded",
            aliases=(f"musicfm_{_variant}",), embedding_rate=25.0, depth=12, scores=_SCORES.get(_variant, {}),
            embed_dim=1024, parameters=330_000_000, paradigm="masked tokens", training_hours=_HOURS.get(_variant), training_seconds=30.0,
        )
    )  # fmt: skip
register_settings_check("musicfm", check)
