"""Learning-rate schedules, as plain functions of an epoch or of an update (both counted from 0).

`exp_warmup_linear_down` and `cosine_cycle` return a function of the epoch that gives a MULTIPLIER of the learning rate;
`warmup_cosine` and `tri_stage` give the RATE ITSELF at one update (divide by `peak` for a multiplier, as `as_multiplier` does).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from models.errors import ConfigError

Schedule = Callable[[int], float]


def exp_warmup_linear_down(warmup: int, rampdown: int, start: int, last: float) -> Schedule:
    """Exponential warm-up, a plateau at 1, then a straight line down: the multiplier of MAEST's pre-training and of its probe.

    up(e) = exp(-5 (1 - max(e, 0.5) / warmup)^2) before epoch `warmup`, then 1; down(e) = 1 until epoch `start`, then linear to
    `last` over `rampdown` epochs, then `last`. The multiplier is up * down (PaSST, arXiv 2110.05069; MAEST: warmup 5, rampdown
    50, start 50, last 0.01).

    Raises ValueError for a negative length or start, or a `last` outside 0..1.
    """
    if warmup < 0 or rampdown < 0 or start < 0:
        raise ConfigError(f"warmup, rampdown and start are epochs from 0 on; got {warmup}, {rampdown} and {start}.")
    _check_share("last", last)

    def multiplier(epoch: float) -> float:
        up = math.exp(-5.0 * (1.0 - max(epoch, 0.5) / warmup) ** 2) if epoch < warmup else 1.0
        if epoch <= start:
            down = 1.0
        elif epoch >= start + rampdown:
            down = last
        else:
            down = last + (1.0 - last) * (rampdown - epoch + start) / rampdown
        return up * down

    return multiplier


def cosine_cycle(cycle_len: int, ramp_down_start: int, last: float) -> Schedule:
    """Cosine cycles of `cycle_len` epochs between 1 and `last`, and only `last` behind `ramp_down_start` ("cos_cyc").

    With c = cycle_len the last cycling epoch is r = c + ((ramp_down_start - 1) // c) c; until then the multiplier is
    last + (1 - last) (cos(2 pi (e + c // 2) / c) + 1) / 2: it starts low and peaks in the middle of each cycle.

    Raises ValueError for a cycle shorter than one epoch, a start before 1, or a `last` outside 0..1.
    """
    if cycle_len < 1 or ramp_down_start < 1:
        raise ConfigError(f"cycle_len and ramp_down_start must be 1 or more epochs; got {cycle_len} and {ramp_down_start}.")
    _check_share("last", last)
    end = cycle_len + ((ramp_down_start - 1) // cycle_len) * cycle_len

    def multiplier(epoch: float) -> float:
        if epoch > end:
            return last
        return last + (1.0 - last) * (math.cos(2.0 * math.pi * (epoch + cycle_len // 2) / cycle_len) + 1.0) / 2.0

    return multiplier


def cosine_down(total: int) -> Schedule:
    """Half a cosine from 1 at 0 to 0 at `total` epochs (or updates), then 0. Raises ValueError for less than one."""
    if total < 1:
        raise ConfigError(f"A way down of {total} is impossible: it takes 1 or more.")
    return lambda at: (1.0 + math.cos(math.pi * min(at / total, 1.0))) / 2.0


def warmup_cosine(step: int, warmup: int, total: int, peak: float, floor: float) -> float:
    """Rate at update `step`: a line up to `peak` over `warmup` updates, half a cosine down to `floor` at `total`, then `floor`.

    Update i < warmup runs at peak (i + 1) / warmup (OMAR-RQ: warmup 30 000, total 400 000, peak 1e-4, floor 1e-7; and the
    probes).

    Raises ValueError when `total` leaves no update behind the warm-up.
    """
    if warmup < 0 or total <= warmup:
        raise ConfigError(f"A schedule of {total} updates leaves none behind a warm-up of {warmup}: raise total or lower warmup.")
    if step < warmup:
        return peak * (step + 1) / warmup
    share = min((step - warmup) / (total - warmup), 1.0)
    return floor + (peak - floor) * (1.0 + math.cos(math.pi * share)) / 2.0


def tri_stage(
    step: int,
    peak: float,
    total: int,
    stages: tuple[float, float, float] = (0.03, 0.9, 0.07),
    start_share: float = 0.01,
    last_share: float = 0.01,
) -> float:
    """Rate at update `step`: linear warm-up from start_share * peak, hold at `peak`, exponential decay to last_share * peak.

    `stages` (fairseq's tri-stage) are the three shares of `total` updates (data2vec and music2vec: 3 %, 90 %, 7 % of 400 000,
    peak 5e-4). Beyond `total` the rate stays at its last value.

    Raises ValueError for stages that do not sum to 1, or shares outside 0..1 (last_share must be above 0: it is an exponent's
    end).
    """
    if total < 1 or min(stages) < 0 or abs(sum(stages) - 1.0) > 1e-6:
        raise ConfigError(f"The three stages are shares of at least one update and sum to 1; got {stages} of {total}.")
    _check_share("start_share", start_share)
    _check_share("last_share", last_share)
    if last_share == 0:
        raise ConfigError("last_share must be above 0: an exponential decay never reaches 0.")
    # whole updates, and what rounding leaves over belongs to the last stage
    up, hold = (int(share * total + 1e-9) for share in stages[:2])
    if step < up:
        return peak * (start_share + (1.0 - start_share) * step / up)
    if step <= up + hold:
        return peak
    down = max(int(stages[2] * total + 1e-9), 1)
    return peak * last_share ** min((step - up - hold) / down, 1.0)


def as_multiplier(rate: Callable[..., float], peak: float, **settings: float) -> Schedule:
    """`rate` (warmup_cosine or tri_stage, with its further `settings`) as a multiplier of `peak` per update."""
    rate(0, peak=peak, **settings)  # wrong settings are refused here, not at the first update
    return lambda step: rate(step, peak=peak, **settings) / peak


def _check_share(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ConfigError(f"{name} is a share of the learning rate, 0 to 1; got {value}.")
