"""Typed configuration of ex_tl.py: the probe on frozen embeddings. Sections and names of the published suite, values of MAEST's protocol
(arXiv 2309.16418, section 4.4).
"""

from __future__ import annotations

from dataclasses import dataclass

from .options import BATCH, COUNT, FROM_0, RATE, SEED, opt, section
from .schema_finetune import FineTune


@dataclass
class ProbeTrainer:
    """How long the probe is trained, and how precisely."""

    max_epochs: int = opt(60, "number of epochs to train the probe", affects="probe", bounds=COUNT)
    max_steps: int | None = opt(
        None, "number of steps at which training ends, in place of max_epochs", affects="probe", bounds="[1, 1e9]"
    )
    precision: str | int = opt(
        "32",
        "precision of the probe's training: 32, or bf16 (matrix products in bfloat16), faster where the processor has them and many heads train",
        ("32", 32, "bf16"),
        affects="probe",
    )
    devices: int = opt(1, "number of processes, which is 1: the probe runs in one", (1,), affects="probe")
    num_sanity_val_steps: int = opt(0, "kept for published command lines: no such steps are made", (0,), affects="nothing")


@dataclass
class ProbeOptimizer:
    """Optimiser, learning rate, and which epoch of the probe is tested."""

    name: str = opt("adamw", "optimiser: adamw, or adam (weight decay as L2)", ("adamw", "adam"), affects="probe")
    monitor: str = opt(
        "auto",
        "validation curve that picks the epoch; auto: val_roc of tags, val_acc of classes, val_key, val_r2, val_grade_mse, val_beat_f, "
        "val_chord_acc, val_frame_acc; auto_ap: val_ap of tags",
        (
            "auto",
            "auto_ap",
            "val_roc",
            "val_ap",
            "val_acc",
            "val_balanced_acc",
            "val_key",
            "val_grade_mse",
            "val_grade_acc",
            "val_r2",
            "val_beat_f",
            "val_chord_acc",
            "val_frame_acc",
            "val_macro_frame_acc",
            "val_hit_rate_05",
            "val_hit_rate_3",
            "val_loss",
        ),
        affects="probe",
    )
    keep: str = opt("best", "epoch that is tested: the best by the monitor, or the last", ("best", "last"), affects="probe")
    early_stopping: int = opt(
        0,
        "epochs without improvement of early_monitor after which training ends; 0: it does not end early",
        affects="probe",
        bounds=FROM_0,
    )
    early_monitor: str = opt(
        "monitor", "what early_stopping looks at: monitor, or a validation curve such as val_loss", affects="probe"
    )
    scheduler: str = opt(
        "exp_warmup_linear_down",
        "schedule of the learning rate",
        ("exp_warmup_linear_down", "cyclic", "exponential", "plateau", "warmup_cosine", "constant"),
        affects="probe",
    )
    max_lr: float = opt(1e-4, "highest learning rate", affects="probe", bounds=RATE)
    max_lr_epochs: int = opt(10, "epoch at which the learning rate begins to go down", affects="probe", bounds=FROM_0)
    warmup_epochs: int = opt(10, "number of epochs of warm-up", affects="probe", bounds=COUNT)
    warmup_steps: int = opt(2000, "number of steps of warm-up of scheduler warmup_cosine", affects="probe", bounds=FROM_0)
    base_lr: float = opt(
        1e-7,
        "lowest learning rate; of exp_warmup_linear_down as a share of max_lr (as published)",
        affects="probe",
        bounds="[0, 1000]",
    )
    gamma: float = opt(
        0.5,
        "factor of the learning rate: per epoch of scheduler exponential, per plateau of scheduler plateau",
        affects="probe",
        bounds="(0, 10]",
    )
    plateau_patience: int = opt(5, "epochs without improvement that a plateau may last", affects="probe", bounds=FROM_0)
    plateau_monitor: str = opt(
        "val_loss", "what scheduler plateau looks at: monitor, or a validation curve such as val_loss", affects="probe"
    )
    weight_decay: float = opt(1e-3, "weight decay of the optimiser", affects="probe", bounds="[0, 1000]")
    lr_grid: list[float] = opt(
        [], "learning rates to try in place of max_lr; each seed keeps its best by the monitor", affects="probe", bounds=RATE
    )


