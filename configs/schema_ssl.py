"""Typed configuration of ex_ssl.py: the self-supervised families. A section per family; what is common has the names of ex_maest.py's."""

from __future__ import annotations

from dataclasses import dataclass

from .options import opt, section
from .schema import Trainer
from .schema_commands import Export, Predict
from .schema_probe import ProbeModel, ProbeOptimizer, ProbeTrainer


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
        [128] * 3 + [256] * 6 + [512] * 2, "width of each block, two more than there are strides", affects="network"
    )
    strides: list[int] = opt(
        [3] * 9,
        "kernel and pooling of the blocks between first and last; a crop has 3 x their product samples (59049)",
        affects="network",
    )
    sample_rate: int = opt(22050, "sample rate of the waveforms, Hz", affects="network")
    projection_dim: int = opt(64, "width of the projection that the loss compares", affects="network")
    temperature: float = opt(0.5, "temperature of NT-Xent, above 0", affects="training")
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
    polarity: float = opt(0.8, "probability that the sign is turned", affects="training")
    noise: float = opt(0.01, "probability of white noise", affects="training")
    noise_min: float = opt(1e-4, "least amplitude of the noise, as a share of the crop's standard deviation", affects="training")
    noise_max: float = opt(
        1e-2, "largest amplitude of the noise, as a share of the crop's standard deviation", affects="training"
    )
    gain: float = opt(0.3, "probability of a lower gain, after which samples are clamped to [-1, 1]", affects="training")
    gain_min: float = opt(-20.0, "lowest gain, dB", affects="training")
    gain_max: float = opt(-1.0, "highest gain, dB", affects="training")
    filters: float = opt(
        0.8, "probability of a filter: high-pass at 200 to 1200 Hz or low-pass at 2200 to 4000 Hz", affects="training"
    )
    delay: float = opt(0.3, "probability of an echo 200 to 450 ms behind", affects="training")
    pitch: float = opt(0.6, "probability of a pitch shift that keeps the tempo", affects="training")
    pitch_cents: int = opt(700, "largest pitch shift either way, cents", affects="training")
    reverb: float = opt(0.6, "probability of reverberation", affects="training")


@dataclass
class SslOptimizer:
    """Optimiser, learning rate, and when training ends early."""

    name: str = opt(
        "adam", "optimiser: adam, adamw, sgd (Nesterov) or lars", ("adam", "adamw", "sgd", "lars"), affects="training"
    )
    lr: float | None = opt(
        3e-4, "learning rate; none: 0.3 x clips per step over all devices / 256, LARS's rule", affects="training"
    )
    weight_decay: float = opt(0.0, "weight decay, of biases and norms too, except under lars", affects="training")
    momentum: float = opt(0.9, "momentum of sgd and lars", affects="training")
    schedule: str = opt(
        "constant",
        "course of the learning rate: constant, cosine to 0 over max_epochs (per epoch), or plateau by val_loss",
        ("constant", "cosine", "plateau"),
        affects="training",
    )
    plateau_factor: float = opt(0.2, "factor of the learning rate after each plateau, of schedule plateau", affects="training")
    plateau_patience: int = opt(
        5, "validations without a better val_loss that make a plateau, of schedule plateau", affects="training"
    )
    early_stopping: int | None = opt(
        None, "validations without a better val_loss after which training ends; none: it does not end early", affects="training"
    )


@dataclass
class Averaging:
    """Averaged weights beside the trained ones."""

    ema_decay: float | None = opt(
        None, "decay of an exponential moving average of the weights, per step; none: no average", affects="training"
    )
    start_epoch: int = opt(0, "first epoch whose weights are averaged", affects="training")


