"""musicnn (arXiv 1909.06654): its section of ex_maest.py and ex_ssl.py, and its named configs. Scores are the published networks' own."""

from __future__ import annotations

from dataclasses import dataclass

from .naming import INFERENCE, Catalogue, Config, FamilyConfigs
from .options import opt

MUSICNN = Catalogue()


@dataclass
class Musicnn:
    """musicnn (models/musicnn): convolutions on log-mels, trained on labels (arXiv 1711.02520, 1909.06654)."""

    arch: str = opt(
        "musicnn-mtt",
        "name of a registered model (models.list_models('musicnn*')), whose weights are those of pretrained=True",
        affects="network",
    )
    pretrained: bool = opt(False, "begin with the published weights of arch", affects="network")
    checkpoint: str | None = opt(
        None, "weight file to begin with, in place of the published one of arch; the wheel too, of which arch names the network",
        affects="inputs",
    )  # fmt: skip
    checkpoint_swa_weights: bool = opt(
        True, "take the averaged weights of a training checkpoint, where it holds any", affects="inputs"
    )
    input_t: int = opt(187, "mel frames of a window (62.5 per second)", affects="network", bounds="[1, 65536]")
    timbral: int = opt(204, "channels of each of the two timbral filter banks", affects="network", bounds="[1, 65536]")
    temporal: int = opt(51, "channels of each of the three temporal filter banks", affects="network", bounds="[1, 65536]")
    middle: int = opt(64, "channels of the three convolutions behind them", affects="network", bounds="[1, 65536]")
    hidden: int = opt(200, "width of the hidden layer, the last embedding", affects="network", bounds="[1, 65536]")
    task: str = opt(
        "multilabel",
        "loss of training: binary cross-entropy, or cross-entropy of one label per track",
        ("multilabel", "multiclass"),
        affects="network",
    )


NARROW: Config = {"timbral": 6, "temporal": 4, "middle": 6, "hidden": 8}
SMOKE: Config = {
    "trainer": {"max_epochs": 1, "limit_train_batches": 2, "limit_val_batches": 2, "precision": "32", "accelerator": "cpu"},
    "musicnn": {**NARROW, "pretrained": False},
    "datamodule": {"batch_size_train": 4, "batch_size_test": 4, "demo_tracks": 40, "base_dir": None, "groundtruth": None},
}


def _published(arch: str) -> Config:
    return {
        "family": "musicnn",
        "musicnn": {"arch": arch, "pretrained": True},
        "predict": {"transformer_block": -1},
        "datamodule": {"tail": "pad"},
    }


@MUSICNN.add(smoke=SMOKE, group=INFERENCE)
def musicnn_mtt() -> Config:
    """The published network of MagnaTagATune: 50 tags (instruments, voices, genres), whose weights the package index serves.

    python ex_maest.py predict with musicnn_mtt predict.audio=FILE_OR_DIR
    python ex_maest.py extract_embeddings with musicnn_mtt datamodule.audio_dir=DIR predict.transformer_block=[0,1,2,3,4,5]
    Published: ROC-AUC 0.907, PR-AUC 0.383 on MagnaTagATune's test set.
    """
    return _published("musicnn-mtt")


@MUSICNN.add(smoke=SMOKE, group=INFERENCE)
def musicnn_msd() -> Config:
    """The published network of the Million Song Dataset: 50 tags of Last.fm (genres, decades, moods).

    python ex_maest.py predict with musicnn_msd predict.audio=FILE_OR_DIR
    Published: ROC-AUC 0.880, PR-AUC 0.289 on the Million Song Dataset's test set.
    """
    return _published("musicnn-msd")


@MUSICNN.add(smoke=SMOKE)
def musicnn_supervised() -> Config:
    """The network of musicnn trained on labels: windows of 3 s, Adam at 1e-3; musicnn.pretrained=True begins with published weights.

    python ex_ssl.py with musicnn_supervised target_mtt
    python ex_ssl.py with musicnn_supervised datamodule.audio_dir=DIR datamodule.groundtruth=labels.csv
    """
    return {
        "family": "musicnn",
        "trainer": {"max_epochs": 200, "early_stopping": 20},
        "module": {"do_swa": False, "optimizer": {"lr": 1e-3, "schedule_mode": "constant"}},
        "predict": {"transformer_block": -1},
    }


FAMILY = FamilyConfigs("musicnn", {"musicnn": Musicnn}, MUSICNN, scripts=("ex_ssl.py", "ex_maest.py"))
