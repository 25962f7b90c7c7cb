"""Named configs of ex_maest.py for extraction with the published models. Block 7 unless said otherwise.

The data sets to extract from are in targets.py. The published README calls block index 6 "the 7th layer"; its configs, and these, use index 7.
"""

from __future__ import annotations

from ..naming import INFERENCE, Config
from .pretrain import MAEST, SMOKE

SMALL: Config = {
    "maest": SMOKE["maest"],
    "trainer": {"accelerator": "cpu", "precision": "32"},
    "datamodule": {"demo_tracks": 40, "batch_size_test": 8},
    "predict": {"transformer_block": 1},
}


def published(arch: str, seconds: int, n_classes: int = 400) -> Config:
    return {
        "maest": {"arch": f"discogs-maest-{arch}", "pretrained": True, "n_classes": n_classes},
        "datamodule": {"clip_length": seconds},
        "predict": {"transformer_block": 7},
    }


@MAEST.add("maest_10s_random_weights_infer", smoke=SMALL, group=INFERENCE)
def maest_10s_random_weights_inference() -> Config:
    """discogs-maest-10s-fs-129e: 10 s, trained from random weights (section 4.2).

    python ex_maest.py extract_embeddings with maest_10s_random_weights_inference predict.transformer_block=11
    """
    return published("10s-fs-129e", 10)


@MAEST.add("maest_10s_from_deit_infer", smoke=SMALL, group=INFERENCE)
def maest_10s_from_deit_inference() -> Config:
    """discogs-maest-10s-dw-75e: 10 s, trained from DeiT (section 4.2)."""
    return published("10s-dw-75e", 10)


@MAEST.add("maest_10s_from_passt_infer", smoke=SMALL, group=INFERENCE)
def maest_10s_from_passt_inference() -> Config:
    """discogs-maest-10s-pw-129e: 10 s, trained from PaSST (sections 4.2, 4.3)."""
    return published("10s-pw-129e", 10)


@MAEST.add("maest_5s_from_passt_infer", smoke=SMALL, group=INFERENCE)
def maest_5s_from_passt_inference() -> Config:
    """discogs-maest-5s-pw-129e: 5 s, trained from PaSST (section 4.3)."""
    return published("5s-pw-129e", 5)


@MAEST.add("maest_20s_from_passt_infer", smoke=SMALL, group=INFERENCE)
def maest_20s_from_passt_inference() -> Config:
    """discogs-maest-20s-pw-129e: 20 s, trained from PaSST (section 4.3)."""
    return published("20s-pw-129e", 20)


@MAEST.add("maest_30s_from_passt_infer", smoke=SMALL, group=INFERENCE)
def maest_30s_from_passt_inference() -> Config:
    """discogs-maest-30s-pw-129e: 30 s, trained from PaSST (section 4.3); the paper's main model.

    python ex_maest.py extract_embeddings with maest_30s_from_passt_inference target_mtt
    """
    return published("30s-pw-129e", 30)


@MAEST.add("maest_30s_from_passt_teacher_student_infer", "maest_30s_teacher_student_inference", smoke=SMALL, group=INFERENCE)
def maest_30s_from_passt_teacher_student_inference() -> Config:
    """discogs-maest-30s-pw-73e-ts: 30 s, teacher-student."""
    return published("30s-pw-73e-ts", 30)


@MAEST.add(
    "maest_30s_519l", "maest_30s_519l_infer", smoke={**SMALL, "maest": {**SMALL["maest"], "n_classes": 519}}, group=INFERENCE
)
def maest_30s_519l_inference() -> Config:
    """discogs-maest-30s-pw-129e-519l: 30 s, 519 styles."""
    return published("30s-pw-129e-519l", 30, 519)
