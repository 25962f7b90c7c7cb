"""From config to network: an own checkpoint says its sizes."""

from __future__ import annotations

import copy

import pytest
import torch

from configs.options import defaults
from configs.schema import ExMaest
from helpers.families.maest import build_averaging, build_network, check_teacher, sized_by_checkpoint
from models import export_model
from models.errors import ConfigError, WeightsError
from models.maest import MAEST


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    torch.manual_seed(0)
    net = MAEST(input_t=312, n_classes=3, embed_dim=32, depth=2, num_heads=4, stride=(12, 8), labels=["a", "b", "c"]).eval()
    return net, str(export_model(net, tmp_path_factory.mktemp("own") / "net.safetensors"))


def config(path, **changes):
    made = copy.deepcopy(defaults(ExMaest))
    made["maest"]["checkpoint"] = path
    for key, value in changes.items():
        section, name = key.split("__")
        made[section][name] = value
    return made


def test_sizes_and_window_come_from_the_file(own):
    net, path = own
    sized = sized_by_checkpoint(config(path), defaults(ExMaest))
    assert sized["datamodule"]["clip_length"] == 5
    assert sized["predict"]["transformer_block"] == 1  # the last
    made = build_network(sized["maest"], sized["datamodule"], None, 0)
    for name, tensor in net.state_dict().items():
        torch.testing.assert_close(made.state_dict()[name], tensor, rtol=0, atol=0)
    assert made.label_names == ["a", "b", "c"]


def test_a_window_that_was_chosen_stays(own):
    sized = sized_by_checkpoint(config(own[1], datamodule__clip_length=3), defaults(ExMaest))
    assert (sized["datamodule"]["clip_length"], sized["maest"]["input_t"]) == (3, None)


def test_sizes_that_contradict_the_file_are_refused(own):
    with pytest.raises(ConfigError, match=r"maest.depth is 2 in the file, 6 in the config.*Leave these"):
        sized_by_checkpoint(config(own[1], maest__depth=6), defaults(ExMaest))


def test_an_average_without_averaging_is_refused():
    module = {**defaults(ExMaest)["module"], "ema_decay": 0.9, "do_swa": False}
    with pytest.raises(ConfigError, match="averages nothing without module.do_swa=True"):
        build_averaging(module)


def test_a_teacher_that_is_not_there_is_said_before_work(tmp_path):
    student = {"do": True, "teacher_target_base_dir": str(tmp_path / "nowhere")}
    with pytest.raises(ConfigError, match=r"extract_logits.*nowhere is not there"):
        check_teacher(student)
    check_teacher({**student, "do": False})
    check_teacher({**student, "teacher_target_base_dir": str(tmp_path)})


def test_other_files_change_nothing(tmp_path):
    torch.save({"cls_token": torch.zeros(1)}, tmp_path / "published.ckpt")
    given = config(str(tmp_path / "published.ckpt"))
    assert sized_by_checkpoint(given, defaults(ExMaest)) == given
    assert sized_by_checkpoint(config(None), defaults(ExMaest)) == config(None)


def test_another_familys_file_is_named(tmp_path):
    from models.clmr import SampleCNN

    path = export_model(SampleCNN(channels=[4] * 4, strides=[3] * 2, out_dim=None), tmp_path / "net.safetensors")
    with pytest.raises(WeightsError, match="family clmr"):
        sized_by_checkpoint(config(str(path)), defaults(ExMaest))
