"""Teacher-student from end to end on a small part of the demo music: the DIST head comes nearer to the teacher's labels than the CLS head."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

SMALL = {
    "datamodule.demo_tracks": 100, "maest.embed_dim": 64, "maest.depth": 2, "maest.init_std": 0.17, "trainer.accelerator": "cpu",
    "trainer.precision": "32", "trainer.max_epochs": 24, "trainer.check_val_every_n_epoch": 24, "module.optimizer.warm_up_len": 1,
    "module.optimizer.ramp_down_start": 12, "module.optimizer.ramp_down_len": 12,
}  # fmt: skip


@pytest.mark.slow
def test_a_student_s_dist_head_agrees_with_the_teacher_more_than_its_cls_head(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    handlers = logging.getLogger().handlers
    import ex_maest

    def run(command: str, named: str, **updates):
        return ex_maest.ex.run(command, config_updates={**SMALL, **updates}, named_configs=[named]).result

    try:
        teacher = run("main", "demo", **{"trainer.default_root_dir": "teacher"})
        run("extract_logits", "demo", **{"maest.checkpoint": "teacher/1/checkpoints/last.ckpt"})
        student = run("main", "demo_teacher_student", **{"trainer.default_root_dir": "student"})
        checkpoint = "student/1/checkpoints/last.ckpt"
        found = run("test", "demo_teacher_student", ckpt_path=checkpoint, **{"trainer.default_root_dir": "tests"})
        out = run(
            "extract_embeddings", "demo_teacher_student", **{"maest.checkpoint": checkpoint, "predict.transformer_block": [1]}
        )
    finally:
        logging.getLogger().handlers = handlers
    assert teacher["train_loss"] < 0.6
    heads = {f"val_{score}_{head}" for score in ("ap", "roc") for head in ("cls", "dist")}
    assert heads | {"val_ap", "train_loss_cls", "train_loss_dist", "val_teacher_loss_dist", "val_teacher_f1_cls"} <= set(student)
    assert json.loads(Path("tests/1/test.json").read_text())["test_track_roc_dist"] == pytest.approx(found["test_track_roc_dist"])
    assert found["test_teacher_loss_dist"] < found["test_teacher_loss_cls"]
    assert found["test_teacher_f1_dist"] > found["test_teacher_f1_cls"]
    from datasets.store.track_store import TrackStore

    store = TrackStore.open(out["1"])
    assert len(store) == 100
    assert store.item_shape == (3, 64)
