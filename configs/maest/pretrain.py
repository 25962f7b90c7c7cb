"""Named configs of ex_maest.py for pre-training: the experiments of the MAEST paper (arXiv 2309.16418).

The paper's scores on its own corpus (Discogs20, 3.3 M tracks) are not quoted: no stored copy of its tables could be read. Times are the model cards'
where they give one.
"""

from __future__ import annotations

from ..naming import Catalogue, Config, merged

MAEST = Catalogue()

PASST, DEIT = "passt_s_swa_p16_128_ap476", "passt_deit_bd_p16_384"
TINY: Config = {"embed_dim": 48, "depth": 2, "num_heads": 4, "pretrained": False}
SMOKE: Config = {
    "trainer": {"max_epochs": 1, "limit_train_batches": 2, "limit_val_batches": 2, "precision": "32", "accelerator": "cpu"},
    "maest": {**TINY, "n_classes": 400},
    "datamodule": {"batch_size_train": 4, "batch_size_test": 4, "demo_tracks": 40, "sampler": {"epoch_len": 16}},
}


def recipe(seconds: int, arch: str, pretrained: bool, columns: int) -> Config:
    """The paper's recipe is the schema's defaults; runs differ in length, start and patchout."""
    return {
        "maest": {"arch": arch, "pretrained": pretrained, "s_patchout_t": columns},
        "datamodule": {"clip_length": seconds},
        "trainer": {"max_epochs": 130},
    }


@MAEST.add(smoke=SMOKE)
def maest_10s_random_weights_pretrain() -> Config:
    """Section 4.2, impact of the initial weights: 10 s, from random weights.

    python ex_maest.py with maest_10s_random_weights_pretrain datamodule.base_dir=MELS datamodule.groundtruth_train=...
    """
    return recipe(10, PASST, False, 30)


@MAEST.add(smoke=SMOKE)
def maest_10s_from_deit_pretrain() -> Config:
    """Section 4.2, impact of the initial weights: 10 s, from DeiT (ImageNet). Released at 75 of 130 epochs. Needs DeiT's weights."""
    return recipe(10, DEIT, True, 30)


@MAEST.add("maest_discogs_10sec_pretrain", smoke=SMOKE)
def maest_10s_from_passt_pretrain() -> Config:
    """Sections 4.2 and 4.3: 10 s, from PaSST (AudioSet). Needs PaSST's weights."""
    return recipe(10, PASST, True, 30)


@MAEST.add("maest_discogs_5sec_pretrain", smoke=SMOKE)
def maest_5s_from_passt_pretrain() -> Config:
    """Section 4.3, impact of the input length: 5 s, from PaSST. 15 columns of patchout: the released config's 30 would drop every column."""
    return recipe(5, PASST, True, 15)


@MAEST.add("maest_discogs_20sec_pretrain", smoke=SMOKE)
def maest_20s_from_passt_pretrain() -> Config:
    """Section 4.3, impact of the input length: 20 s, from PaSST."""
    return recipe(20, PASST, True, 60)


@MAEST.add("maest_discogs_30sec_pretrain", smoke=SMOKE)
def maest_30s_from_passt_pretrain() -> Config:
    """Section 4.3, impact of the input length: 30 s, from PaSST; the paper's main model. 4 GPUs x batch 12."""
    return recipe(30, PASST, True, 90)


@MAEST.add("maest_30s_teacher_student_pretrain", smoke=SMOKE)
def maest_30s_from_passt_teacher_student_pretrain() -> Config:
    """Teacher-student, 30 s, from PaSST: separated heads learn the labels and a teacher's. 73 epochs, about 32 h on 4 RTX 2080 Ti (model card).

    First the teacher: python ex_maest.py extract_logits with maest_30s_from_passt_inference datamodule.base_dir=MELS
    then: python ex_maest.py with maest_30s_teacher_student_pretrain datamodule.teacher_student.teacher_target_base_dir=LOGITS
    """
    return merged(
        recipe(30, PASST, True, 90),
        {
            "maest": {"distilled_type": "separated"},
            "datamodule": {"batch_size_train": 4, "teacher_student": {"do": True}},
            "trainer": {"max_epochs": 73},
        },
    )


@MAEST.add()
def mini_train() -> Config:
    """Five training and five validation batches of whatever stands before it: a first look before days of training."""
    return {"trainer": {"max_epochs": 1, "limit_train_batches": 5, "limit_val_batches": 5, "log_every_n_steps": 1}}


@MAEST.add()
def as_described() -> Config:
    """The recipe as the paper and its configuration describe it: what the named pre-trainings have. Behind any of them: docs/training.md.

    Masks act; from epoch 50 on the rate goes down in a line; every fifth epoch's weights are averaged; validation on every window.
    """
    return {
        "module": {"swa_freq": 5, "swa_holds_rate": False},
        "datamodule": {"masking": {"do": True}, "val_crops": False},
    }


@MAEST.add()
def as_released() -> Config:
    """The recipe as the released code runs it, behind a pre-training: with maest_30s_from_passt_pretrain as_released.

    No masks; from epoch 50 on the rate stays at module.swa_lrs (2e-5) to the end, and each epoch's weights are averaged; validation on one random
    crop of each track, another one in each epoch.
    """
    return {
        "module": {"swa_freq": 1, "swa_holds_rate": True},
        "datamodule": {"masking": {"do": False}, "val_crops": True},
    }
