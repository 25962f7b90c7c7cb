"""MusicFM (arXiv 2311.03318): its section of ex_ssl.py and its named configs. Scores are the paper's; none was reproduced here."""

from __future__ import annotations

from dataclasses import dataclass

from .naming import DEMO, INFERENCE, PARTS, Catalogue, Config, FamilyConfigs, Named, merged
from .naming import TARGETS as TARGETS_GROUP
from .options import SEED, opt
from .probe import PROBE
from .targets import TARGETS, Target

MUSICFM = Catalogue()
RATE = 24000


@dataclass
class MusicFM:
    """MusicFM (models/musicfm): a conformer that predicts tokens of masked audio (arXiv 2311.03318). none: the published value."""

    arch: str = opt("musicfm-msd", "name of a registered model (models.list_models('musicfm*'))", affects="network")
    pretrained: bool = opt(False, "begin with the published weights of arch", affects="network")
    checkpoint: str | None = opt(
        None,
        "weight file to begin with, in place of the published one of arch; a published one has its stats file beside it",
        affects="inputs",
    )
    checkpoint_swa_weights: bool = opt(
        True, "take the averaged weights of a training checkpoint, where it holds any", affects="inputs"
    )
    conv_dim: int | None = opt(None, "channels of the stem (512)", affects="network", bounds="[1, 65536]")
    encoder_dim: int | None = opt(None, "width of the vectors (1024)", affects="network", bounds="[2, 65536]")
    encoder_depth: int | None = opt(None, "number of blocks (12)", affects="network", bounds="[1, 1000]")
    num_heads: int | None = opt(None, "number of attention heads (16)", affects="network", bounds="[1, 4096]")
    intermediate_size: int | None = opt(
        None, "width inside the blocks' feed-forward layers (4096)", affects="network", bounds="[1, 1e6]"
    )
    dropout: float | None = opt(None, "dropout in the blocks, in training (0.1)", affects="training", bounds="[0, 1)")
    max_seconds: float | None = opt(
        None, "length of a training crop and of a window, s (30)", affects="network", bounds="[0.05, 100000]"
    )
    is_flash: bool = opt(
        True,
        "attention by torch's scaled_dot_product_attention; false: plain products and softmax, as published",
        affects="network",
    )
    stats: str | None = opt(
        None,
        "json file of melspec_2048_mean and melspec_2048_std, as published and as compute_mel_stats writes it",
        affects="network",
    )
    norm_mean: float | None = opt(
        None, "mean of the log-mels in dB (the Million Song Dataset's)", affects="network", bounds="[-100, 100]"
    )
    norm_std: float | None = opt(None, "their deviation", affects="network", bounds="[0.01, 200]")
    num_codebooks: int | None = opt(None, "number of codebooks (1)", affects="network", bounds="[1, 1000]")
    codebook_size: int | None = opt(None, "codes of a codebook (4096)", affects="network", bounds="[2, 1e7]")
    quantizer_seed: int | None = opt(
        None, "seed of the first frozen quantiser, of the next ones one more each (142)", affects="network", bounds=SEED
    )
    mask_hop: float | None = opt(
        None, "length of a masked block, s: a whole number of tokens of 0.04 s (0.4)", affects="network", bounds="[0.04, 1000]"
    )
    mask_prob: float | None = opt(None, "probability that a block is masked (0.6)", affects="network", bounds="[1e-6, 1]")
    noise_std: float = opt(
        0.1, "deviation of the noise in place of masked samples, as a share of full scale", affects="training", bounds="[0, 10]"
    )


_STEPS = 400_000


