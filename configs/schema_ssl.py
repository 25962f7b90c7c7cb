"""Typed configuration of ex_ssl.py: the self-supervised families. A section per family; what is common has the names of ex_maest.py's."""

from __future__ import annotations

from dataclasses import dataclass

from .options import opt, section
from .schema import Export, Predict, Trainer
from .schema_probe import ProbeModel, ProbeOptimizer, ProbeTrainer


@dataclass
class Clmr:
    """CLMR (models/clmr): SampleCNN, its projection head and NT-Xent (arXiv 2103.09410)."""

    arch: str = opt("clmr-magnatagatune", "a name of models.list_models('clmr*'): the weights of pretrained=True")
    pretrained: bool = opt(False, "begin with the arch's published weights")
    checkpoint: str | None = opt(None, "weights file to begin with, in place of the arch's published one")
    head_checkpoint: str | None = opt(None, "weights file of a trained head, for commands that name classes")
    checkpoint_swa_weights: bool = opt(True, "of an own training checkpoint: the averaged weights, where there are any")
    channels: list[int] = opt([128] * 3 + [256] * 6 + [512] * 2, "width of each block, two more than strides")
    strides: list[int] = opt([3] * 9, "kernel and pooling of the blocks between; a crop has 3 x their product samples (59049)")
    sample_rate: int = opt(22050, "Hz")
    projection_dim: int = opt(64, "width of the projection that the loss compares")
    temperature: float = opt(0.5, "of NT-Xent, above 0")
    supervised: bool = opt(False, "train on labels instead: dropout, a head of the labels' number, one crop per track")
    head: str = opt("linear", "of supervised training", ("linear", "mlp"))
    task: str = opt(
        "multilabel",
        "of supervised training: binary cross-entropy, or cross-entropy of one label per track",
        ("multilabel", "multiclass"),
    )


@dataclass
class Augment:
    """CLMR's chain (models/clmr/augment.py): probability of each step, and ranges. Published configuration; `library_readme` has others."""

    do: bool = opt(True, "false: crops only")
    polarity: float = opt(0.8, "sign turned")
    noise: float = opt(0.01, "white noise")
    noise_min: float = opt(1e-4, "its least amplitude, as a share of the crop's standard deviation")
    noise_max: float = opt(1e-2, "its largest")
    gain: float = opt(0.3, "quieter, then clamped to [-1, 1]")
    gain_min: float = opt(-20.0, "dB")
    gain_max: float = opt(-1.0, "dB")
    filters: float = opt(0.8, "high-pass at 200 to 1200 Hz or low-pass at 2200 to 4000 Hz")
    delay: float = opt(0.3, "an echo 200 to 450 ms behind")
    pitch: float = opt(0.6, "pitch shift, tempo kept")
    pitch_cents: int = opt(700, "its largest, either way")
    reverb: float = opt(0.6, "a room around it")


@dataclass
class SslOptimizer:
    name: str = opt("adam", "adam, adamw, sgd (Nesterov) or lars", ("adam", "adamw", "sgd", "lars"))
    lr: float | None = opt(3e-4, "learning rate; none: 0.3 x clips per step over all devices / 256, LARS's rule")
    weight_decay: float = opt(0.0, "of biases and norms too, except under lars")
    momentum: float = opt(0.9, "of sgd and lars")
    schedule: str = opt(
        "constant", "cosine: to 0 over max_epochs, per epoch; plateau: by val_loss", ("constant", "cosine", "plateau")
    )
    plateau_factor: float = opt(0.2, "of schedule plateau: what the rate is multiplied by")
    plateau_patience: int = opt(5, "of schedule plateau: validations without a better val_loss")
    early_stopping: int | None = opt(None, "validations without a better val_loss after which training ends; none: never")


@dataclass
class Averaging:
    ema_decay: float | None = opt(None, "keep an exponential moving average of the weights per step, with this decay")
    start_epoch: int = opt(0, "first epoch that counts")


