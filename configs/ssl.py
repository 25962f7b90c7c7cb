"""Named configs of ex_ssl.py: CLMR (arXiv 2103.09410). Scores are the published README's; nothing of it was reproduced here."""

from __future__ import annotations

from .naming import DEMO, INFERENCE, Catalogue, Config, merged
from .probe import PROBE

SSL = Catalogue()

NARROW: Config = {"channels": [8] * 3 + [16] * 6 + [32] * 2}
SMOKE: Config = {
    "trainer": {"max_epochs": 1, "limit_train_batches": 2, "limit_val_batches": 2, "precision": "32", "accelerator": "cpu"},
    "clmr": {**NARROW, "pretrained": False, "head_checkpoint": None},
    "datamodule": {"batch_size_train": 4, "batch_size_test": 4, "demo_tracks": 40, "base_dir": None, "groundtruth": None},
}


def _linear_evaluation() -> Config:
    """The section `report` of CLMR's linear evaluation (clmr_linear of ex_tl.py), with z-scored inputs beside it."""
    probe = PROBE["clmr_linear"].values
    data = {name: probe["data"][name] for name in ("train_windows", "val_windows", "test_windows", "aggregate")}
    sections = {name: probe[name] for name in ("trainer", "optimizer", "model")}
    return {**sections, "data": data, "batch_size": probe["data"]["batch_size"], "z_scored": True}


@SSL.add(smoke=SMOKE)
def clmr_pretrain() -> Config:
    """CLMR's pre-training: SampleCNN, the published augmentations, Adam at a constant 3e-4, batch 48 per process.

    python ex_ssl.py with clmr_pretrain datamodule.audio_dir=DIR
    python ex_ssl.py with clmr_pretrain target_mtt
    Published: MagnaTagATune, 10 000 epochs with batch 96 (ROC-AUC 88.7, PR-AUC 35.6 by a linear head); here 1000 unless trainer.max_epochs says
    otherwise. Batch statistics are over all processes, negatives too.
    """
    return {"trainer": {"max_epochs": 1000, "log_every_n_steps": 10}, "report": _linear_evaluation()}


@SSL.add()
def library_readme() -> Config:
    """The augmentation probabilities of the augmentation library's README, in place of the published configuration's; stands behind a pre-training.

    python ex_ssl.py with clmr_pretrain library_readme datamodule.audio_dir=DIR
    """
    chain = {
        "noise": 0.3,
        "noise_min": 0.001,
        "noise_max": 0.005,
        "gain": 0.2,
        "filters": 1.0,
        "delay": 0.5,
        "pitch": 0.4,
        "reverb": 0.3,
    }
    return {"augment": chain}


@SSL.add()
def lars() -> Config:
    """LARS for large batches: rate 0.3 x batch / 256, momentum 0.9, weight decay 1e-6 (not of biases and norms), cosine to 0.

    python ex_ssl.py with clmr_pretrain lars datamodule.batch_size_train=256
    """
    return {"optimizer": {"name": "lars", "lr": None, "weight_decay": 1e-6, "momentum": 0.9, "schedule": "cosine"}}


@SSL.add(smoke=SMOKE)
def samplecnn_supervised() -> Config:
    """The fully supervised baseline: SampleCNN with dropout on one crop per track, SGD with Nesterov's momentum, plateau schedule, early stop.

    python ex_ssl.py with samplecnn_supervised target_mtt
    Published on MagnaTagATune: ROC-AUC 88.6, PR-AUC 34.4. `test` scores the mean probability of all windows of a track.
    """
    return {
        "clmr": {"supervised": True},
        "augment": {"do": False},
        "trainer": {"max_epochs": 1000, "log_every_n_steps": 10},
        "optimizer": {
            "name": "sgd",
            "lr": 3e-4,
            "weight_decay": 1e-6,
            "schedule": "plateau",
            "plateau_factor": 0.2,
            "plateau_patience": 5,
            "early_stopping": 20,
        },
    }


@SSL.add(smoke=merged(SMOKE, {"predict": {"transformer_block": -1}}), group=INFERENCE)
def clmr_inference() -> Config:
    """The published encoder of release 2.1 (MagnaTagATune, 10 000 epochs), to extract from.

    python ex_ssl.py extract_embeddings with clmr_inference target_mtt
    python ex_tl.py with target_mtt_tl clmr_linear data.base_dir=outputs/embeddings/mtt/clmr/10
    """
    return {"clmr": {"pretrained": True}}


@SSL.add(group=DEMO)
def clmr_demo() -> Config:
    """A narrow CLMR on the embedded procedural music, without its labels. What `python ex_ssl.py` alone runs; `report` goes on to the linear probe.

    python ex_ssl.py report with clmr_demo
    """
    return {
        "seed": 0,
        "trainer": {"max_epochs": 12, "log_every_n_steps": 10},
        # crops of 39 366 samples (1.79 s) and a narrow network, a low temperature and an augmentation half as frequent: so much is learned in
        # 564 steps. docs/results.md says what was compared
        "clmr": {"channels": [8, 16, 32] + [64] * 6 + [128] * 2, "strides": [3] * 8 + [2], "temperature": 0.1},
        "augment": {"filters": 0.4, "delay": 0.15, "pitch": 0.3, "reverb": 0.3},
        "optimizer": {"lr": 1e-3, "schedule": "cosine"},  # 47 steps an epoch: the published rate is made for 10 000 epochs
        "datamodule": {"batch_size_train": 32},
        "report": {"title": "Demo: CLMR pre-trained on procedural music, without its labels", **_linear_evaluation()},
    }
