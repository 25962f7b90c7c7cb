"""Typed configuration of ex_tl.py: the probe on frozen embeddings. Sections and names of the published suite, values of MAEST's protocol
(arXiv 2309.16418, section 4.4).
"""

from __future__ import annotations

from dataclasses import dataclass

from .options import opt, section


@dataclass
class ProbeTrainer:
    max_epochs: int = opt(60, "epochs")
    max_steps: int | None = opt(None, "steps at which training ends, in place of max_epochs")
    precision: str | int = opt(
        "32",
        "32; bf16: matrix products in bfloat16, faster where the processor has them and many heads train",
        ("32", 32, "bf16"),
    )
    devices: int = opt(1, "the probe runs in one process", (1,))
    num_sanity_val_steps: int = opt(0, "kept for published command lines: there are none", (0,))


@dataclass
class ProbeOptimizer:
    name: str = opt("adamw", "adamw, or adam (weight decay as L2)", ("adamw", "adam"))
    monitor: str = opt(
        "auto",
        "validation curve that picks the epoch; auto: val_roc of tags, val_acc of classes, val_key, val_r2; auto_ap: val_ap of tags",
        ("auto", "auto_ap", "val_roc", "val_ap", "val_acc", "val_balanced_acc", "val_key", "val_r2", "val_loss"),
    )
    keep: str = opt("best", "the epoch that is tested: best by the monitor, or last", ("best", "last"))
    early_stopping: int = opt(0, "epochs without improvement of early_monitor after which training ends; 0: never")
    early_monitor: str = opt("monitor", "monitor, or a validation curve such as val_loss")
    scheduler: str = opt(
        "exp_warmup_linear_down",
        "of the learning rate",
        ("exp_warmup_linear_down", "cyclic", "exponential", "plateau", "warmup_cosine", "constant"),
    )
    max_lr: float = opt(1e-4, "highest learning rate")
    max_lr_epochs: int = opt(10, "epoch at which the way down begins")
    warmup_epochs: int = opt(10, "epochs of warm-up")
    warmup_steps: int = opt(2000, "steps of warm-up, of warmup_cosine")
    base_lr: float = opt(1e-7, "lowest learning rate; exp_warmup_linear_down: as a share of max_lr (as published)")
    gamma: float = opt(0.5, "factor: per epoch of the exponential scheduler, per plateau of the plateau scheduler")
    plateau_patience: int = opt(5, "epochs without improvement that a plateau may last")
    plateau_monitor: str = opt("val_loss", "what the plateau is of: monitor, or a validation curve")
    weight_decay: float = opt(1e-3, "of the optimiser")
    lr_grid: list[float] = opt([], "learning rates to try in place of max_lr; each seed keeps its best by the monitor")


@dataclass
class ProbeModel:
    hidden_units: int = opt(512, "width of the hidden layer")
    num_layers: int = opt(2, "1: linear probe; 2: one hidden layer", (1, 2))
    drop_out: float = opt(0.5, "before the last layer")
    input_drop_out: float = opt(0.0, "of the embeddings themselves")
    loss: str = opt(
        "auto", "auto: bce of tags, ce of classes, mse of values; bce may be asked for classes", ("auto", "bce", "ce", "mse")
    )


