"""CLMR (arXiv 2103.09410): its sections of ex_ssl.py and its named configs. Scores are the published README's; nothing of it was reproduced here."""

from __future__ import annotations

from dataclasses import dataclass

from .naming import DEMO, INFERENCE, PARTS, Catalogue, Config, FamilyConfigs, Named, merged
from .naming import TARGETS as TARGETS_GROUP
from .options import SAMPLE_RATE, SHARE, opt
from .probe import PROBE
from .targets import TARGETS, Target

CLMR = Catalogue()


@dataclass
class Clmr:
    """CLMR (models/clmr): SampleCNN, its projection head and NT-Xent (arXiv 2103.09410)."""

    arch: str = opt(
        "clmr-magnatagatune",
        "name of a registered model (models.list_models('clmr*')), whose weights are those of pretrained=True",
        affects="network",
    )
    pretrained: bool = opt(False, "begin with the published weights of arch", affects="network")
    checkpoint: str | None = opt(None, "weight file to begin with, in place of the published one of arch", affects="inputs")
    head_checkpoint: str | None = opt(None, "weight file of a trained head, for commands that name classes", affects="inputs")
    checkpoint_swa_weights: bool = opt(
        True, "take the averaged weights of a training checkpoint, where it holds any", affects="inputs"
    )
    channels: list[int] = opt(
        [128] * 3 + [256] * 6 + [512] * 2,
        "width of each block, two more than there are strides",
        affects="network",
        bounds="[1, 65536]",
    )
    strides: list[int] = opt(
        [3] * 9,
        "kernel and pooling of the blocks between first and last; a crop has 3 x their product samples (59049)",
        affects="network",
        bounds="[1, 1000]",
    )
    sample_rate: int = opt(22050, "sample rate of the waveforms, Hz", affects="network", bounds=SAMPLE_RATE)
    projection_dim: int = opt(64, "width of the projection that the loss compares", affects="network", bounds="[1, 65536]")
    temperature: float = opt(0.5, "temperature of NT-Xent, above 0", affects="training", bounds="(0, 1000]")
    supervised: bool = opt(
        False, "train on labels instead: dropout, a head of the labels' number, one crop per track", affects="network"
    )
    head: str = opt("linear", "head of supervised training: linear, or with a hidden layer", ("linear", "mlp"), affects="network")
    task: str = opt(
        "multilabel",
        "loss of supervised training: binary cross-entropy, or cross-entropy of one label per track",
        ("multilabel", "multiclass"),
        affects="network",
    )


@dataclass
class Augment:
    """CLMR's chain (models/clmr/augment.py): probability of each step, and ranges. Published configuration; `library_readme` has others."""

    do: bool = opt(True, "augment each view; false: crops only", affects="training")
    polarity: float = opt(0.8, "probability that the sign is turned", affects="training", bounds=SHARE)
    noise: float = opt(0.01, "probability of white noise", affects="training", bounds=SHARE)
    noise_min: float = opt(
        1e-4, "least amplitude of the noise, as a share of the crop's standard deviation", affects="training", bounds="[0, 1000]"
    )
    noise_max: float = opt(
        1e-2,
        "largest amplitude of the noise, as a share of the crop's standard deviation",
        affects="training",
        bounds="[0, 1000]",
    )
    gain: float = opt(
        0.3, "probability of a lower gain, after which samples are clamped to [-1, 1]", affects="training", bounds=SHARE
    )
    gain_min: float = opt(-20.0, "lowest gain, dB", affects="training", bounds="[-200, 200]")
    gain_max: float = opt(-1.0, "highest gain, dB", affects="training", bounds="[-200, 200]")
    filters: float = opt(
        0.8,
        "probability of a filter: high-pass at 200 to 1200 Hz or low-pass at 2200 to 4000 Hz",
        affects="training",
        bounds=SHARE,
    )
    delay: float = opt(0.3, "probability of an echo 200 to 450 ms behind", affects="training", bounds=SHARE)
    pitch: float = opt(0.6, "probability of a pitch shift that keeps the tempo", affects="training", bounds=SHARE)
    pitch_cents: int = opt(700, "largest pitch shift either way, cents", affects="training", bounds="[0, 4800]")
    reverb: float = opt(0.6, "probability of reverberation", affects="training", bounds=SHARE)


@dataclass
class Hear:
    """The command `hear_augmentations`: wav files before and after, and a page of them."""

    audio: str | None = opt(None, "audio file to augment; none: a track of the demo data", affects="hear_augmentations")
    out: str | None = opt(None, "folder that files are written to; none: the run's", affects="hear_augmentations")
    examples: int = opt(4, "number of views by the whole chain", affects="hear_augmentations", bounds="[0, 1000]")


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


@CLMR.add(smoke=SMOKE)
def clmr_pretrain() -> Config:
    """CLMR's pre-training: SampleCNN, the published augmentations, Adam at a constant 3e-4, batch 48 per process.

    python ex_ssl.py with clmr_pretrain datamodule.audio_dir=DIR
    python ex_ssl.py with clmr_pretrain target_mtt
    Published: MagnaTagATune, 10 000 epochs with batch 96 (ROC-AUC 88.7, PR-AUC 35.6 by a linear head); here 1000 unless trainer.max_epochs says
    otherwise. Batch statistics are over all processes, negatives too.
    """
    return {"trainer": {"max_epochs": 1000, "log_every_n_steps": 10}, "report": _linear_evaluation()}


