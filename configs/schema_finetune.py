"""Schema of the command `finetune` of ex_tl.py."""

from __future__ import annotations

from dataclasses import dataclass

from .options import BATCH, COUNT, FROM_0, RATE, opt


@dataclass
class FineTune:
    """The command `finetune`: the encoder itself learns; head (model), labels, seeds and aggregation are the probe's."""

    model: str | None = opt(
        None, "network to train on: a registered model, or a weight file or folder of any family", affects="finetune"
    )
    store: str | None = opt(
        None,
        "store that its windows are cut from, which datasets.prepare (or pre-training) made of the audio",
        affects="finetune",
    )
    layer: int = opt(-1, "block that the head sees, 0-based, negatives from the end", affects="finetune", bounds="[-1000, 1000]")
    blocks: int | None = opt(
        None,
        "number of blocks up to that one which learn; none: the whole encoder; 0: the head alone",
        affects="finetune",
        bounds="[0, 1000]",
    )
    layer_decay: float = opt(
        0.75, "factor of the learning rate from each block to the one before; 1: all alike", affects="finetune", bounds="(0, 1]"
    )
    lr: float = opt(5e-5, "learning rate of the deepest block", affects="finetune", bounds=RATE)
    head_lr: float = opt(1e-3, "learning rate of the head", affects="finetune", bounds=RATE)
    weight_decay: float = opt(0.01, "weight decay of AdamW", affects="finetune", bounds="[0, 1000]")
    max_epochs: int = opt(
        20, "number of epochs, each of which hears one random window of every track", affects="finetune", bounds=COUNT
    )
    warmup_epochs: int = opt(
        2,
        "number of epochs of warm-up, after which the learning rate goes linearly down to 1 %",
        affects="finetune",
        bounds=FROM_0,
    )
    batch_size: int = opt(8, "number of windows in a step", affects="finetune", bounds=BATCH)
    batch_size_test: int = opt(20, "number of windows at once in validation and test", affects="finetune", bounds=BATCH)
    accelerator: str = opt("auto", "device: auto, cpu or gpu; a gpu that is asked for must be there", affects="finetune")
    precision: str | int = opt(
        "auto",
        "precision of fine-tuning: 32, bf16-mixed, 16-mixed, or auto (bf16-mixed on a gpu or cpu that is fast at it, "
        "16-mixed on another gpu, else 32)",
        affects="finetune",
        bounds="[16, 64]",
    )
    gradient_checkpointing: bool = opt(
        False,
        "compute again what the way back needs in place of keeping it, where the family offers that: less memory, slower",
        affects="finetune",
    )
