"""The demo: a small MAEST on the embedded procedural music (datasets/demo), minutes on two cores. `python ex_maest.py` alone runs it."""

from __future__ import annotations

from .naming import Config, merged
from .pretrain import MAEST
from .probe import PROBE

DEMO_DIR = "exp_out/demo_data"
SMALL: Config = {
    "trainer": {"max_epochs": 20, "log_every_n_steps": 10},
    "maest": {"embed_dim": 128, "depth": 4, "num_heads": 4, "s_patchout_t": 15},
    "module": {
        "do_swa": False,
        "mixup_alpha": 0.0,
        "optimizer": {"lr": 1e-3, "warm_up_len": 2, "ramp_down_start": 8, "ramp_down_len": 12},
    },
    "datamodule": {
        "clip_length": 5,
        "batch_size_train": 32,
        "batch_size_test": 64,
        "masking": {"do": False},
        "sampler": {"epoch_len": 1200},
    },
    "predict": {"transformer_block": 2},
}


@MAEST.add()
def demo() -> Config:
    """A small MAEST on the embedded procedural music. What `python ex_maest.py` alone runs; `make demo` goes on to the probe and the report.

    python ex_maest.py with demo
    """
    return {**SMALL, "seed": 0}


@MAEST.add()
def folder() -> Config:
    """Anyone's audio: prepares a folder and pre-trains a small MAEST on its labels, at a size that a laptop manages.

    python ex_maest.py with folder datamodule.audio_dir=DIR datamodule.groundtruth=labels.csv
    The table has a path column and a label column ('|' between several), or a column per label; a split column is used where there is one.
    """
    return merged(SMALL)


@PROBE.add()
def demo_tl() -> Config:
    """The probe on the demo's embeddings, as `make demo` runs it."""
    return {"data": {"types": "cdt", "reduce": "stack", "token_size": 128}}
