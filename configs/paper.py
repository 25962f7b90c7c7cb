"""Named configs of ex_paper.py: the scales at which papers' tables are made. `demo` is made from nothing on two cores; one per published data set."""

from __future__ import annotations

from .naming import PARTS, SCALES, Catalogue, Config, Named
from .probe import PROBE
from .targets import TARGETS

PAPER = Catalogue()
SIZES = {  # data set -> tracks, seconds of each: for estimates
    "mtt": (25860, 29.0), "mtg_jamendo": (55000, 240.0), "gtzan": (930, 30.0), "giantsteps_key": (2090, 120.0), "nsynth": (305979, 4.0),
    "emomusic": (744, 45.0), "vocalset": (3560, 6.0), "msd": (241889, 30.0),
}  # fmt: skip


# What the result of a step depends on: script -> command -> what its settings' `affects` say (configs/options.py).
_TRAINED = ("inputs", "training inputs", "numerics", "course", "duration", "training", "network")
_EXTRACTED = ("inputs", "numerics", "network", "extraction")
_PRETRAINING = {
    "main": _TRAINED,
    "test": _TRAINED,
    "extract_embeddings": (*_EXTRACTED, "embeddings"),
    "extract_logits": _EXTRACTED,
}
DECISIVE: dict[str, dict[str, tuple[str, ...]]] = {
    "ex_maest.py": _PRETRAINING,
    "ex_ssl.py": _PRETRAINING,
    "ex_tl.py": {"main": ("probe",), "sweep": ("probe", "sweep"), "few_label": ("probe", "few_label")},
    "ex_paper.py": {"demo_music": ("demo_music",), "patchout_speed": ("patchout_speed",)},
}


@PAPER.add(group=SCALES)
def demo() -> Config:
    """Networks that are pre-trained here, on the embedded music: every table from nothing in minutes on two cores (table_families: an hour at most).

    python ex_paper.py table_families with demo
    Two steps at a time, each with half of the cores. What it shows is that the machinery works, and which findings hold at this scale; papers'
    numbers are of other data and not comparable.
    """
    return {"scale": {"name": "demo", "networks": "trained"}}


@PAPER.add(group=SCALES)
def smoke() -> Config:
    """`demo` made tiny: forty tracks, one epoch, narrow networks. Seconds to a few minutes; shows that a table is made, nothing else."""
    return {
        "scale": {
            "name": "smoke",
            "networks": "trained",
            "tracks": 40,
            "start_tracks": 12,
            "seeds": [0, 1],
            "maest": ["demo", "paper_tiny"],
            "start": ["paper_start", "paper_tiny_start"],
            "clmr": ["clmr_demo", "paper_tiny_clmr"],
            "supervised": ["clmr_demo", "paper_tiny_clmr", "paper_supervised"],
            "omar_rq": ["omar_rq_demo", "paper_tiny_omar_rq"],
            "music2vec": ["music2vec_demo", "paper_tiny_music2vec"],
            "musicfm": ["musicfm_demo", "paper_tiny_musicfm"],
            "frames": ["paper_frames", "paper_tiny_frames"],
            "probe": ["paper_probe", "paper_tiny_probe"],
            "linear": ["clmr_linear", "paper_tiny_probe"],
            "mlp": ["clmr_mlp", "paper_tiny_probe"],
            "depth": 3,
            "block": 1,
            "lengths": [1.25, 2.5],
            "shares": [0.5, 1.0],
            "draws": 2,
        },
    }


def published(name: str, targets: list[str]) -> Config:
    """Published networks on published data sets; one step at a time, since each takes the memory that it takes."""
    return {
        "jobs": 1,
        "scale": {
            "name": name,
            "networks": "published",
            "targets": targets,
            "maest": [],
            "clmr": ["clmr_inference"],
            "supervised": ["samplecnn_supervised"],
            "omar_rq": ["omar_rq_inference"],
            "music2vec": ["music2vec_inference"],
            "musicfm": ["musicfm_inference"],
            "probe": ["maest_tl"],
            "depth": 12,
            "block": 7,
            "lengths": [5.0, 10.0, 20.0, 30.0],
        },
    }


_VARIANTS = {
    data: [name for name, one in TARGETS.items() if one.data == data and name != data]
    for data in TARGETS
    if data == TARGETS[data].data
}
for _data, _names in _VARIANTS.items():
    _text = f"Published networks on {TARGETS[_data].about.split(',')[0]}. Make the data: docs/datasets.md. table_downstream probes all its variants."
    PAPER.put(Named(_data, published(_data, _names), _text, SCALES))
    for _name in _names if len(_names) > 1 else ():
        PAPER.put(
            Named(
                _name,
                published(_name, [_name, *(n for n in _names if n != _name)]),
                f"Published networks on {TARGETS[_name].about}.",
                SCALES,
            )
        )


# ---- what steps of the tables run with, beside the demo's own configs
@PROBE.add(group=PARTS)
def paper_probe() -> Config:
    """The probe of the demo's tables: one vector per track, standardised, 512 hidden units, 30 epochs, the epoch of the best validation ROC-AUC."""
    return {
        "trainer": {"max_epochs": 30},
        "optimizer": {"max_lr": 1e-3, "warmup_epochs": 5, "max_lr_epochs": 5},
        "data": {"standardise": True},
    }


@PROBE.add(group=PARTS)
def paper_tiny_probe() -> Config:
    """Stands behind `paper_probe`: three epochs, for the scale `smoke` of ex_paper.py."""
    return {"trainer": {"max_epochs": 3}, "model": {"hidden_units": 16}}


@PROBE.add(group=PARTS)
def paper_frames() -> Config:
    """The probes in time of the demo's tables: standardised vectors one by one, 512 hidden units, 3000 steps of 256."""
    return {
        "trainer": {"max_steps": 3000},
        "optimizer": {"scheduler": "warmup_cosine", "warmup_steps": 300, "weight_decay": 0.01, "max_lr": 1e-3},
        "model": {"drop_out": 0.2},
        "data": {"standardise": True, "batch_size": 256},
    }


@PROBE.add(group=PARTS)
def paper_tiny_frames() -> Config:
    """Stands behind `paper_frames`: thirty steps, for the scale `smoke` of ex_paper.py."""
    return {"trainer": {"max_steps": 30}, "optimizer": {"warmup_steps": 3}, "model": {"hidden_units": 16}}
