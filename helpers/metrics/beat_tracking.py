"""From an activation per frame to beats: peaks, and a small dynamic Bayesian network.

Both work at any rate, and on frames that are not evenly apart. What the network cannot do is say a beat's time finer than its frames: a peak's place
is taken between the frames, from the parabola through it and its neighbours.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

PEAK_RADIUS = 0.1  # seconds around a peak in which nothing is higher
PEAK_REACH, PEAK_SHARE = 2.0, 1 / 3  # a peak is at least so much of the highest value within so many seconds
GRID = 50.0  # frames per second of the network's states
TEMPI = (55.0, 215.0)  # beats per minute
TEMPO_CHANGE = 100.0  # how fast the probability of another tempo falls (Krebs, Boeck, Widmer, ISMIR 2015)
BEAT_SHARE = 8  # of a beat's states one in so many is at the beat
_LEAST, _MOST = 1e-3, 0.9  # between which activations are taken: the highest of a track is as sure as it can be


def pick_beats(activation: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Times of the peaks of an activation [T] at times [T]: local maxima of at least a third of what is highest within 2 s."""
    found = []
    for i in local_maxima(activation, times, PEAK_RADIUS):
        near = np.abs(times - times[i]) <= PEAK_REACH
        if activation[i] >= PEAK_SHARE * activation[near].max() and activation[i] > 0:
            found.append(_between(activation, times, int(i)))
    return np.array(found, dtype=np.float64)


def local_maxima(activation: np.ndarray, times: np.ndarray, radius: float) -> np.ndarray:
    """Numbers of the frames that are higher than all others within `radius` seconds, their neighbours among them; of equals the first."""
    n = len(activation)
    if n == 0 or np.ptp(activation) == 0:
        return np.zeros(0, dtype=np.int64)
    padded = np.concatenate([[-np.inf], activation, [-np.inf]])
    candidates = np.flatnonzero((padded[1:-1] > padded[:-2]) & (padded[1:-1] >= padded[2:]))
    firsts = np.minimum(np.searchsorted(times, times[candidates] - radius), candidates)
    lasts = np.searchsorted(times, times[candidates] + radius, side="right")
    kept = [
        i for i, a, b in zip(candidates, firsts, lasts)
        if activation[a:i].max(initial=-np.inf) < activation[i] >= activation[i:b].max()
    ]  # fmt: skip
    return np.array(kept, dtype=np.int64)


def _between(activation: np.ndarray, times: np.ndarray, i: int) -> float:
    """The time of a peak, between its frame and the neighbours."""
    if not 0 < i < len(times) - 1:
        return float(times[i])
    a, b, c = activation[i - 1 : i + 2]
    bend = a - 2 * b + c
    shift = float(np.clip(0.5 * (a - c) / bend, -0.5, 0.5)) if bend < 0 else 0.0
    step = times[i + 1] - times[i] if shift > 0 else times[i] - times[i - 1]
    return float(times[i] + shift * step)


class _Network(NamedTuple):
    periods: np.ndarray  # of each tempo, in states
    first: np.ndarray  # each tempo's first state, that of the beat
    last: np.ndarray
    change: np.ndarray  # log probability of a tempo (row) after a tempo
    at_beat: np.ndarray  # states that are at the beat
    beat_share: np.ndarray  # states at the beat, by tempo


@lru_cache(maxsize=2)
def _network(grid: float) -> _Network:
    periods = np.arange(round(60 * grid / TEMPI[1]), round(60 * grid / TEMPI[0]) + 1)
    ends = np.cumsum(periods)
    first = ends - periods
    ratio = np.abs(periods[None, :] / periods[:, None] - 1.0)
    change = np.exp(-TEMPO_CHANGE * ratio)
    change /= change.sum(axis=1, keepdims=True)
    share = -(-periods // BEAT_SHARE)  # what begins within that share
    at_beat = np.concatenate([np.arange(a, a + n) for a, n in zip(first, share)])
    return _Network(periods, first, ends - 1, np.log(np.maximum(change.T, 1e-300)).copy(), at_beat, share)


def track_beats(activation: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Times of beats by the most probable path through tempo and phase: a hidden Markov model without bars, read by Viterbi.

    States are (tempo, place in the beat), 50 a second, 55 to 215 beats per minute. A beat's tempo is that of the one before or near it (Krebs,
    Boeck and Widmer, ISMIR 2015); what is observed is the activation at the beat, and what is left of 1 beside it, as madmom's DBN has it. The scale
    of activations makes no difference.
    """
    if not len(times) or np.ptp(activation) == 0 or activation.max() <= 0:
        return np.zeros(0)
    net = _network(GRID)
    half = 0.5 * float(np.median(np.diff(times))) if len(times) > 1 else 0.5 / GRID
    clock = np.arange(max(times[0] - half, 0.0), times[-1] + half, 1.0 / GRID)
    heard = np.clip(np.interp(clock, times, activation) * (_MOST / activation.max()), _LEAST, _MOST)
    beat, other = np.log(heard), np.log((1 - heard) / (BEAT_SHARE - 1))
    best = np.zeros(int(net.last[-1]) + 1)
    came = np.empty((len(clock), len(net.periods)), dtype=np.int16)
    shifted, tempi = np.empty_like(best), np.arange(len(net.periods))
    for t in range(len(clock)):
        if t:
            arrivals = best[net.last] + net.change
            came[t] = arrivals.argmax(axis=1)
            shifted[1:] = best[:-1]
            shifted[net.first] = arrivals[tempi, came[t]]
            best, shifted = shifted, best
        best += other[t]
        best[net.at_beat] += beat[t] - other[t]
    state = int(best.argmax())
    tempo = int(np.searchsorted(net.last, state))
    beats, t = [], len(clock) - 1
    while t >= 0:
        begun = t - (state - int(net.first[tempo]))  # when this beat began
        if begun < 0:
            break
        reach = slice(begun, min(begun + int(net.beat_share[tempo]), len(clock)))
        beats.append(clock[begun + int(heard[reach].argmax())])
        if begun == 0:
            break
        tempo, t = int(came[begun, tempo]), begun - 1
        state = int(net.last[tempo])
    return np.array(beats[::-1])
