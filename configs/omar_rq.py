"""OMAR-RQ (arXiv 2507.03482): its section of ex_ssl.py and its named configs. Scores are the README's; none was reproduced here."""

from __future__ import annotations

from dataclasses import dataclass

from .naming import DEMO, INFERENCE, PARTS, Alias, Catalogue, Config, FamilyConfigs, Named, merged
from .naming import TARGETS as TARGETS_GROUP
from .options import SAMPLE_RATE, SEED, opt
from .probe import PROBE
from .targets import TARGETS, Target

OMAR_RQ = Catalogue()


@dataclass
class OmarRq:
    """OMAR-RQ (models/omar_rq): a causal conformer that predicts tokens of masked audio (arXiv 2507.03482). none: as arch or gin says."""

    arch: str = opt(
        "omar-rq-base",
        "name of a registered model (models.list_models('omar*')): its sizes, targets and quantisers, and the weights of pretrained=True",
        affects="network",
    )
    pretrained: bool = opt(False, "begin with the published weights of arch", affects="network")
    checkpoint: str | None = opt(
        None, "weight file or folder to begin with, in place of the published one of arch", affects="inputs"
    )
    checkpoint_swa_weights: bool = opt(
        True, "take the averaged weights of a training checkpoint, where it holds any", affects="inputs"
    )
    gin: str | None = opt(
        None,
        "config.gin of a network and of its pre-training (published format), in place of arch; its optimiser and schedule count where "
        "module.optimizer is left as it is (alias: gin)",
        affects="network",
    )
    embed_dim: int | None = opt(None, "width of the vectors", affects="network", bounds="[1, 65536]")
    depth: int | None = opt(None, "number of blocks", affects="network", bounds="[1, 1000]")
    num_heads: int | None = opt(None, "number of attention heads", affects="network", bounds="[1, 4096]")
    dropout: float | None = opt(None, "dropout in the blocks, in training", affects="training", bounds="[0, 1)")
    deepnorm: bool = opt(
        True, "DeepNorm's constants as arch says them; false: plain residuals around the attention", affects="network"
    )
    max_seconds: float | None = opt(None, "length of a training crop and of a window, s", affects="network", bounds="(0, 100000]")
    audio_rate: int | None = opt(
        None,
        "sample rate of the stores, Hz, where it is not the network's: 16000 is what the published 24 kHz networks were trained on, resampled",
        affects="network",
        bounds=SAMPLE_RATE,
    )
    norm_mean: float | None = opt(None, "mean that is taken off the input's values", affects="network", bounds="[-1e9, 1e9]")
    norm_std: float | None = opt(None, "deviation that the input's values are divided by", affects="network", bounds="(0, 1e9]")
    cqt_norm: list[float] | None = opt(
        None,
        "mean and deviation that a predicted CQT is normalised by; none: the published ones, or statistics'",
        affects="network",
        bounds="[-1e9, 1e9]",
    )
    statistics: str | None = opt(
        None, "json file of the means and deviations of input and targets, as compute_norm_stats writes it", affects="network"
    )
    targets: list[str] | None = opt(
        None,
        "what is predicted, in their order: mel, cqt, encodec, waveform (of waveform networks; a mel network predicts its mel, and a cqt)",
        affects="network",
    )
    encodec: str | None = opt(
        None, "folder of EnCodec's config.json and weights; none: encodec_24khz in MAEST_WEIGHTS", affects="training inputs"
    )
    num_codebooks: int | None = opt(None, "number of codebooks of each target", affects="network", bounds="[1, 1000]")
    codebook_size: int | None = opt(
        None, "codes of a codebook (of fsq: the product of its levels)", affects="network", bounds="[2, 1e6]"
    )
    quantizer: str | None = opt(
        None,
        "quantiser: random_codebook (random projection) or finite_scalar_quantizer",
        (None, "random_codebook", "finite_scalar_quantizer"),
        affects="network",
    )
    levels: list[int] | None = opt(
        None, "levels of each dimension of a finite scalar quantiser", affects="network", bounds="[2, 1000]"
    )
    quantizer_seed: int = opt(
        0, "seed of the frozen quantisers, of which training and test must have one", affects="network", bounds=SEED
    )
    chunk_seconds: float | None = opt(
        None, "length of a chunk of extract_embeddings, s; none: max_seconds", affects="extraction", bounds="(0, 100000]"
    )
    overlap: float | None = opt(
        None,
        "share of a chunk that the next one of extract_embeddings has too (published: 0.5, for sections 0.9); with it chunks follow "
        "last_chunk_ratio in place of datamodule.tail, and a short one is padded behind. none: 0.5 where chunk_seconds is set, else windows "
        "as everywhere (dataset.half_overlapped_inference, datamodule.tail)",
        affects="extraction",
        bounds="[0, 1)",
    )
    last_chunk_ratio: float | None = opt(
        None,
        "share of a chunk above which a track's rest, behind its last full one, is one more; 0: every rest is. none: 0.1",
        affects="extraction",
        bounds="[0, 1]",
    )
    chunk_pool: str = opt(
        "mean",
        "what extract_embeddings keeps of a chunk's vectors, where not all (predict.frames)",
        ("mean", "max"),
        affects="embeddings",
    )
    mask_seconds: float | None = opt(None, "length of a masked span, s", affects="training", bounds="(0, 1000]")
    mask_prob: float | None = opt(None, "probability that a span is masked", affects="training", bounds="(0, 1]")
    noise: str | None = opt(
        None,
        "what stands in place of masked patches: noise, or other patches of the clip",
        (None, "random_normal", "shuffled_input"),
        affects="training",
    )