@dataclass
class ProbeModel:
    """The probe's head."""

    hidden_units: int = opt(512, "width of the hidden layer", affects="probe", bounds="[1, 65536]")
    num_layers: int = opt(2, "number of layers: 1 is a linear probe, 2 has one hidden layer", (1, 2), affects="probe")
    drop_out: float = opt(0.5, "dropout before the last layer", affects="probe", bounds="[0, 1)")
    input_drop_out: float = opt(0.0, "dropout of the embeddings themselves", affects="probe", bounds="[0, 1)")
    loss: str = opt(
        "auto",
        "loss: auto is bce of tags, grades, beats, ce of classes and chords, mse of values, bce_boundary of structure; bce may be asked for classes",
        ("auto", "bce", "ce", "mse", "bce_boundary"),
        affects="probe",
    )


@dataclass
class ProbeData:
    """Embeddings, labels, and how tracks become inputs of the probe."""

    base_dir: str | None = opt(
        None, "embeddings: a track store, a folder of one, or a folder of .embeddings.npy files", affects="probe"
    )
    untrained_dir: str | None = opt(
        None,
        "embeddings of an untrained network of the same size, which are probed beside, on the same tracks",
        affects="probe",
    )
    mel_dir: str | None = opt(
        None,
        "mel store whose statistics are scored beside by a linear model, on the same tracks",
        affects="probe",
    )
    baselines: str | list[str] = opt(
        "auto",
        "what stands beside the probe: none, or some of constant (majority class, label frequencies, mean), mel (statistics of the mels) and "
        "untrained (the same network with random weights), whose inputs are found or made from what the embeddings were made of; auto: those that "
        "can be had cheaply; mel_dir and untrained_dir name inputs",
        affects="nothing",
    )
    metadata_dir: str | None = opt(
        None,
        "folder of groundtruth-train/-val/-test files, and of labels.txt (their order) where there is one",
        affects="probe",
    )
    groundtruth: str | None = opt(
        None,
        "label file of all tracks in place of metadata_dir, split by its split column, else 80/10/10 by split_seed",
        affects="probe",
    )
    annotations: str | None = opt(
        None,
        "folder of annotations in time, a file per track under the track's name: .beats, .lab, .txt, .csv or .jams",
        affects="probe",
    )
    frame_pool: int = opt(1, "number of consecutive vectors in time that are averaged to one", affects="probe", bounds=COUNT)
    split_seed: int = opt(
        0,
        "seed of that 80/10/10 split; the same as in pre-training, so that test tracks stay unseen",
        affects="probe",
        bounds=SEED,
    )
    label_column: str | None = opt(
        None, "column of a table that holds the labels (or the one value); none: found by its name", affects="probe"
    )
    label_separator: str | None = opt(
        None,
        "what parts the labels in a table's cell, '' where each is one label; none: |, and ; or , only where they cannot be part of a label",
        affects="probe",
    )
    group_column: str | None = opt(
        None,
        "column whose equal values a split keeps together; the same as in pre-training; none: found by its name",
        affects="probe",
    )
    task: str = opt(
        "multi-label",
        "what the labels are: tags, one class, a musical key, values, ordered grades (ordinal); or, in time, beats, chords, structure",
        ("multi-label", "single-label", "key", "regression", "ordinal", "beats", "chords", "structure"),
        affects="probe",
    )
    batch_size: int = opt(128, "number of tracks (or windows) in a step", affects="probe", bounds=BATCH)
    batch_of: str = opt(
        "examples",
        "what batch_size counts where each window is an example: the windows, or tracks with all their windows",
        ("examples", "tracks"),
        affects="probe",
    )
    num_workers: int = opt(
        0,
        "kept for published command lines: embeddings are in memory, no processes load them",
        affects="nothing",
        bounds="[0, 1024]",
    )
    types: str = opt(
        "c",
        "tokens that the probe sees: any of c (CLS), d (DIST), t (mean of the others), always taken in that order",
        affects="probe",
    )
    reduce: str = opt("mean", "how several tokens are joined: by their mean, or stacked", ("mean", "stack"), affects="probe")
    token_size: int | None = opt(
        None,
        "width C of the embeddings, where they do not say it; none: what they say, else 768",
        affects="probe",
        bounds="[1, 65536]",
    )
    layers: list[int] | None = opt(
        None,
        "blocks to take, base_dir being the folder of their sub-folders; none: base_dir is one block's",
        affects="probe",
        bounds="[-1, 1000]",
    )
    layer_reduce: str = opt(
        "mean",
        "how several layers are joined: by their mean, stacked, or by a weighted sum that is learned",
        ("mean", "stack", "learned"),
        affects="probe",
    )
    train_windows: str = opt(
        "mean",
        "windows of a training track: their mean as one vector, each as an example, random (another one each epoch), or random_once (one, drawn "
        "once and kept)",
        ("mean", "each", "random", "random_once"),
        affects="probe",
    )
    val_windows: str = opt(
        "mean",
        "windows of a validation track: their mean, each, random (drawn once), or the first",
        ("mean", "each", "random", "first"),
        affects="probe",
    )
    test_windows: str = opt(
        "mean", "windows of a test track: their mean, each, or the first", ("mean", "each", "first"), affects="probe"
    )
    aggregate: str = opt(
        "mean_prob",
        "how the scores of windows become a track's; best: the way that is best on validation",
        ("mean_prob", "mean_logit", "prob_of_mean_logit", "vote", "max_logit", "best"),
        affects="probe",
    )
    train_share: float = opt(
        1.0, "share of the training tracks that is used, drawn by split_seed", affects="probe", bounds="(0, 1]"
    )
    memory_gb: float = opt(
        8.0, "size above which embeddings stand in a memory map instead of in memory, GB", affects="nothing", bounds="[0, 1e6]"
    )
    n_classes: int | None = opt(
        None, "number of labels; none: as many as the groundtruth has (published: 50)", affects="probe", bounds=COUNT
    )
    standardise: bool = opt(False, "z-score the inputs by the training tracks' statistics", affects="probe")
    skip_missing: bool = opt(
        False, "leave tracks without embeddings out, and say how many, in place of refusing", affects="probe"
    )
    folds: int = opt(
        0, "k > 2 is repeated k-fold cross-validation in place of the split (for small data)", affects="probe", bounds="[0, 1000]"
    )
    repeats: int = opt(
        1, "number of times that the cross-validation is repeated, with other folds", affects="probe", bounds="[1, 1000]"
    )


