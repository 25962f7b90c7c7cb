"""Errors show what a file says as escapes, whoever prints them."""

import pytest
import torch

from models import errors, load_model
from models.weights.strict import difference


@pytest.mark.parametrize("name", [name for name in dir(errors) if name.endswith("Error")])
def test_control_characters_of_files_are_escapes(name):
    kind = getattr(errors, name)
    assert issubclass(kind, ValueError)
    text = str(kind("its line is '\x1b[2J\x00\u202e', wanted another"))
    assert text == "its line is '\\x1b[2J\\x00\\u202e', wanted another"


def test_names_in_a_state_dict_reach_nobody_raw(tmp_path):
    torch.save({"state_dict": {"a\x1b[31m": torch.zeros(1)}}, tmp_path / "x.pt")
    with pytest.raises(errors.WeightsError) as refused:
        load_model(tmp_path / "x.pt")
    assert str(refused.value).isprintable()


def test_eight_bits_are_no_precision_of_weights():
    own = torch.zeros(2)
    assert difference(torch.zeros(2, dtype=torch.float16), own) == ""
    assert "float8" in difference(torch.zeros(2).to(torch.float8_e4m3fn), own)
