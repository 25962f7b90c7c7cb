"""What is made of figures: of the three kinds of two-core machine that were met, and of drawn ones."""

from hypothesis import given
from hypothesis import strategies as st

from helpers.runtime.choice import KEPT_TOKENS, MARGIN, NAMES, arithmetic_of, blocked_tokens, choose, onednn_wins
from helpers.runtime.probe import TOKENS, attention_kinds
from models.arithmetic import Arithmetic

KIND = "layer-768"
# GFLOP/s of a matrix product in float32 by torch's default way, in float32 by oneDNN, in bfloat16
MACHINES = {"A": (210, 450, 900), "B": (120, 118, 12), "C": (274, 269, 153), "B without oneDNN": (120, None, 12)}
WANTED = {"A": "bf16-mixed", "B": "32-true", "C": "32-true", "B without oneDNN": "32-true"}


def figures(rates, use="training"):
    ways = ("float32", "onednn", "bfloat16", "float16")
    return {f"{KIND}/{way}/{use}": 1 / rate for way, rate in zip(ways, rates) if rate is not None}


def test_the_machines_that_were_met():
    for name, rates in MACHINES.items():
        for use in ("training", "inference"):
            assert choose(figures(rates, use), KIND, use == "training").precision == WANTED[name], name


def test_onednn_where_it_alone_is_faster():
    assert choose(figures((210, 450, 300)), KIND, True).precision == "32-onednn"


def test_a_gain_within_the_scatter_is_none():
    assert choose(figures((100, 104, 104)), KIND, True).precision == "32-true"
    assert choose(figures((100, 150, 155)), KIND, True).precision == "32-onednn"


def test_a_gpu_takes_the_safer_of_two_equal_halves():
    assert choose(figures((50, None, 700, 710)), KIND, True).precision == "bf16-mixed"
    assert choose(figures((8, None, 4, 60)), KIND, True).precision == "16-mixed"  # bfloat16 emulated


def test_training_and_inference_and_kinds_are_told_apart():
    seconds = {**figures((100, 90, 200), "inference"), **figures((100, 90, 50), "training")}
    assert choose(seconds, KIND, training=False).precision == "bf16-mixed"
    assert choose(seconds, KIND, training=True).precision == "32-true"
    assert choose(seconds, "convolution", training=True).precision == "32-true"


def test_the_reason_names_the_figures():
    why = choose(figures(MACHINES["C"]), KIND, True).why
    assert all(part in why for part in ("training", KIND, "onednn 0.98x", "bfloat16 0.56x")), why


def test_figures_that_scatter_decide_nothing():
    seconds = figures(MACHINES["A"])
    found = choose(seconds, KIND, True, unsettled={KIND})
    assert found.precision == "32-true"
    assert KIND in found.why
    assert choose(seconds, KIND, True, unsettled={"convolution"}).precision == "bf16-mixed"


def test_float32_through_onednn_is_judged_apart_from_bfloat16():
    assert onednn_wins(figures(MACHINES["A"]), KIND, True)
    assert not onednn_wins(figures(MACHINES["C"]), KIND, True)
    assert not onednn_wins(figures(MACHINES["B without oneDNN"]), KIND, True)
    assert not onednn_wins(figures(MACHINES["A"]), KIND, False)
    assert not onednn_wins({}, KIND, True)


@given(st.lists(st.floats(1e-6, 1e3), min_size=3, max_size=3))
def test_the_choice_is_never_slower_than_the_best_by_more_than_two_margins(seconds):
    found = {f"{KIND}/{way}/training": s for way, s in zip(("float32", "onednn", "bfloat16"), seconds)}
    chosen = choose(found, KIND, True).precision
    way = next(way for way, name in NAMES.items() if name == chosen)
    assert found[f"{KIND}/{way}/training"] * MARGIN <= min(seconds) * (1 + 1e-9)


def attention(blocked, fused, precision="bf16-mixed", use="training"):
    kinds = attention_kinds(precision).values()
    ways = (("blocked", blocked), ("fused", fused))
    return {f"{kind}/{way}/{use}": s for way, seconds in ways for kind, s in zip(kinds, seconds)}


def test_attention_is_multiplied_out_as_long_as_that_pays():
    for blocked, fused, want in (
        ((1, 1, 1, 1), (2, 2, 2, 2), TOKENS[-1]),
        ((1, 1, 9, 9), (2, 2, 2, 2), TOKENS[1]),
        ((3, 3, 3, 3), (2, 2, 2, 2), 0),
        ((1.1, 4, 16, 60), (1, 8, 30, 110), TOKENS[-1]),  # a shortest one that scatters does not decide
    ):
        assert blocked_tokens(attention(blocked, fused, use="inference"), "bf16-mixed", training=False) == want
        assert blocked_tokens(attention(blocked, fused), "bf16-mixed", training=True) == min(
            want, KEPT_TOKENS
        )  # matrices that are kept
    assert blocked_tokens({}, "bf16-mixed", training=True) == 0


def test_ways_of_a_precision():
    seconds = {**attention((1, 1, 1, 1), (2, 2, 2, 2)), **attention((1, 1, 9, 9), (2, 2, 2, 2), use="inference")}
    assert arithmetic_of(seconds, "bf16-mixed") == Arithmetic(False, TOKENS[1], KEPT_TOKENS)
    assert arithmetic_of(seconds, "32-onednn") == Arithmetic(onednn=True)
    assert arithmetic_of(attention((1, 1, 1), (2, 2, 2), "32-onednn"), "32-true") == Arithmetic()
