"""From measured seconds to a way of computing: pure functions of figures (probe.py), the same wherever they were measured."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from models.arithmetic import Arithmetic

from .probe import attention_kinds

KEPT_TOKENS = 896  # in training: matrices of more pairs are not kept for the backward pass, whatever is faster (68 MB a block for a clip of 30 s)
MARGIN = 0.95  # share of the exact way's seconds that another way must need at most: what less gains is within the figures' own scatter
NAMES = {"float32": "32-true", "onednn": "32-onednn", "bfloat16": "bf16-mixed", "float16": "16-mixed"}
# Each must win against those before it. Of two halves bfloat16 is the safer one: its range is float32's.
ORDER = ("float32", "onednn", "bfloat16", "float16")


@dataclass(frozen=True)
class Choice:
    """A precision's name (devices.PRECISIONS), and the figures that speak for it, as a phrase."""

    precision: str
    why: str


def choose(figures: Mapping[str, float], kind: str, training: bool, unsettled: Collection[str] = ()) -> Choice:
    """Return the fastest way to compute networks whose time goes into `kind`; float32 by torch's default way where nothing else wins by a margin.

    Args:
        figures: "kind/way/use" -> seconds.
        kind: of probe.measure.
        training: forward and backward passes, else forward passes alone.
        unsettled: kinds whose figures scattered too much; they decide nothing.
    """
    use = "training" if training else "inference"
    if kind in unsettled:
        return Choice("32-true", f"the figures of {kind} scatter too much to decide anything")
    seconds = {way: figures[f"{kind}/{way}/{use}"] for way in ORDER if f"{kind}/{way}/{use}" in figures}
    if not seconds:
        return Choice("32-true", f"there are no figures of {kind} here")
    best = next(iter(seconds))
    for way, found in seconds.items():
        if found < MARGIN * seconds[best]:
            best = way
    reference = seconds.get("float32", seconds[best])
    said = ", ".join(f"{way} {reference / found:.2f}x" for way, found in seconds.items())
    return Choice(NAMES[best], f"measured in {use} at {kind}: {said}")


def onednn_wins(figures: Mapping[str, float], kind: str, training: bool) -> bool:
    """Return whether float32 is faster through oneDNN than by torch's default way, by a margin, whatever other precisions take; False if unknown."""
    seconds = [figures.get(f"{kind}/{way}/{'training' if training else 'inference'}") for way in ("onednn", "float32")]
    return None not in seconds and seconds[0] < MARGIN * seconds[1]  # type: ignore[operator]


def blocked_tokens(figures: Mapping[str, float], precision: str, training: bool) -> int:
    """Return up to how many tokens attention is faster multiplied out in blocks than by torch's fused kernel; 0: never.

    All measured lengths up to that one count together. Beyond the longest of them, in training beyond KEPT_TOKENS, the fused kernel is taken,
    which keeps no matrix of all pairs of tokens.
    """
    use = "training" if training else "inference"
    found, sums = 0, {"blocked": 0.0, "fused": 0.0}
    for tokens, kind in attention_kinds(precision).items():
        if training and tokens > KEPT_TOKENS:
            break
        seconds = {way: figures.get(f"{kind}/{way}/{use}") for way in sums}
        for way, s in seconds.items():
            sums[way] += s or 0.0
        if None not in seconds.values() and sums["blocked"] < MARGIN * sums["fused"]:
            found = tokens
    return found


def arithmetic_of(figures: Mapping[str, float], precision: str) -> Arithmetic:
    """Return how a processor computes in a precision. "32-true" is torch's own way in every respect: nothing measured changes its numbers."""
    if precision == "32-true":
        return Arithmetic()
    return Arithmetic(
        onednn=precision == "32-onednn",
        blocked_inference=blocked_tokens(figures, precision, training=False),
        blocked_training=blocked_tokens(figures, precision, training=True),
    )
