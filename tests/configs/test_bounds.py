"""Every number of every config has an interval, and eight odd values of every key are taken only where they mean something."""

from __future__ import annotations

import dataclasses
import math
import types
from typing import Union, get_args, get_origin, get_type_hints

import pytest

from configs.options import Interval, interval_of, options
from helpers.experiments.config_source import nested
from helpers.utils.typed_config import check, shown
from models.errors import ConfigError
from tests.configs.test_options import EXPERIMENTS, SCHEMAS

ODD = (0, -1, math.nan, math.inf, 10**12, 1e12, "\x1b[2Jtext\0", [[]])
KEYS = [
    (script, key, field)
    for script, kind in SCHEMAS.items()
    for key, field, value in options(kind)
    if not dataclasses.is_dataclass(value)
]


def kinds(hint):
    parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType, list) else ()
    return set().union(*map(kinds, parts)) if parts else {hint}


def hints(kind):
    for name, hint in get_type_hints(kind).items():
        yield from ((f"{name}.{inner}", h) for inner, h in hints(hint)) if dataclasses.is_dataclass(hint) else [(name, hint)]


def test_every_number_has_an_interval():
    for script, kind in SCHEMAS.items():
        fields = {key: field for name, key, field in KEYS if name == script}
        for key, hint in hints(kind):
            metadata = fields[key].metadata
            assert not {int, float} & kinds(hint) or metadata["bounds"] or metadata["choices"], f"{script}: {key}"


def refusal(script, key, value):
    try:
        check(SCHEMAS[script], nested({key: value}))
    except ConfigError as error:
        return str(error)
    return None


@pytest.mark.parametrize("script", SCHEMAS)
def test_eight_odd_values_of_every_key(script):
    taken = 0
    for _, key, field in (one for one in KEYS if one[0] == script):
        for odd in ODD:
            said = refusal(script, key, odd)
            if said is not None:
                assert key in said
                assert said.count("\n") == 1  # the heading, and a line for the key
                assert said.replace("\n", "").isprintable()
                continue
            taken += 1
            assert (odd in (0, -1) and odd in field.metadata["interval"](odd)) or odd in (field.metadata["choices"] or ()), (
                f"{key}={odd!r}"
            )
    assert taken < len(KEYS)


@pytest.mark.parametrize("script", SCHEMAS)
def test_named_configs_and_defaults_lie_within(script):
    for named in EXPERIMENTS[script]._named_values.values():
        check(SCHEMAS[script], nested(named), extra=("seed",))
    check(SCHEMAS[script], {})


def test_intervals():
    half_open = Interval.read("(0, 1]")
    assert [x in half_open for x in (0, 1e-9, 1, 1.1, math.nan, math.inf)] == [False, True, True, False, False, False]
    assert half_open.words == "above 0, 1 or less"
    assert Interval.read("[1, 1]").words == "1"
    assert math.inf not in interval_of(None, math.inf)
    for text in ("0, 1", "[1, 0]", "[1, 2", "[nan, 1]"):
        with pytest.raises(ValueError, match="interval"):
            Interval.read(text)


def test_values_are_shown_short():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    assert "too large" in shown(deep)
    assert len(shown("x" * 10**6)) < 200
    assert "\x1b" not in shown("\x1b[2J")