@dataclass
class ProbeData:
    base_dir: str | None = opt(None, "embeddings: a track store, a folder of one, or of .embeddings.npy files")
    untrained_dir: str | None = opt(
        None, "embeddings of an untrained network of the same size: probed beside, on the same tracks"
    )
    mel_dir: str | None = opt(None, "mel store: mel statistics + logistic regression beside, on the same tracks (tags)")
    metadata_dir: str | None = opt(
        None, "folder of groundtruth-train/-val/-test files, and labels.txt (their order) where there is one"
    )
    groundtruth: str | None = opt(None, "one label file in place of metadata_dir; split column, or 80/10/10 by split_seed")
    split_seed: int = opt(0, "of that split; the same as in ex_maest.py")
    label_column: str | None = opt(None, "column of a table that holds the labels (or the one value); none: found by its name")
    group_column: str | None = opt(None, "column whose equal values a split keeps together; the same as in ex_maest.py")
    task: str = opt("multi-label", "what is asked", ("multi-label", "single-label", "key", "regression"))
    batch_size: int = opt(128, "tracks (or windows) per step")
    num_workers: int = opt(0, "kept for published command lines: embeddings are in memory, nothing is loaded")
    types: str = opt("c", "tokens: any of c (CLS), d (DIST), t (mean of the others); always taken in that order")
    reduce: str = opt("mean", "of several tokens: mean or stack", ("mean", "stack"))
    token_size: int | None = opt(None, "C of the embeddings, where they do not say it; none: what they say, else 768")
    layers: list[int] | None = opt(None, "blocks to take, base_dir being the folder of their sub-folders; none: base_dir is one")
    layer_reduce: str = opt(
        "mean", "of several layers: mean, stack, or a weighted sum that is learned", ("mean", "stack", "learned")
    )
    train_windows: str = opt(
        "mean",
        "mean: one vector per track; each: every window is an example; random: each epoch one window of every track",
        ("mean", "each", "random"),
    )
    val_windows: str = opt("mean", "the same in validation; first: the first window only", ("mean", "each", "random", "first"))
    test_windows: str = opt("mean", "the same in the test", ("mean", "each", "first"))
    aggregate: str = opt(
        "mean_prob",
        "from a track's windows to the track; best: the way that is best on validation",
        ("mean_prob", "mean_logit", "prob_of_mean_logit", "vote", "max_logit", "best"),
    )
    train_share: float = opt(1.0, "share of the training tracks that is used, drawn by split_seed")
    memory_gb: float = opt(8.0, "embeddings above this size stand in a memory map")
    n_classes: int | None = opt(None, "L; none: as many as the groundtruth has (published: 50)")
    standardise: bool = opt(False, "z-score the inputs by the training tracks' statistics")
    skip_missing: bool = opt(False, "leave tracks without embeddings out, counted, in place of refusing")
    folds: int = opt(0, "k > 2: repeated k-fold cross-validation in place of the split (tags of small data)")
    repeats: int = opt(1, "of the k-fold")


@dataclass
class Sweep:
    """The command `sweep`: a score per block and kind of token."""

    layers: list[int] | None = opt(None, "blocks; none: all that base_dir has")
    types: str = opt("c,d,t", "kinds of tokens, a line each: c, d, t, or several such as cdt (then data.reduce)")
    metric: str | None = opt(None, "score on the figure's y axis; none: the task's first (macro ROC-AUC of tags)")
    title: str = opt("What each block knows", "of the page")


@dataclass
class FewLabel:
    """The command `few_label`: score versus the share of training labels, as CLMR reports it."""

    shares: list[float] = opt([0.01, 0.1, 1.0], "of the training tracks")
    draws: int = opt(3, "samples of each share below 1; every one is probed with all seeds")
    same_steps: bool = opt(True, "an epoch of a share is as many steps as one of all tracks; false: one pass over the share")


@dataclass
class FineTune:
    """The command `finetune`: the encoder itself learns; head (model), labels, seeds and aggregation are the probe's."""

    model: str | None = opt(None, "a registered model, or a weight file or folder of any family")
    store: str | None = opt(None, "what its windows are cut from: the store that datasets.prepare (or ex_*.py) made of the audio")
    layer: int = opt(-1, "block that the head sees, 0-based, negatives from the end")
    blocks: int | None = opt(None, "blocks up to it that learn; none: the whole encoder; 0: the head alone")
    layer_decay: float = opt(0.75, "factor of the learning rate per block of depth; 1: all alike")
    lr: float = opt(5e-5, "learning rate of the deepest block")
    head_lr: float = opt(1e-3, "learning rate of the head")
    weight_decay: float = opt(0.01, "of AdamW")
    max_epochs: int = opt(20, "epochs; each hears one random window of every track")
    warmup_epochs: int = opt(2, "epochs of warm-up; then linear down to 1 %")
    batch_size: int = opt(8, "windows per step")
    batch_size_test: int = opt(20, "windows at once in validation and test")
    accelerator: str = opt("auto", "auto, cpu, gpu; a gpu that is asked for must be there")
    precision: str = opt("auto", "as trainer.precision of ex_maest.py")


@dataclass
class Compare:
    """The command `compare`."""

    runs: str = opt("", "result folders, apart by commas; the others are compared with the first")


@dataclass
class ExTl:
    """All of ex_tl.py."""

    seeds: list[int] = opt([0, 1, 2], "a head is trained with each; scores are their mean and spread")
    out_dir: str = opt("exp_out/tl", "folder of the result folders")
    trainer: ProbeTrainer = section(ProbeTrainer)
    optimizer: ProbeOptimizer = section(ProbeOptimizer)
    model: ProbeModel = section(ProbeModel)
    data: ProbeData = section(ProbeData)
    sweep: Sweep = section(Sweep)
    few_label: FewLabel = section(FewLabel)
    finetune: FineTune = section(FineTune)
    compare: Compare = section(Compare)
