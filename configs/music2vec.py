"""music2vec (arXiv 2212.02508): its section of ex_ssl.py and its named configs. No score of it could be checked here."""

from __future__ import annotations

from dataclasses import dataclass

from .naming import DEMO, INFERENCE, PARTS, Catalogue, Config, FamilyConfigs, Named, merged
from .naming import TARGETS as TARGETS_GROUP
from .options import opt
from .probe import PROBE
from .targets import TARGETS, Target

MUSIC2VEC = Catalogue()
RATE = 16000
_SHARE = "[0, 1]"


@dataclass
class Music2Vec:
    """music2vec (models/music2vec): a transformer that predicts its own moving average (arXiv 2212.02508). none: the published value."""

    arch: str = opt("music2vec-v1", "name of a registered model (models.list_models('music2vec*'))", affects="network")
    pretrained: bool = opt(False, "begin with the published weights of arch", affects="network")
    checkpoint: str | None = opt(
        None, "weight file or folder to begin with, in place of the published one of arch", affects="inputs"
    )
    checkpoint_swa_weights: bool = opt(
        True, "take the averaged weights of a training checkpoint, where it holds any", affects="inputs"
    )
    hidden_size: int | None = opt(None, "width of the vectors (768)", affects="network", bounds="[1, 65536]")
    num_hidden_layers: int | None = opt(None, "number of blocks (12)", affects="network", bounds="[1, 1000]")
    num_attention_heads: int | None = opt(None, "number of attention heads (12)", affects="network", bounds="[1, 4096]")
    intermediate_size: int | None = opt(
        None, "width inside the blocks' feed-forward layers (3072)", affects="network", bounds="[1, 1e6]"
    )
    conv_dim: list[int] | None = opt(
        None, "channels of the stem's convolutions (seven of 512)", affects="network", bounds="[1, 65536]"
    )
    conv_kernel: list[int] | None = opt(
        None, "lengths of their kernels (10, 3, 3, 3, 3, 2, 2)", affects="network", bounds="[1, 9999]"
    )
    conv_stride: list[int] | None = opt(
        None, "their strides, whose product is the hop in samples (5, 2, 2, 2, 2, 2, 2)", affects="network", bounds="[1, 9999]"
    )
    num_conv_pos_embeddings: int | None = opt(
        None, "convolutions of positions, one behind the other (5)", affects="network", bounds="[1, 100]"
    )
    conv_pos_kernel_size: int | None = opt(None, "vectors that each of them sees (19)", affects="network", bounds="[1, 9999]")
    max_seconds: float | None = opt(
        None, "length of a training crop and of a window, s (5)", affects="network", bounds="[0.05, 100000]"
    )
    sdpa: bool = opt(
        True, "attention by torch's scaled_dot_product_attention; false: plain products and softmax", affects="network"
    )
    dropout: float | None = opt(
        None, "dropout in the blocks and of their attention, in training (0.1)", affects="training", bounds="[0, 1)"
    )
    layerdrop: float = opt(0.05, "probability that a block is left out of a step", affects="training", bounds="[0, 1)")
    mask_prob: float = opt(
        0.65, "share of a crop that masked spans would cover, if none overlapped", affects="training", bounds="(0, 1]"
    )
    mask_span: int = opt(
        10, "number of vectors (of 0.02 s, as published) of a masked span", affects="training", bounds="[1, 10000]"
    )
    top_k: int = opt(8, "number of last blocks that make the teacher's target", affects="training", bounds="[1, 1000]")
    beta: float = opt(
        0.0,
        "error below which the loss is squared, above it absolute; 0: squared everywhere",
        affects="training",
        bounds="[0, 1000]",
    )
    ema_start: float = opt(0.999, "decay of the teacher's moving average at first", affects="training", bounds=_SHARE)
    ema_end: float = opt(0.9999, "decay behind ema_steps updates", affects="training", bounds=_SHARE)
    ema_steps: int = opt(30_000, "number of updates over which the decay rises", affects="training", bounds="[0, 1e9]")
    guard_steps: int = opt(
        5000,
        "update behind which targets or predictions that are all the same end the training",
        affects="training",
        bounds="[0, 1e9]",
    )
    adam_beta2: float = opt(0.98, "decay of Adam's mean of squares", affects="training", bounds="[0, 1)")
    adam_eps: float = opt(1e-6, "number beside Adam's root of it", affects="training", bounds="[1e-16, 1]")


_STEPS, _DEVICES, _BATCH = 400_000, 16, 47  # 3.8 million samples per device

_SMALL: Config = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "conv_dim": [8] * 7, "max_seconds": 1.0, "top_k": 2,
    "dropout": 0.0, "layerdrop": 0.0,
}  # fmt: skip
SMOKE: Config = {
    "trainer": {"max_epochs": 1, "limit_train_batches": 2, "limit_val_batches": 2, "precision": "32", "accelerator": "cpu"},
    "music2vec": _SMALL,
    "datamodule": {
        "batch_size_train": 4, "batch_size_test": 4, "demo_tracks": 40, "base_dir": None, "groundtruth": None,
        "sampler": {"epoch_len": None, "sampler_replace": False},
    },
    "predict": {"transformer_block": -1},
}  # fmt: skip