def _recipe(seconds: float, batch: int) -> Config:
    """Optimiser, schedule and batch size are not published: these are ours, OMAR-RQ's with warm-up."""
    return {
        "family": "musicfm",
        "musicfm": {"max_seconds": seconds},
        "module": {
            "optimizer": {
                "lr": 1e-4, "adamw": True, "weight_decay": 1e-2, "schedule_mode": "warmup_cosine", "warm_up_steps": 30_000,
                "total_steps": _STEPS, "last_lr_value": 1e-3,
            }
        },
        "trainer": {"max_epochs": 80},
        "datamodule": {
            "batch_size_train": batch, "batch_size_test": batch,
            "sampler": {"epoch_len": batch * 8 * _STEPS // 80, "sampler_replace": True},
        },
        "predict": {"transformer_block": 6},
    }  # fmt: skip


_SMALL: Config = {
    "conv_dim": 8, "encoder_dim": 32, "encoder_depth": 2, "num_heads": 4, "intermediate_size": 64, "codebook_size": 64, "dropout": 0.0,
    "max_seconds": 2.0,
}  # fmt: skip
SMOKE: Config = {
    "trainer": {"max_epochs": 1, "limit_train_batches": 2, "limit_val_batches": 2, "precision": "32", "accelerator": "cpu"},
    "musicfm": _SMALL,
    "datamodule": {
        "batch_size_train": 4, "batch_size_test": 4, "demo_tracks": 40, "base_dir": None, "groundtruth": None,
        "sampler": {"epoch_len": None, "sampler_replace": False},
    },
    "predict": {"transformer_block": -1},
}  # fmt: skip
SMOKE_5S: Config = merged(SMOKE, {"musicfm": {"max_seconds": 1.0}})


@MUSICFM.add(smoke=SMOKE)
def musicfm_25hz_pretrain() -> Config:
    """MusicFM at 25 Hz on 30 s (FM7 of the paper): 12 blocks of width 1024, one codebook of 4096, blocks of 0.4 s masked with probability 0.6.

    python ex_ssl.py with musicfm_25hz_pretrain datamodule.audio_dir=DIR trainer.devices=8
    Published, on 160 000 hours: beat F1 .868, chords .714, key .674, tagging mAP .488. Optimiser, schedule and batch are not published: ours.
    """
    return _recipe(30.0, 8)


@MUSICFM.add(smoke=SMOKE_5S)
def musicfm_25hz_5s_pretrain() -> Config:
    """MusicFM at 25 Hz on 5 s, the shorter of the paper's two inputs (its comparison, FM4, is at 75 Hz).

    python ex_ssl.py with musicfm_25hz_5s_pretrain datamodule.audio_dir=DIR trainer.devices=8
    Optimiser, schedule and batch are not published: ours.
    """
    return _recipe(5.0, 48)


@MUSICFM.add(smoke=merged(SMOKE, {"musicfm": {"pretrained": False}}), group=INFERENCE)
def musicfm_inference() -> Config:
    """A published encoder (musicfm.arch, by default musicfm-msd), to extract from: block 6, the authors' layer 7 for frozen use.

    python ex_ssl.py extract_embeddings with musicfm_inference target_musicfm_mtt
    """
    return {"family": "musicfm", "musicfm": {"pretrained": True}, "predict": {"transformer_block": 6}}


EPOCHS = 16  # of the demo: 95 updates each


@MUSICFM.add(group=DEMO)
def musicfm_demo() -> Config:
    """A small MusicFM on the embedded procedural music, four codebooks of 16 tokens; `report` goes on to the probe.

    python ex_ssl.py report with musicfm_demo
    """
    # the published codebook is made for 160 000 hours: of this music 16 codes are used evenly, under its own statistics (compute_mel_stats) and by
    # the quantisers of seeds 93 to 96: the four in a row, of the first 400, of which the least even is used most evenly; blocks of 0.2 s: what stands
    # there can be told from crops of 3 s
    small = {
        "conv_dim": 8, "encoder_dim": 64, "encoder_depth": 3, "num_heads": 4, "intermediate_size": 128, "max_seconds": 3.0,
        "num_codebooks": 4, "codebook_size": 16, "quantizer_seed": 93, "dropout": 0.0, "mask_hop": 0.2,
        "norm_mean": -18.145, "norm_std": 21.32,
    }  # fmt: skip
    steps = {"schedule_mode": "warmup_cosine", "warm_up_steps": 50, "total_steps": EPOCHS * 95, "last_lr_value": 1e-3}
    probe = PROBE["clmr_linear"].values
    return {
        "family": "musicfm",
        "seed": 0,
        "trainer": {"max_epochs": EPOCHS, "log_every_n_steps": 10, "check_val_every_n_epoch": 4, "precision": "32"},
        "musicfm": small,
        "module": {"optimizer": {"lr": 3e-3, "adamw": True, "weight_decay": 1e-2, **steps}},
        "datamodule": {"batch_size_train": 16, "batch_size_test": 64},
        "predict": {"transformer_block": 1},
        "report": {
            "title": "Demo: MusicFM pre-trained on procedural music, without its labels",
            **{name: probe[name] for name in ("trainer", "optimizer", "model")},
            "z_scored": True,
        },
    }


@MUSICFM.add(group=PARTS)
def paper_tiny_musicfm() -> Config:
    """Stands behind `musicfm_demo`: one epoch of a narrow network, for the scale `smoke` of ex_paper.py."""
    return {
        "family": "musicfm",
        "trainer": {"max_epochs": 1, "accelerator": "cpu", "check_val_every_n_epoch": 1},
        "musicfm": {"conv_dim": 4, "encoder_dim": 16, "intermediate_size": 32},
    }


def waveforms(target: Target) -> Config:
    """Keys of ex_ssl.py: the set's waveforms at 24 kHz and its splits, to pre-train on and to extract from."""
    splits = {f"groundtruth_{part}": f"{target.metadata_dir}groundtruth-{part}.csv" for part in ("train", "val", "test")}
    return {
        "family": "musicfm",
        "datamodule": {"base_dir": f"datasets/{target.data}/data/waveform-{RATE}/", **splits},
        "predict": {"out_dir": f"{target.embeddings_dir}musicfm/"},
    }


for _name, _target in TARGETS.items():
    if _name == _target.data:
        _values = waveforms(_target)
        _text = f"{_target.about.split(',')[0]} at 24 kHz as MusicFM's data. Make it: python -m datasets.{_target.data}, then "
        _text += f"python -m datasets.prepare AUDIO {_values['datamodule']['base_dir']} --waveform {RATE}"
        MUSICFM.put(Named(f"target_musicfm_{_name}", _values, _text, TARGETS_GROUP))

FAMILY = FamilyConfigs("musicfm", {"musicfm": MusicFM}, MUSICFM, commands=("compute_mel_stats",))
