"""The data sets that embeddings are judged on: where `python -m datasets.<set>` puts them, what is to be learned, and their named configs.

TARGETS is data for every protocol of probes: `target_<set>` (ex_maest.py) extracts from a set's mel store, `target_<set>_tl` (ex_tl.py) probes its
first variant and `target_<set>_<variant>_tl` the others. Counts, hashes, licences: docs/datasets.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from .naming import TARGETS as TARGETS_GROUP
from .naming import Config, Named
from .probe import PROBE


@dataclass(frozen=True)
class Target:
    """One groundtruth of a data set.

    data, variant: the folder datasets/<data>, and datasets/<data>/data/groundtruth/<data>-<variant>. task: multi-label, single-label, key or
    regression. n_classes: labels, or values of a regression.
    """

    data: str
    variant: str
    task: str
    n_classes: int
    about: str
    melspec: str = "melspec"

    @property
    def base_dir(self) -> str:
        """The mel store."""
        return f"datasets/{self.data}/data/{self.melspec}/"

    @property
    def metadata_dir(self) -> str:
        """groundtruth-train, -val, -test and -all.csv, labels.txt."""
        return f"datasets/{self.data}/data/groundtruth/{self.data}-{self.variant}/"

    @property
    def embeddings_dir(self) -> str:
        """Where extraction writes, for all variants."""
        return f"outputs/embeddings/{self.data}/"


_MULTI, _SINGLE = "multi-label", "single-label"
_ALL = [
    Target("mtt", "maest", _MULTI, 50, "MagnaTagATune, 50 tags, untagged clips kept", "mtt/melspec"),
    Target("mtt", "tagged", _MULTI, 50, "MagnaTagATune, 50 tags, without untagged clips", "mtt/melspec"),
    Target("mtt", "jongpillee", _MULTI, 50, "MagnaTagATune, 50 tags, jongpillee's and minzwon's lists", "mtt/melspec"),
    Target("mtt", "marble", _MULTI, 50, "MagnaTagATune, 50 tags, no clip dropped", "mtt/melspec"),
    Target("mtg_jamendo", "genre", _MULTI, 87, "MTG-Jamendo split-0, 87 genres"),
    Target("mtg_jamendo", "instrument", _MULTI, 40, "MTG-Jamendo split-0, 40 instruments"),
    Target("mtg_jamendo", "moodtheme", _MULTI, 56, "MTG-Jamendo split-0, 56 moods and themes"),
    Target("mtg_jamendo", "top50tags", _MULTI, 50, "MTG-Jamendo split-0, the 50 most frequent tags"),
    Target("gtzan", "filtered", _SINGLE, 10, "GTZAN, fault-filtered, 10 genres"),
    Target("gtzan", "marble", _SINGLE, 10, "GTZAN, fault-filtered, 10 genres, without one broken file"),
    Target("giantsteps_key", "key", "key", 24, "GiantSteps key: MTG's tracks to train, 604 to test"),
    Target("nsynth", "instrument", _SINGLE, 11, "NSynth, 11 instrument families"),
    Target("nsynth", "pitch", _SINGLE, 128, "NSynth, MIDI pitch"),
    Target("emomusic", "emotion", "regression", 2, "EmoMusic, arousal and valence"),
    Target("vocalset", "technique", _SINGLE, 10, "VocalSet, 10 vocal techniques"),
    Target("vocalset", "singer", _SINGLE, 20, "VocalSet, 20 singers"),
    Target("msd", "standard", _MULTI, 50, "Million Song Dataset, 50 Last.fm tags, standard split"),
    Target("msd", "cals", _MULTI, 50, "Million Song Dataset, 50 tags, CALS: cleaned, by artist"),
]
GROUPED = {  # the column by which intervals are taken, where it is none of the usual names
    ("nsynth", "instrument"): "instrument",
    ("nsynth", "pitch"): "instrument",
    ("vocalset", "technique"): "singer",
    ("vocalset", "singer"): "recording",
}
TARGETS: dict[str, Target] = {}
for _target in _ALL:
    TARGETS.setdefault(_target.data, _target)
    TARGETS[f"{_target.data}_{_target.variant}"] = _target


def extraction(target: Target) -> Config:
    """Keys of ex_maest.py: embeddings of all tracks of the set's store serve every variant."""
    return {"datamodule": {"base_dir": target.base_dir}, "predict": {"out_dir": target.embeddings_dir}}


def probe(target: Target) -> Config:
    """Keys of ex_tl.py, for block 7 of a 30 s model."""
    # three of its clips have no audio
    extra: dict[str, bool | str] = {"skip_missing": True} if (target.data, target.variant) == ("mtt", "marble") else {}
    by = GROUPED.get((target.data, target.variant))
    extra |= {"group_column": by} if by else {}
    place = {"metadata_dir": target.metadata_dir, "base_dir": f"{target.embeddings_dir}30sec/7/"}
    return {"data": {**place, "task": target.task, "n_classes": target.n_classes, **extra}}


for _name, _target in TARGETS.items():
    PROBE.put(
        Named(f"target_{_name}_tl", probe(_target), f"MAEST's probe on {_target.about} (block 7 of a 30 s model).", TARGETS_GROUP)
    )