@MUSIC2VEC.add(smoke=SMOKE)
def music2vec_pretrain() -> Config:
    """music2vec on crops of 5 s: 12 blocks of width 768, 65 % in spans of 10 vectors masked, targets of the teacher's last 8 blocks.

    python ex_ssl.py with music2vec_pretrain datamodule.audio_dir=DIR trainer.devices=16
    Its own training's settings are not public; these are data2vec's for audio, which the paper follows, with 16 devices of 47 crops a step.
    """
    return {
        "family": "music2vec",
        "module": {
            "optimizer": {
                "lr": 5e-4, "adamw": True, "weight_decay": 1e-2, "schedule_mode": "tri_stage", "total_steps": _STEPS, "last_lr_value": 1e-2,
            }
        },
        "trainer": {"max_epochs": 80},
        "datamodule": {
            "batch_size_train": _BATCH, "batch_size_test": _BATCH,
            "sampler": {"epoch_len": _BATCH * _DEVICES * _STEPS // 80, "sampler_replace": True},
        },
        "predict": {"transformer_block": 11},
    }  # fmt: skip


@MUSIC2VEC.add(smoke=merged(SMOKE, {"music2vec": {"pretrained": False}}), group=INFERENCE)
def music2vec_inference() -> Config:
    """The published encoder, to extract from: the last block; sweep over all of them to choose one, as its authors advise.

    python ex_ssl.py extract_embeddings with music2vec_inference target_music2vec_mtt
    """
    return {"family": "music2vec", "music2vec": {"pretrained": True}, "predict": {"transformer_block": 11}}


EPOCHS = 16  # of the demo, 190 updates each: on validation probes of 16 epochs lie above those of 8 (docs/music2vec.md)


@MUSIC2VEC.add(group=DEMO)
def music2vec_demo() -> Config:
    """A small music2vec on the embedded procedural music: two convolutions in place of seven; `report` goes on to the probe.

    python ex_ssl.py report with music2vec_demo
    """
    # of random weights the published stem follows the phase: neighbouring vectors have nothing in common, and nothing can be predicted. Its
    # convolutions of positions see 45 vectors either way, up to the edges of a crop: in a small training the targets came to depend on the place
    # alone (98 % of their variance after 372 updates). Hence few, long kernels, one short convolution of positions, longer crops, short spans
    small = {
        "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128, "conv_dim": [64, 64],
        "conv_kernel": [80, 16], "conv_stride": [20, 16], "num_conv_pos_embeddings": 1, "conv_pos_kernel_size": 5, "max_seconds": 4.0,
        "mask_prob": 0.4, "mask_span": 2, "top_k": 2, "dropout": 0.0, "layerdrop": 0.0, "ema_end": 0.999, "guard_steps": 500,
    }  # fmt: skip
    probe = PROBE["clmr_linear"].values
    return {
        "family": "music2vec",
        "seed": 0,
        "trainer": {"max_epochs": EPOCHS, "log_every_n_steps": 10, "check_val_every_n_epoch": 2, "gradient_clip_val": 1.0, "precision": "32"},
        "music2vec": small,
        "module": {
            "optimizer": {
                "lr": 2e-3, "adamw": True, "weight_decay": 1e-2, "schedule_mode": "tri_stage", "total_steps": EPOCHS * 190, "last_lr_value": 1e-2,
            }
        },
        "datamodule": {"batch_size_train": 8, "batch_size_test": 32},
        "predict": {"transformer_block": 0},  # the better one by validation
        "report": {
            "title": "Demo: music2vec pre-trained on procedural music, without its labels",
            **{name: probe[name] for name in ("trainer", "optimizer", "model")},
            "z_scored": True,
        },
    }  # fmt: skip


@MUSIC2VEC.add(group=PARTS)
def paper_tiny_music2vec() -> Config:
    """Stands behind `music2vec_demo`: one epoch of a narrow network, for the scale `smoke` of ex_paper.py."""
    return {
        "family": "music2vec",
        "trainer": {"max_epochs": 1, "accelerator": "cpu", "check_val_every_n_epoch": 1},
        "music2vec": {"hidden_size": 16, "intermediate_size": 32, "conv_dim": [8, 8]},
    }


def waveforms(target: Target) -> Config:
    """Keys of ex_ssl.py: the set's waveforms at 16 kHz and its splits, to pre-train on and to extract from."""
    splits = {f"groundtruth_{part}": f"{target.metadata_dir}groundtruth-{part}.csv" for part in ("train", "val", "test")}
    return {
        "family": "music2vec",
        "datamodule": {"base_dir": f"datasets/{target.data}/data/waveform-{RATE}/", **splits},
        "predict": {"out_dir": f"{target.embeddings_dir}music2vec/"},
    }


for _name, _target in TARGETS.items():
    if _name == _target.data:
        _values = waveforms(_target)
        _text = f"{_target.about.split(',')[0]} at 16 kHz as music2vec's data. Make it: python -m datasets.{_target.data}, then "
        _text += f"python -m datasets.prepare AUDIO {_values['datamodule']['base_dir']} --waveform {RATE}"
        MUSIC2VEC.put(Named(f"target_music2vec_{_name}", _values, _text, TARGETS_GROUP))

FAMILY = FamilyConfigs("music2vec", {"music2vec": Music2Vec}, MUSIC2VEC)
