"""From config to network: an own checkpoint says its sizes and its classes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from configs import EX_MAEST
from datasets.groundtruth import Groundtruth
from helpers.families import get_family
from helpers.families.base import Purpose
from models import export_model, load_model
from models.errors import ConfigError, WeightsError
from models.finetune import fine_tuned
from models.maest import MAEST
from models.weights.task_head import head_of

FAMILY = get_family("maest")


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    torch.manual_seed(0)
    net = MAEST(input_t=312, n_classes=3, embed_dim=32, depth=2, num_heads=4, stride=(12, 8), labels=["a", "b", "c"]).eval()
    return net, str(export_model(net, tmp_path_factory.mktemp("own") / "net.safetensors"))


def config(path=None, **changes):
    """changes: section__key=value."""
    made = EX_MAEST.schema()
    for key, value in {"maest__checkpoint": path, **changes}.items():
        section, name = key.split("__")
        made = replace(made, **{section: replace(getattr(made, section), **{name: value})})
    return made


def test_sizes_and_window_come_from_the_file(own):
    net, path = own
    sized = FAMILY.like_checkpoint(config(path), path)
    assert sized.datamodule.clip_length == 5
    assert sized.predict.transformer_block == 1  # the last
    made = FAMILY.network(sized, None, 0)
    for name, tensor in net.state_dict().items():
        torch.testing.assert_close(made.state_dict()[name], tensor, rtol=0, atol=0)
    assert made.label_names == ["a", "b", "c"]


def test_the_head_of_a_fine_tuning_is_used_unless_it_is_discarded(own, tmp_path):
    net = load_model(own[1])
    tuned = fine_tuned(net, ["x", "y"], hidden=4)
    with torch.no_grad():
        tuned.task_head.layers[0].weight += 1
    path = str(export_model(tuned, tmp_path / "tuned.safetensors"))
    sized = FAMILY.like_checkpoint(config(path), path)
    assert FAMILY.in_use(sized, 0).label_names == ["x", "y"]
    bare = FAMILY.like_checkpoint(config(path, maest__checkpoint_discard_head=True), path)
    assert head_of(FAMILY.in_use(bare, 0)) is None


def test_a_window_that_was_chosen_stays(own):
    sized = FAMILY.like_checkpoint(config(own[1], datamodule__clip_length=3), own[1])
    assert (sized.datamodule.clip_length, sized.maest.input_t) == (3, None)


def test_sizes_that_contradict_the_file_are_refused(own):
    with pytest.raises(ConfigError, match=r"maest.depth is 2 in the file, 6 in the config.*Leave these"):
        FAMILY.like_checkpoint(config(own[1], maest__depth=6), own[1])


def test_an_average_without_averaging_is_refused():
    with pytest.raises(ConfigError, match="averages nothing without module.do_swa=True"):
        FAMILY.averaging(config(module__ema_decay=0.9, module__do_swa=False))


def test_a_teacher_that_is_not_there_is_said_before_work(tmp_path):
    def learning_from(where, do=True):
        made = config(datamodule__clip_length=1, maest__distilled_type="separated" if do else "mean")
        student = replace(made.datamodule.teacher_student, do=do, teacher_target_base_dir=str(where))
        return replace(made, datamodule=replace(made.datamodule, teacher_student=student))

    with pytest.raises(ConfigError, match=r"extract_logits.*nowhere is not there"):
        FAMILY.check(learning_from(tmp_path / "nowhere"), Purpose.TRAIN)
    FAMILY.check(learning_from(tmp_path / "nowhere", do=False), Purpose.TRAIN)
    FAMILY.check(learning_from(tmp_path), Purpose.TRAIN)


def test_files_that_say_nothing_change_nothing(tmp_path):
    path = str(tmp_path / "published.ckpt")
    torch.save({name: torch.zeros(1) for name in ("cls_token", "time_new_pos_embed", "freq_new_pos_embed")}, path)
    assert FAMILY.like_checkpoint(config(path), path) == config(path)
    assert FAMILY.like_checkpoint(config(), None) == config()


def test_another_familys_file_is_named(tmp_path):
    from models.clmr import SampleCNN

    path = str(export_model(SampleCNN(channels=[4] * 4, strides=[3] * 2, out_dim=None), tmp_path / "net.safetensors"))
    with pytest.raises(WeightsError, match="family clmr"):
        FAMILY.like_checkpoint(config(path), path)


def truth(*labels):
    rows = np.eye(len(labels), dtype=np.uint8)
    return Groundtruth.from_mapping({f"t{i}": row.tolist() for i, row in enumerate(rows)}, labels=list(labels))


def test_labels_in_another_order_are_put_in_the_checkpoints(own):
    found = FAMILY.match_classes(config(own[1]), None, truth("c", "a", "b"))
    assert found.labels == ["a", "b", "c"]
    np.testing.assert_array_equal(found.matrix(), [[0, 0, 1], [1, 0, 0], [0, 1, 0]])


def test_other_labels_are_refused_naming_up_to_five(own):
    with pytest.raises(ConfigError, match="trained on 3 classes, the groundtruth has 3; only one of the two has 'c', 'x'"):
        FAMILY.match_classes(config(own[1]), None, truth("a", "b", "x"))
    with pytest.raises(ConfigError, match="groundtruth has 9; only one of the two has 'q1', 'q2', 'q3', 'q4', 'q5' and 1 more"):
        FAMILY.match_classes(config(own[1]), None, truth("a", "b", "c", *(f"q{i}" for i in range(1, 7))))


def test_the_published_block_counts_from_0_and_minus_1_is_what_stands_behind_the_last():
    net = FAMILY.sketch(config(maest__depth=3))
    assert FAMILY.layers(config(predict__transformer_block=-1), net) == (-1,)
    assert FAMILY.layers(config(predict__transformer_block=[2, 0, 2]), net) == (2, 0)
    for wrong in (3, -2, [0, 7], []):
        with pytest.raises(ConfigError, match="transformer_block"):
            FAMILY.layers(config(predict__transformer_block=wrong), net)
