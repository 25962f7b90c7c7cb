"""Typed configuration that the scripts over families of models share: every key with its default, unit, meaning and what depends on it. Data only.

Sections and key names are those of the published MAEST suite. Defaults are the recipe's of the MAEST paper (arXiv 2309.16418, section 3) unless a
key's text says otherwise; other families' named configs and sections have their own. Sacred gets these as dicts; helpers/experiments checks every key
and type before a run starts.
"""

from __future__ import annotations

from dataclasses import dataclass

from .options import BATCH, COUNT, FROM_0, RATE, SEED, SHARE, opt, section
from .schema_commands import Check, Export, Predict, Report


@dataclass
class Trainer:
    """How long training goes on, on which devices, and where it writes to."""

    max_epochs: int = opt(130, "number of epochs to train", affects="duration", bounds=COUNT)
    accelerator: str = opt("auto", "device: auto, cpu or gpu; a gpu that is asked for must be there", affects="numerics")
    devices: int | str = opt(
        1, "processes on each machine, one device each, or auto: all GPUs", affects="numerics", bounds="[1, 4096]"
    )
    num_nodes: int = opt(1, "number of machines", affects="numerics", bounds="[1, 100000]")
    strategy: str = opt(
        "auto",
        "how several processes train together: auto (ddp that tolerates unused parameters), ddp, ddp_find_unused_parameters_true or _false",
        affects="numerics",
    )
    precision: str | int = opt(
        "auto",
        "precision of training and inference: 32, 32-onednn (32 whose products go through oneDNN), bf16-mixed, 16-mixed, or auto: what is fastest "
        "on this machine, as measured (the command `machine` shows it); a run that is continued keeps what it began with",
        affects="numerics",
        bounds="[16, 64]",
    )
    gradient_checkpointing: bool = opt(
        False,
        "keep each block's input alone in training and compute what is inside again for the gradients: a third more operations, far less memory "
        "(MAEST, music2vec)",
        affects="nothing",
    )
    sync_batchnorm: bool = opt(True, "compute batch normalisation's statistics over all processes", affects="course")
    gradient_clip_val: float | None = opt(
        None,
        "largest norm of the gradient, to which longer ones are clipped; none: not clipped",
        affects="training",
        bounds="(0, 1e9]",
    )
    accumulate_grad_batches: int = opt(
        1, "batches whose gradients are summed for one optimiser step", affects="training", bounds=COUNT
    )
    limit_train_batches: int | float | None = opt(
        None,
        "number of batches in a training epoch, or as 0.25 a share of them; none: all",
        affects="training",
        bounds={int: COUNT, float: "(0, 1]"},
    )
    limit_val_batches: int | float | None = opt(
        None,
        "number of batches in a validation, or as 0.25 a share of them; none: all; 0: no validation",
        affects="course",
        bounds={int: FROM_0, float: "[0, 1]"},
    )
    num_sanity_val_steps: int = opt(
        0, "validation batches that are tried before training begins", affects="nothing", bounds=FROM_0
    )
    log_every_n_steps: int = opt(50, "optimiser steps between two logged training losses", affects="nothing", bounds=COUNT)
    check_val_every_n_epoch: int = opt(1, "epochs between two validations", affects="course", bounds=COUNT)
    reload_dataloaders_every_n_epochs: int = opt(
        1, "epochs after which the data loaders are made anew; 0: never", affects="course", bounds=FROM_0
    )
    save_every_n_steps: int | None = opt(
        None, "optimiser steps between two checkpoints within an epoch; none: by time alone", affects="nothing", bounds=COUNT
    )
    save_every_minutes: float | None = opt(
        15.0, "minutes between two checkpoints within an epoch; none: not by time", affects="nothing", bounds="(0, 1e6]"
    )
    keep_checkpoints: int = opt(
        1,
        "number of newest checkpoints that are kept: last.ckpt, and before it step-N.ckpt; best.ckpt is kept anyway",
        affects="nothing",
        bounds="[1, 1000]",
    )
    early_stopping: int | None = opt(
        None,
        "validations without a better val_loss after which training ends; none: it goes on to max_epochs",
        affects="training",
        bounds=COUNT,
    )
    default_root_dir: str = opt("exp_logs", "folder in which every run gets a numbered folder", affects="nothing")


@dataclass
class Optimizer:
    """Optimiser and learning rate."""

    name: str = opt(
        "auto",
        "optimiser: auto is AdamW, or Adam where adamw is false; sgd has Nesterov's momentum; lars is for large batches",
        ("auto", "adamw", "adam", "sgd", "lars"),
        affects="training",
    )
    lr: float | None = opt(
        2e-5,
        "learning rate that the schedule multiplies; none: 0.3 x clips per step over all devices / 256, LARS's rule",
        affects="training",
        bounds=RATE,
    )
    adamw: bool = opt(True, "optimise by AdamW; false: by Adam (of name auto)", affects="training")
    weight_decay: float = opt(
        1e-4,
        "weight decay: decoupled in AdamW, L2 in Adam and SGD; LARS leaves biases and norms out",
        affects="training",
        bounds="[0, 1000]",
    )
    momentum: float = opt(0.9, "momentum of sgd and lars", affects="training", bounds="[0, 1)")
    schedule_mode: str = opt(
        "exp_lin",
        "course of the learning rate: exp_lin is an exponential warm-up, flat, then linear down; cos_cyc are cosine cycles; constant; "
        "cosine goes to 0 over max_epochs, per epoch; plateau goes down when val_loss does not",
        ("exp_lin", "cos_cyc", "constant", "cosine", "plateau"),
        affects="training",
    )
    warm_up_len: int = opt(5, "epochs of warm-up of exp_lin (of cos_cyc: length of a cycle)", affects="training", bounds=FROM_0)
    ramp_down_start: int = opt(
        50, "first epoch in which the learning rate of exp_lin or cos_cyc goes down", affects="training", bounds=FROM_0
    )
    ramp_down_len: int = opt(
        50, "number of epochs in which the learning rate of exp_lin goes down", affects="training", bounds=FROM_0
    )
    last_lr_value: float = opt(
        0.01, "learning rate of exp_lin and cos_cyc after that, as a share of lr", affects="training", bounds=SHARE
    )
    plateau_factor: float = opt(0.2, "factor of the learning rate at each plateau", affects="training", bounds="(0, 1)")
    plateau_patience: int = opt(5, "validations without a better val_loss that make a plateau", affects="training", bounds=FROM_0)