_PUBLISHED_STEPS = 400_000


def _recipe(arch: str, batch: int, devices: int = 8) -> Config:
    """The published optimiser and schedule: 400 000 updates of 8 devices, as 80 epochs of 5000."""
    return {
        "family": "omar_rq",
        "omar_rq": {"arch": arch},
        "module": {
            "optimizer": {
                "lr": 1e-4, "adamw": True, "weight_decay": 1e-2, "schedule_mode": "warmup_cosine", "warm_up_steps": 30_000,
                "total_steps": _PUBLISHED_STEPS, "last_lr_value": 1e-3,
            }
        },
        "trainer": {"max_epochs": 80},
        "datamodule": {
            "batch_size_train": batch, "batch_size_test": batch,
            "sampler": {"epoch_len": batch * devices * _PUBLISHED_STEPS // 80, "sampler_replace": True},
        },
        "predict": {"transformer_block": 6},
    }  # fmt: skip


_SMALL: Config = {"embed_dim": 32, "depth": 2, "num_heads": 2, "max_seconds": 2.0, "codebook_size": 64, "dropout": 0.0}
SMOKE: Config = {
    "trainer": {"max_epochs": 1, "limit_train_batches": 2, "limit_val_batches": 2, "precision": "32", "accelerator": "cpu"},
    "omar_rq": _SMALL,
    "datamodule": {
        "batch_size_train": 4, "batch_size_test": 4, "demo_tracks": 40, "base_dir": None, "groundtruth": None,
        "sampler": {"epoch_len": None, "sampler_replace": False},
    },
    "predict": {"transformer_block": -1},
}  # fmt: skip
# EnCodec's weights are not part of the suite: the small twins predict what needs none
SMOKE_FEATURES: Config = merged(SMOKE, {"omar_rq": {"targets": ["cqt", "mel"]}})
SMOKE_FSQ: Config = merged(SMOKE_FEATURES, {"omar_rq": {"levels": [4, 4, 4]}})


@OMAR_RQ.add(smoke=SMOKE)
def omar_rq_base_pretrain() -> Config:
    """OMAR-RQ base: log-mels in, one codebook of 8192 mel tokens; 24 blocks of width 1024, 30 s at 16 kHz, batch 32 on each of 8 devices.

    python ex_ssl.py with omar_rq_base_pretrain datamodule.audio_dir=DIR trainer.devices=8
    Published: 400 000 updates on 330 000 hours; tagging mAP .482 (MagnaTagATune).
    """
    return _recipe("omar-rq-base", 32)


@OMAR_RQ.add(smoke=SMOKE)
def omar_rq_multicodebook_pretrain() -> Config:
    """OMAR-RQ multicodebook: as base, with four codebooks of mel tokens.

    python ex_ssl.py with omar_rq_multicodebook_pretrain datamodule.audio_dir=DIR trainer.devices=8
    Published: tagging mAP .488.
    """
    return _recipe("omar-rq-multicodebook", 32)


@OMAR_RQ.add(smoke=SMOKE_FEATURES)
def omar_rq_multifeature_pretrain() -> Config:
    """OMAR-RQ multifeature: samples in (18.75 vectors/s), tokens of mel, CQT and EnCodec; needs EnCodec's weights (omar_rq.encodec).

    python ex_ssl.py with omar_rq_multifeature_pretrain datamodule.base_dir=STORE16k omar_rq.audio_rate=16000 omar_rq.encodec=FOLDER
    Published: tagging mAP .467, pitch .938.
    """
    return _recipe("omar-rq-multifeature", 32)


@OMAR_RQ.add(smoke=SMOKE_FEATURES)
def omar_rq_multifeature_25hz_pretrain() -> Config:
    """OMAR-RQ multifeature-25hz: as multifeature, 25 vectors/s, targets CQT, EnCodec, mel, batch 20.

    python ex_ssl.py with omar_rq_multifeature_25hz_pretrain datamodule.base_dir=STORE16k omar_rq.audio_rate=16000 omar_rq.encodec=FOLDER
    Published: tagging mAP .463, beat F1 .848.
    """
    return _recipe("omar-rq-multifeature-25hz", 20)


@OMAR_RQ.add(smoke=SMOKE_FSQ)
def omar_rq_multifeature_25hz_fsq_pretrain() -> Config:
    """OMAR-RQ multifeature-25hz-fsq: as multifeature-25hz, with finite scalar quantisers of 6^5 codes.

    python ex_ssl.py with omar_rq_multifeature_25hz_fsq_pretrain datamodule.base_dir=STORE16k omar_rq.audio_rate=16000 omar_rq.encodec=FOLDER
    Published: tagging mAP .463, pitch .940, chords .749, beat F1 .855.
    """
    return _recipe("omar-rq-multifeature-25hz-fsq", 20)


@OMAR_RQ.add(smoke=merged(SMOKE, {"omar_rq": {"pretrained": False}}), group=INFERENCE)
def omar_rq_inference() -> Config:
    """A published encoder (omar_rq.arch, by default base), to extract from as its authors do: layer 6, chunks of 30 s that overlap by half.

    python ex_ssl.py extract_embeddings with omar_rq_inference target_omar_rq_mtt
    """
    return {"family": "omar_rq", "omar_rq": {"pretrained": True, "overlap": 0.5}, "predict": {"transformer_block": 6}}


def _probe() -> Config:
    """The section `report` of a two-layer probe on track means."""
    probe = PROBE["clmr_linear"].values
    return {**{name: probe[name] for name in ("trainer", "optimizer", "model")}, "z_scored": True}


EPOCHS = 8  # of the demo: 190 updates each


@OMAR_RQ.add(group=DEMO)
def omar_rq_demo() -> Config:
    """A small OMAR-RQ on the embedded procedural music: log-mels in, two codebooks of 24 tokens each of mel and CQT; `report` goes on to the probe.

    python ex_ssl.py report with omar_rq_demo
    """
    # the published codebooks are made for 330 000 hours: of this music 24 codes are used evenly, under its own statistics (compute_norm_stats) and by
    # the quantisers of seeds 1724 and 1725: of the first 3000 the two in a row whose least even one is used most evenly by 240 training tracks. Tokens
    # of the CQT ask for notes, those of the mel alone hardly do. Spans of two vectors in crops of 6 s, which nearly every track fills: its notes are
    # short. Width, rate and epochs by the validation tracks (docs/omar_rq.md)
    small = {
        "embed_dim": 96, "depth": 3, "num_heads": 4, "max_seconds": 6.144, "targets": ["mel", "cqt"], "num_codebooks": 2, "codebook_size": 24,
        "dropout": 0.0, "norm_mean": 0.632, "norm_std": 1.009, "cqt_norm": [2.652, 2.105], "mask_seconds": 0.13, "quantizer_seed": 1724,
    }  # fmt: skip
    steps = {"schedule_mode": "warmup_cosine", "warm_up_steps": 50, "total_steps": EPOCHS * 190, "last_lr_value": 1e-3}
    return {
        "family": "omar_rq",
        "seed": 0,
        "trainer": {"max_epochs": EPOCHS, "log_every_n_steps": 10, "check_val_every_n_epoch": 2, "precision": "32"},
        "omar_rq": small,
        "module": {"optimizer": {"lr": 1e-3, "adamw": True, "weight_decay": 1e-2, **steps}},
        "datamodule": {"batch_size_train": 8, "batch_size_test": 32},
        "predict": {"transformer_block": 1},
        "report": {"title": "Demo: OMAR-RQ pre-trained on procedural music, without its labels", **_probe()},
    }


@OMAR_RQ.add(group=PARTS)
def paper_tiny_omar_rq() -> Config:
    """Stands behind `omar_rq_demo`: one epoch of a narrow network, for the scale `smoke` of ex_paper.py."""
    return {
        "family": "omar_rq",
        "trainer": {"max_epochs": 1, "accelerator": "cpu", "check_val_every_n_epoch": 1},
        "omar_rq": {"embed_dim": 16, "num_heads": 2},
    }


def waveforms(target: Target) -> Config:
    """Keys of ex_ssl.py: the set's waveforms at 16 kHz and its splits, to pre-train on and to extract from."""
    splits = {f"groundtruth_{part}": f"{target.metadata_dir}groundtruth-{part}.csv" for part in ("train", "val", "test")}
    return {
        "family": "omar_rq",
        "datamodule": {"base_dir": f"datasets/{target.data}/data/waveform-16000/", **splits},
        "predict": {"out_dir": f"{target.embeddings_dir}omar_rq/"},
    }


for _name, _target in TARGETS.items():
    if _name == _target.data:
        _values = waveforms(_target)
        _text = f"{_target.about.split(',')[0]} at 16 kHz as OMAR-RQ's data. Make it: python -m datasets.{_target.data}, then "
        _text += f"python -m datasets.prepare AUDIO {_values['datamodule']['base_dir']} --waveform 16000"
        OMAR_RQ.put(Named(f"target_omar_rq_{_name}", _values, _text, TARGETS_GROUP))

ALIASES = {"gin": Alias("omar_rq.gin", {"family": "omar_rq"})}
FAMILY = FamilyConfigs("omar_rq", {"omar_rq": OmarRq}, OMAR_RQ, commands=("compute_norm_stats",), aliases=ALIASES)
