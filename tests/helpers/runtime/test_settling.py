"""Bursts put into shots of known seconds: what is chosen is right all the same, or it is said that nothing is settled. No clock is read."""

from itertools import count

import pytest

from helpers.runtime import settling
from helpers.runtime.choice import choose
from helpers.runtime.settling import SHARE, settle

KIND = "layer-768"
TRUE = {"float32": 0.05, "onednn": 0.051, "bfloat16": 0.09}  # s of a training's pass: bfloat16 is the slower one
USES = ("inference", "training")


class Machine:
    """Ways of known seconds. burst(way, shot, share): by what a shot is slower than it should be; shots are counted by way."""

    def __init__(self, true=TRUE, burst=lambda way, shot, share: 1.0):
        self.true, self.burst = true, burst
        self.counts, self.order = {way: count() for way in true}, []

    def shots(self, share):
        def shot(way):
            self.order.append((way, share))
            seconds = share * self.true[way] * self.burst(way, next(self.counts[way]), share)
            return seconds / 3, seconds

        return {way: (lambda way=way: shot(way)) for way in self.true}


def settled(machine):
    ticks = count()
    return settle({KIND: machine.shots}, lambda: 0.001 * next(ticks))


def chosen(machine):
    """What auto takes, in inference and in training."""
    least, unsettled = settled(machine)
    figures = {f"{KIND}/{way}/{use}": s for way, pair in least[KIND].items() for use, s in zip(USES, pair)}
    return {choose(figures, KIND, training, unsettled).precision for training in (False, True)}


def test_a_quiet_machine_is_settled_in_two_passes():
    machine = Machine()
    least, unsettled = settled(machine)
    assert not unsettled
    assert {way: pair[1] for way, pair in least[KIND].items()} == pytest.approx(TRUE)
    one_pass = [(way, share) for share in (SHARE, SHARE, 1.0, 1.0) for way in TRUE]  # the ways take turns
    assert machine.order == 2 * one_pass


@pytest.mark.parametrize("way", list(TRUE))
@pytest.mark.parametrize("hit", range(8))
def test_a_burst_on_any_one_shot_changes_nothing(way, hit):
    assert chosen(Machine(burst=lambda w, n, share: 8.0 if w == way and n == hit else 1.0)) == {"32-true"}


@pytest.mark.parametrize("way", list(TRUE))
@pytest.mark.parametrize("slower", [1.3, 2.5, 8.9])
@pytest.mark.parametrize("until", [1, 2, 3, 4, 5])
def test_a_way_that_is_slow_in_all_early_shots_is_measured_again(way, slower, until):
    machine = Machine(burst=lambda w, n, share: slower if w == way and n < until else 1.0)
    least, unsettled = settled(machine)
    assert not unsettled
    assert least[KIND][way][1] == pytest.approx(TRUE[way])
    assert chosen(Machine(burst=lambda w, n, share: slower if w == way and n < until else 1.0)) == {"32-true"}


def test_a_way_that_an_early_look_shows_hopeless_is_looked_at_again():
    """As it was met: the first looks at float32 took nine times as long, and bfloat16 was taken for good."""
    machine = Machine(burst=lambda w, n, share: 8.9 if w == "float32" and n < 2 else 1.0)
    assert chosen(machine) == {"32-true"}
    assert ("float32", 1.0) in machine.order


@pytest.mark.parametrize(
    ("slow", "want"), [("float32", "32-onednn"), ("onednn", "32-true"), ("bfloat16", "32-true"), (None, "bf16-mixed")]
)
def test_what_is_always_slow_is_slow(slow, want):
    true = {**TRUE, slow: 8 * TRUE[slow]} if slow else {**TRUE, "bfloat16": 0.012}
    machine = Machine(true)
    assert chosen(machine) == {want}
    if slow:
        assert (slow, 1.0) not in machine.order  # its full work is never waited for
        assert sum(way == slow for way, _ in machine.order) == 3 * settling.LOOKS  # implausible: three passes must say so


def test_scatter_without_end_settles_nothing_and_ends():
    steps = {}

    def burst(way, n, share):
        return steps.setdefault((way, n), 2.0 ** (20 - n))  # each shot half of the one before

    machine = Machine(burst=burst)
    least, unsettled = settled(machine)
    assert unsettled == {KIND}
    assert chosen(Machine(burst=burst)) == {"32-true"}
    assert sum(share == 1.0 for _, share in machine.order) <= settling.PASSES * settling.ROUNDS[1] * len(TRUE)
    assert set(least[KIND]) == set(TRUE)


def test_time_is_bounded():
    machine = Machine(burst=lambda way, n, share: 2.0 ** (20 - n))
    hours = count(step=3600)
    _, unsettled = settle({KIND: machine.shots}, lambda: next(hours))
    assert unsettled == {KIND}
    assert sum(way == "float32" and share == SHARE for way, share in machine.order) == 2 * settling.LOOKS


def test_scatter_far_from_the_fastest_decides_nothing():
    """A way of twice the seconds may scatter by a fifth: it stays the slower one."""
    wave = [1.0, 1.2]
    machine = Machine({"float32": 0.05, "bfloat16": 0.11}, lambda way, n, share: wave[n // 4 % 2] if way == "bfloat16" else 1.0)
    assert not settled(machine)[1]


def test_passes_of_several_kinds_take_turns():
    first, second, third = Machine(), Machine(burst=lambda w, n, share: 8.0 if n < 4 else 1.0), Machine({"int8": 1.0})
    seen = []

    def noted(name, machine):
        def shots(share):
            seen.append(name)
            return machine.shots(share)

        return shots

    least, unsettled = settle({name: noted(name, m) for name, m in (("a", first), ("b", second), ("c", third))}, lambda: 0.0)
    assert not unsettled
    assert "".join(dict.fromkeys(seen)) == "abc"
    assert "".join(seen) == "aabbcc" * 2 + "bb"  # each pass makes its tensors anew: for the look, for the work
    assert set(least) == {"a", "b", "c"}


def test_a_way_that_torch_has_not_is_left_out():
    def shots(share):
        def absent():
            raise NotImplementedError("no such kernel")

        return {"float32": lambda: (0.1 * share, 0.3 * share), "bfloat16": absent}

    least, unsettled = settle({KIND: shots, "none": lambda share: {"bfloat16": shots(share)["bfloat16"]}}, lambda: 0.0)
    assert least[KIND] == {"float32": pytest.approx((0.1, 0.3))}
    assert least["none"] == {}
    assert not unsettled