@dataclass
class Tracks:
    """Tracks, and labels where there are any: pre-training takes their splits only."""

    audio_dir: str | None = opt(
        None, "folder of audio of any format, rate and channels, which is prepared into base_dir first", affects="inputs"
    )
    base_dir: str | None = opt(
        None,
        "store of waveforms at the family's rate (python -m datasets.prepare --waveform); none: the demo data",
        affects="inputs",
    )
    base_dir_val: str | None = opt(None, "store of waveforms for validation and test; none: base_dir", affects="inputs")
    groundtruth: str | None = opt(
        None, "label file of all tracks, split by its split column, else 80/10/10 by split_seed", affects="inputs"
    )
    groundtruth_train: str | None = opt(None, "label file of the training tracks", affects="inputs")
    groundtruth_val: str | None = opt(None, "label file of the validation tracks", affects="inputs")
    groundtruth_test: str | None = opt(None, "label file of the test tracks", affects="inputs")
    groundtruth_predict: str | None = opt(None, "file that names the tracks to extract; none: all of the store", affects="inputs")
    label_column: str | None = opt(None, "column of a table that holds the labels; none: found by its name", affects="inputs")
    group_column: str | None = opt(
        None, "column whose equal values a split keeps together; none: found by its name", affects="network"
    )
    split_seed: int = opt(0, "seed of a split that is made here", affects="inputs")
    val_share: float = opt(
        0.1, "share of the tracks that validates, by a hash of the name, where there are no labels", affects="network"
    )
    batch_size_train: int = opt(48, "tracks that each process takes in a training step", affects="course")
    batch_size_test: int = opt(
        48, "crops or windows that each process takes at once in validation, test and extraction", affects="numerics"
    )
    epoch_len: int | None = opt(None, "number of tracks in an epoch; none: every track once", affects="training")
    replace: bool = opt(False, "draw tracks with replacement: an epoch may then have more than there are", affects="training")
    num_workers: int = opt(0, "number of loading processes; 0 is fastest for stores in the page cache", affects="nothing")
    tail: str = opt(
        "drop",
        "end of a track in test and extraction: pad the last window, shift it back to end with the track, or drop it; a track "
        "without a whole window is one padded window",
        ("pad", "shift", "drop"),
        affects="network",
    )
    half_overlap: bool = opt(False, "let windows of test and extraction overlap by half", affects="network")
    demo_tracks: int | None = opt(
        None, "number of tracks of the demo data, where no other data are named; none: the whole of it", affects="inputs"
    )


@dataclass
class SslPredict(Predict):
    """Extraction and prediction (alias of the section: inference)."""

    transformer_block: int | list[int] = opt(
        -1, "layer (block, 0-based) whose output is stored; -1: the last, the representation", affects="embeddings"
    )
    out_dir: str = opt("exp_out/ssl/", "folder that output goes to, below it <layer>/", affects="nothing")


@dataclass
class SslWindows:
    """Which windows of a track the report's probe sees, as in the section data of ex_tl.py."""

    train_windows: str = opt(
        "mean",
        "windows of a training track: their mean as one vector, each as an example, or random: another one each epoch",
        ("mean", "each", "random"),
        affects="report",
    )
    val_windows: str = opt(
        "mean",
        "windows of a validation track: their mean, each, random (drawn once), or the first",
        ("mean", "each", "random", "first"),
        affects="report",
    )
    test_windows: str = opt(
        "mean", "windows of a test track: their mean, each, or the first", ("mean", "each", "first"), affects="report"
    )
    aggregate: str = opt(
        "mean_prob",
        "how the scores of windows become a track's",
        ("mean_prob", "mean_logit", "prob_of_mean_logit"),
        affects="report",
    )


@dataclass
class SslReport:
    """The command `report`: pre-train, extract, probe beside the untrained encoder and mel statistics, one page of it all."""

    path: str | None = opt(None, "file that the page is written to; none: report.html in the run's folder", affects="report")
    title: str = opt("Self-supervised, pre-trained here", "title of the page", affects="report")
    seeds: list[int] = opt(
        [0, 1, 2], "seeds with each of which a probe is trained; scores are their mean and spread", affects="report"
    )
    batch_size: int = opt(48, "number of tracks in a step of the probe", affects="report")
    standardise: bool = opt(False, "z-score the probe's inputs by the training tracks' statistics", affects="report")
    z_scored: bool = opt(
        False,
        "show beside it the same probe on z-scored inputs: the stricter comparison, since an untrained network gains most by them",
        affects="report",
    )
    data: SslWindows = section(SslWindows)
    trainer: ProbeTrainer = section(ProbeTrainer)
    optimizer: ProbeOptimizer = section(ProbeOptimizer)
    model: ProbeModel = section(ProbeModel)


@dataclass
class Hear:
    """The command `hear_augmentations`: wav files before and after, and a page of them."""

    audio: str | None = opt(None, "audio file to augment; none: a track of the demo data", affects="hear_augmentations")
    out: str | None = opt(None, "folder that files are written to; none: the run's", affects="hear_augmentations")
    examples: int = opt(4, "number of views by the whole chain", affects="hear_augmentations")


@dataclass
class ExSsl:
    """All of ex_ssl.py."""

    family: str = opt("clmr", "family of the network, whose section of this config describes it", ("clmr",), affects="network")
    ckpt_path: str | None = opt(
        None,
        "training checkpoint that main and report continue, or last: that of this config's newest run; for test: the one to test",
        affects="checkpoint",
    )
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