@CLMR.add()
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


@CLMR.add()
def lars() -> Config:
    """LARS for large batches: rate 0.3 x batch / 256, momentum 0.9, weight decay 1e-6 (not of biases and norms), cosine to 0.

    python ex_ssl.py with clmr_pretrain lars datamodule.batch_size_train=256
    """
    optimizer = {"name": "lars", "lr": None, "weight_decay": 1e-6, "momentum": 0.9, "schedule_mode": "cosine"}
    return {"module": {"optimizer": optimizer}}


@CLMR.add(smoke=SMOKE)
def samplecnn_supervised() -> Config:
    """The fully supervised baseline: SampleCNN with dropout on one crop per track, SGD with Nesterov's momentum, plateau schedule, early stop.

    python ex_ssl.py with samplecnn_supervised target_mtt
    Published on MagnaTagATune: ROC-AUC 88.6, PR-AUC 34.4. `test` scores the mean probability of all windows of a track.
    """
    return {
        "clmr": {"supervised": True},
        "augment": {"do": False},
        "trainer": {"max_epochs": 1000, "log_every_n_steps": 10, "early_stopping": 20},
        "module": {
            "optimizer": {
                "name": "sgd",
                "lr": 3e-4,
                "weight_decay": 1e-6,
                "schedule_mode": "plateau",
                "plateau_factor": 0.2,
                "plateau_patience": 5,
            }
        },
    }


@CLMR.add(smoke=merged(SMOKE, {"predict": {"transformer_block": -1}}), group=INFERENCE)
def clmr_inference() -> Config:
    """The published encoder of release 2.1 (MagnaTagATune, 10 000 epochs), to extract from.

    python ex_ssl.py extract_embeddings with clmr_inference target_mtt
    python ex_tl.py with target_mtt_tl clmr_linear data.base_dir=outputs/embeddings/mtt/clmr/10
    """
    return {"clmr": {"pretrained": True}}


@CLMR.add(group=DEMO)
def clmr_demo() -> Config:
    """A narrow CLMR on the embedded procedural music, without its labels. What `python ex_ssl.py` alone runs; `report` goes on to the linear probe.

    python ex_ssl.py report with clmr_demo
    """
    return {
        "seed": 0,
        "trainer": {"max_epochs": 12, "log_every_n_steps": 10},
        # crops of 39 366 samples (1.79 s) and a narrow network, a low temperature and an augmentation half as frequent: so much is learned in
        # 564 steps, chosen on the validation tracks
        "clmr": {"channels": [8, 16, 32] + [64] * 6 + [128] * 2, "strides": [3] * 8 + [2], "temperature": 0.1},
        "augment": {"filters": 0.4, "delay": 0.15, "pitch": 0.3, "reverb": 0.3},
        "module": {
            "optimizer": {"lr": 1e-3, "schedule_mode": "cosine"}
        },  # 47 steps an epoch: the published rate is made for 10 000 epochs
        "datamodule": {"batch_size_train": 32},
        "report": {"title": "Demo: CLMR pre-trained on procedural music, without its labels", **_linear_evaluation()},
    }


# ---- what steps of the papers' tables run with
@CLMR.add(group=PARTS)
def paper_tiny_clmr() -> Config:
    """Stands behind `clmr_demo`: one epoch of a narrow SampleCNN, for the scale `smoke` of ex_paper.py."""
    return {
        "trainer": {"max_epochs": 1, "accelerator": "cpu", "precision": "32"},
        "clmr": {"channels": [4, 4, 6, 6, 8], "strides": [3, 3, 3]},
        "datamodule": {"batch_size_train": 8},
    }


@CLMR.add(group=PARTS)
def paper_supervised() -> Config:
    """Stands behind `clmr_demo`: the same network trained on the demo's labels for as many epochs, by Adam; the epoch of the best validation AP."""
    return {
        "clmr": {"supervised": True},
        "augment": {"do": False},
        "module": {"optimizer": {"lr": 1e-3, "weight_decay": 1e-6, "schedule_mode": "cosine"}},
    }


def waveforms(target: Target) -> Config:
    """Keys of ex_ssl.py: the set's waveforms at 22 050 Hz and its splits, to pre-train on, to train on with labels, and to extract from."""
    splits = {f"groundtruth_{part}": f"{target.metadata_dir}groundtruth-{part}.csv" for part in ("train", "val", "test")}
    return {
        "datamodule": {"base_dir": f"datasets/{target.data}/data/waveform-22050/", **splits},
        "predict": {"out_dir": f"{target.embeddings_dir}clmr/"},
    }


for _name, _target in TARGETS.items():
    if _name == _target.data:
        _values = waveforms(_target)
        _text = f"{_target.about.split(',')[0]} at 22 050 Hz as the data. Make it: python -m datasets.{_target.data}, then "
        _text += f"python -m datasets.prepare AUDIO {_values['datamodule']['base_dir']} --waveform 22050"
        CLMR.put(Named(f"target_{_name}", _values, _text, TARGETS_GROUP))

FAMILY = FamilyConfigs("clmr", {"clmr": Clmr, "augment": Augment, "hear": Hear}, CLMR, commands=("hear_augmentations",))
