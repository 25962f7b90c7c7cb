"""What steps of the papers' tables run with, beside the demo's own configs."""

from __future__ import annotations

from ..naming import PARTS, Config
from .pretrain import MAEST


@MAEST.add(group=PARTS)
def paper_start() -> Config:
    """A MAEST of the published size on 5 s clips of the demo music, 24 steps: what two cores can show of a start's use (table_initial_weights)."""
    return {
        "trainer": {
            "max_epochs": 4,
            "log_every_n_steps": 5,
            "check_val_every_n_epoch": 4,
            "gradient_clip_val": 1.0,
            "accelerator": "cpu",
        },
        "maest": {"s_patchout_t": 15},
        "module": {
            "do_swa": False,
            "mixup_alpha": 0.0,
            "optimizer": {"lr": 1e-4, "warm_up_len": 1, "ramp_down_start": 2, "ramp_down_len": 2},
        },
        "datamodule": {
            "clip_length": 5,
            "tail": "shift",
            "batch_size_train": 8,
            "batch_size_test": 16,
            "sampler": {"epoch_len": 48},
        },
    }


@MAEST.add(group=PARTS)
def paper_tiny() -> Config:
    """Stands behind `demo`: one epoch of a narrow network, for the scale `smoke` of ex_paper.py."""
    return {
        "trainer": {"max_epochs": 1, "check_val_every_n_epoch": 1, "accelerator": "cpu", "precision": "32"},
        "maest": {"embed_dim": 48, "depth": 3},
        "datamodule": {"batch_size_train": 8, "sampler": {"epoch_len": 28}},
        "predict": {"transformer_block": 1},
    }


@MAEST.add(group=PARTS)
def paper_tiny_start() -> Config:
    """Stands behind `paper_start`: two steps, for the scale `smoke` of ex_paper.py."""
    return {
        "trainer": {"max_epochs": 1, "check_val_every_n_epoch": 1},
        "datamodule": {"batch_size_train": 2, "sampler": {"epoch_len": 4}},
    }