@dataclass
class Sweep:
    """The command `sweep`: a score per block and kind of token."""

    layers: list[int] | None = opt(None, "blocks to probe; none: all that base_dir has", affects="sweep", bounds="[-1, 1000]")
    types: str = opt(
        "c,d,t", "kinds of tokens, a line each: c, d, t, or several such as cdt (joined by data.reduce)", affects="sweep"
    )
    metric: str | None = opt(
        None, "score on the figure's y axis; none: the task's first (macro ROC-AUC of tags)", affects="sweep"
    )
    title: str = opt("What each block knows", "title of the page", affects="nothing")


@dataclass
class FewLabel:
    """The command `few_label`: score versus the share of training labels, as CLMR reports it."""

    shares: list[float] = opt([0.01, 0.1, 1.0], "shares of the training tracks", affects="few_label", bounds="(0, 1]")
    draws: int = opt(
        3,
        "number of samples of each share below 1, every one of which is probed with all seeds",
        affects="few_label",
        bounds="[1, 1000]",
    )
    same_steps: bool = opt(
        True, "give an epoch of a share as many steps as one of all tracks; false: one pass over the share", affects="few_label"
    )


@dataclass
class Compare:
    """The command `compare`."""

    runs: str = opt("", "result folders, apart by commas; the first is what the others are compared with", affects="compare")


@dataclass
class ExTl:
    """All of ex_tl.py."""

    seeds: list[int] = opt(
        [0, 1, 2], "seeds with each of which a head is trained; scores are their mean and spread", affects="probe", bounds=SEED
    )
    out_dir: str = opt("exp_out/tl", "folder in which every run gets a numbered folder of results", affects="nothing")
    trainer: ProbeTrainer = section(ProbeTrainer)
    optimizer: ProbeOptimizer = section(ProbeOptimizer)
    model: ProbeModel = section(ProbeModel)
    data: ProbeData = section(ProbeData)
    sweep: Sweep = section(Sweep)
    few_label: FewLabel = section(FewLabel)
    finetune: FineTune = section(FineTune)
    compare: Compare = section(Compare)
