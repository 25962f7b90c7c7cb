from __future__ import annotations

import json

import numpy as np

from helpers.utils.json_values import plain


def test_plain_values_survive_json():
    value = {
        "a": np.float32(0.5),
        1: np.arange(3),
        "n": [float("nan"), np.inf, None],
        "t": (True, "x"),
        "p": {"q": np.bool_(True)},
    }
    assert json.loads(json.dumps(plain(value))) == {
        "a": 0.5,
        "1": [0, 1, 2],
        "n": [None, None, None],
        "t": [True, "x"],
        "p": {"q": True},
    }