@dataclass
class Module:
    """Training of the network."""

    do_swa: bool = opt(True, "keep averaged weights beside the trained ones, validate and save both", affects="training")
    swa_epoch_start: int = opt(50, "first epoch whose weights are averaged", affects="training", bounds=FROM_0)
    swa_lrs: float | None = opt(
        2e-5,
        "learning rate while averaging, in place of lr (the schedule still multiplies it): set it with lr; none: lr stays",
        affects="training",
        bounds=RATE,
    )
    swa_holds_rate: bool = opt(
        False, "while averaging the learning rate is swa_lrs to the end: the schedule stands still", affects="training"
    )
    swa_freq: int = opt(5, "epochs between two weights that are averaged", affects="training", bounds=COUNT)
    ema_decay: float | None = opt(
        None, "decay of an exponential moving average per step, in place of SWA; none: SWA", affects="training", bounds="[0, 1)"
    )
    optimizer: Optimizer = section(Optimizer)


@dataclass
class Dataset:
    """What the stored tracks are, and how they are cut."""

    half_overlapped_inference: bool = opt(
        False, "let windows of validation, test and extraction overlap by half", affects="network"
    )


@dataclass
class Sampler:
    """How the tracks of an epoch are drawn."""

    sampler_replace: bool = opt(
        False, "draw tracks with replacement: an epoch may then have more than there are", affects="training"
    )
    epoch_len: int | None = opt(
        None, "number of tracks in an epoch; none: every track once", affects="training", bounds="[1, 1e9]"
    )


@dataclass
class DataModule:
    """Tracks and labels."""

    audio_dir: str | None = opt(
        None, "folder of audio files of any format, rate and channels, which are prepared into base_dir first", affects="inputs"
    )
    base_dir: str | None = opt(
        None,
        "store of mels or waveforms, as the network reads; or a folder of such, or of .mmap files; none: the demo data",
        affects="inputs",
    )
    base_dir_val: str | None = opt(None, "store for validation and test; none: base_dir", affects="inputs")
    groundtruth: str | None = opt(
        None, "label file of all tracks, split by its split column, else 80/10/10 by split_seed", affects="inputs"
    )
    split_seed: int = opt(
        0, "seed of that 80/10/10 split; the same in ex_tl.py, so that test tracks stay unseen", affects="inputs", bounds=SEED
    )
    val_share: float = opt(
        0.1,
        "share of the tracks that validates, by a hash of the name, where training needs no labels and none are named",
        affects="network",
        bounds="(0, 1)",
    )
    groundtruth_train: str | None = opt(None, "label file of the training tracks", affects="inputs")
    groundtruth_val: str | None = opt(None, "label file of the validation tracks", affects="inputs")
    groundtruth_test: str | None = opt(None, "label file of the test tracks", affects="inputs")
    groundtruth_predict: str | None = opt(None, "file that names the tracks to extract; none: all of the store", affects="inputs")
    label_column: str | None = opt(None, "column of a table that holds the labels; none: found by its name", affects="inputs")
    label_separator: str | None = opt(
        None,
        "what parts the labels in a table's cell, '' where each is one label; none: |, and ; or , only where they cannot be part of a label",
        affects="inputs",
    )
    group_column: str | None = opt(
        None,
        "column whose equal values a split keeps together; none: group, artist or album where there is one",
        affects="network",
    )
    batch_size_train: int = opt(12, "clips that each process takes in a training step", affects="course", bounds=BATCH)
    batch_size_test: int = opt(
        20, "windows that each process takes at once in validation, test and extraction", affects="numerics", bounds=BATCH
    )
    num_workers: int = opt(
        0,
        "number of loading processes; 0 is fastest for stores in the page cache (published: 16)",
        affects="nothing",
        bounds="[0, 1024]",
    )
    demo_tracks: int | None = opt(
        None,
        "number of tracks of the demo data, where no other data are named; none: the whole of it",
        affects="inputs",
        bounds="[6, 1e6]",
    )
    tail: str = opt(
        "pad",
        "end of a track in inference: pad the last window, shift it back to end with the track, or drop it",
        ("pad", "shift", "drop"),
        affects="network",
    )
    sampler: Sampler = section(Sampler)


@dataclass
class Run:
    """What every script over families has; a family adds its own sections."""

    ckpt_path: str | None = opt(
        None,
        "training checkpoint that main and report continue, or last: that of this config's newest run; for test: the one to test",
        affects="checkpoint",
    )
    trainer: Trainer = section(Trainer)
    module: Module = section(Module)
    dataset: Dataset = section(Dataset)
    datamodule: DataModule = section(DataModule)
    predict: Predict = section(Predict)
    report: Report = section(Report)
    export: Export = section(Export)
    check: Check = section(Check)