@dataclass
class Tracks:
    """Tracks, and labels where there are any: pre-training takes their splits only."""

    audio_dir: str | None = opt(None, "folder of audio of any format, rate and channels: prepared into base_dir first")
    base_dir: str | None = opt(
        None, "store of waveforms at the family's rate (python -m datasets.prepare --waveform); none: the demo data"
    )
    base_dir_val: str | None = opt(None, "the same for validation and test; none: base_dir")
    groundtruth: str | None = opt(None, "one label file for all; split by its split column, else 80/10/10 by split_seed")
    groundtruth_train: str | None = opt(None, "labels of the training tracks")
    groundtruth_val: str | None = opt(None, "labels of the validation tracks")
    groundtruth_test: str | None = opt(None, "labels of the test tracks")
    groundtruth_predict: str | None = opt(None, "tracks to extract; none: all of the store")
    label_column: str | None = opt(None, "column of a table that holds the labels; none: found by its name")
    group_column: str | None = opt(None, "column whose equal values a split keeps together; none: found by its name")
    split_seed: int = opt(0, "of a split that is made here")
    val_share: float = opt(0.1, "of tracks without any labels: share that validates, by a hash of the name")
    batch_size_train: int = opt(48, "tracks per process and step")
    batch_size_test: int = opt(48, "crops or windows per process in validation, test and extraction")
    epoch_len: int | None = opt(None, "tracks per epoch; none: every track once")
    replace: bool = opt(False, "draw tracks with replacement: an epoch may then have more than there are")
    num_workers: int = opt(0, "loading processes; 0 is fastest for stores in the page cache")
    tail: str = opt(
        "drop", "end of a track in test and extraction; one without a whole window is one padded window", ("pad", "shift", "drop")
    )
    half_overlap: bool = opt(False, "windows of test and extraction overlap by half")
    demo_tracks: int | None = opt(None, "size of the demo data, where nothing else is named; none: the whole of it")


@dataclass
class SslPredict(Predict):
    """Extraction and prediction (alias of the section: inference)."""

    transformer_block: int | list[int] = opt(
        -1, "layer (block, 0-based) whose output is stored; -1: the last, the representation"
    )
    out_dir: str = opt("exp_out/ssl/", "files go to <out_dir>/<layer>/")


@dataclass
class SslWindows:
    """Which windows of a track the report's probe sees, as in the section data of ex_tl.py."""

    train_windows: str = opt(
        "mean", "mean: one vector per track; each; random: another one each epoch", ("mean", "each", "random")
    )
    val_windows: str = opt("mean", "the same in validation; random: drawn once", ("mean", "each", "random", "first"))
    test_windows: str = opt("mean", "the same in the test", ("mean", "each", "first"))
    aggregate: str = opt("mean_prob", "from scores of windows to a track's", ("mean_prob", "mean_logit", "prob_of_mean_logit"))


@dataclass
class SslReport:
    """The command `report`: pre-train, extract, probe beside the untrained encoder and mel statistics, one page of it all."""

    path: str | None = opt(None, "of the page; none: report.html in the run's folder")
    title: str = opt("Self-supervised, pre-trained here", "of the page")
    seeds: list[int] = opt([0, 1, 2], "a probe is trained with each; scores are their mean and spread")
    batch_size: int = opt(48, "tracks per step of the probe")
    standardise: bool = opt(False, "z-score the probe's inputs by the training tracks' statistics")
    z_scored: bool = opt(
        False, "beside it the same probe on z-scored inputs: the stricter comparison, an untrained network gains most by them"
    )
    data: SslWindows = section(SslWindows)
    trainer: ProbeTrainer = section(ProbeTrainer)
    optimizer: ProbeOptimizer = section(ProbeOptimizer)
    model: ProbeModel = section(ProbeModel)


@dataclass
class Hear:
    """The command `hear_augmentations`: wav files before and after, and a page of them."""

    audio: str | None = opt(None, "audio file; none: a track of the demo data")
    out: str | None = opt(None, "folder; none: the run's")
    examples: int = opt(4, "views of the whole chain")


@dataclass
class ExSsl:
    """All of ex_ssl.py."""

    family: str = opt("clmr", "which family's section holds the network", ("clmr",))
    ckpt_path: str | None = opt(None, "continue this training checkpoint")
    trainer: Trainer = section(Trainer)
    clmr: Clmr = section(Clmr)
    augment: Augment = section(Augment)
    optimizer: SslOptimizer = section(SslOptimizer)
    averaging: Averaging = section(Averaging)
    datamodule: Tracks = section(Tracks)
    predict: SslPredict = section(SslPredict)
    report: SslReport = section(SslReport)
    hear: Hear = section(Hear)
    export: Export = section(Export)
