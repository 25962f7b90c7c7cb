"""Named configs of ex_tl.py: probes on extracted embeddings. Those of the published data sets are in targets.py."""

from __future__ import annotations

from .naming import Catalogue, Config

PROBE = Catalogue()


@PROBE.add()
def maest_tl() -> Config:
    """MAEST's protocol with its best input: the three tokens stacked. Settings are the defaults (specs: MLP of 512, AdamW, 60 epochs)."""
    return {"data": {"types": "cdt", "reduce": "stack"}}


@PROBE.add()
def small_data() -> Config:
    """A few hundred tracks: five folds, three times, in place of one split; scores with their spread over folds.

    python ex_tl.py with small_data data.base_dir=EMBEDDINGS data.groundtruth=labels.csv
    """
    return {
        "data": {"folds": 5, "repeats": 3, "types": "cdt", "reduce": "stack", "standardise": True},
        "optimizer": {"max_lr": 1e-3},  # MAEST's 1e-4 takes too few steps on so little
    }


def linear_evaluation(layers: int) -> Config:
    """CLMR's (arXiv 2103.09410): one window per track to train on, every window's probability to test; Adam 1e-3, plateau, early stop."""
    return {
        "data": {"windows": "one", "batch_size": 48},
        "trainer": {"max_epochs": 200},
        "optimizer": {
            "name": "adam",
            "max_lr": 1e-3,
            "weight_decay": 1e-6,
            "scheduler": "plateau",
            "gamma": 0.1,
            "patience": 5,
            "early_stopping": 10,
            "monitor": "val_loss",
        },
        "model": {"num_layers": layers, "drop_out": 0.0},
    }


@PROBE.add()
def clmr_linear() -> Config:
    """CLMR's linear evaluation. Published on MagnaTagATune, after 10 000 epochs: ROC-AUC 88.7, PR-AUC 35.6 (not reproduced here).

    python ex_ssl.py extract_embeddings with clmr_inference target_mtt
    python ex_tl.py with clmr_linear data.base_dir=outputs/embeddings/mtt/clmr/10 data.metadata_dir=datasets/mtt/
    The weights with the lowest validation loss are tested (the published code tests the last ones).
    """
    return linear_evaluation(1)


@PROBE.add()
def clmr_mlp() -> Config:
    """The same with one hidden layer of 512. Published: ROC-AUC 89.3, PR-AUC 36.0 (not reproduced here).

    python ex_tl.py with clmr_mlp data.base_dir=EMBEDDINGS data.groundtruth=labels.csv
    """
    return linear_evaluation(2)
