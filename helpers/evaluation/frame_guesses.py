"""What stands beside every frame-level score: a constant guess and a random one, made of the training tracks' annotations alone.

The constant one names the section or chord that is most frequent in training all the time, has no boundaries, and beats steadily from 0 on at
the median tempo. The random one draws a chord or section for every frame by its share in training, and beats and boundaries in as many frames.
Both are judged on the frames that the probe is judged on, and decoded as its outputs are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from datasets.groundtruth.annotations import Annotations, Truth
from datasets.utils.ragged import Ragged
from models.randomness import stream

from ..metrics.beats import USUAL_PERIOD, metronome, period
from ..metrics.frames import FrameRules, nearest_frames
from ..metrics.scores import SystemScores
from ..metrics.tasks import get_task
from ..probe.frames import Frames
from ..probe.inputs import read_split
from ..probe.protocol import Protocol
from ..probe.run import Split

SEEDS = (0, 1, 2)
CONSTANT, RANDOM = "constant guess", "random guess"


def guesses(train: Split, test: Split, labels: Sequence[str], task: str) -> list[SystemScores]:
    """The constant and the random guess on the frames of `test`, after `train`'s annotations; none for tasks that are not of frames."""
    rules = get_task(task).frames
    if rules is None or train.frames is None or test.frames is None:
        return []
    shares = train.frames.targets[train.frames.known].mean(axis=0)
    constant = _constant(rules, train.frames, test.frames, shares)
    drawn = np.stack([_random(rules, len(test.x), shares, seed) for seed in SEEDS])
    made = []
    for name, values, seeds in ((CONSTANT, constant[None], [0]), (RANDOM, drawn, list(SEEDS))):
        predictions = Ragged(values.astype(np.float32), test.frames.lengths, times=test.frames.times)
        about = {"system": name, "deterministic": name == CONSTANT}
        made.append(
            SystemScores(name, test.name, list(labels), list(test.keys), test.y, predictions, seeds, settings=about, task=task)
        )
    return made


def _constant(rules: FrameRules, train: Frames, test: Frames, shares: np.ndarray) -> np.ndarray:
    out = np.zeros((len(test.times), len(shares)))
    classes = rules.classes(len(shares))
    if classes:
        out[:, classes[int(np.argmax(shares[classes]))]] = 1
    if rules.metronome:
        periods = [period(train.truth.track(i)[:, 0]) for i in range(len(train.truth))]
        every = float(np.nanmedian(periods)) if np.isfinite(periods).any() else USUAL_PERIOD
        rows = Ragged(test.times, test.lengths)
        for i in range(len(test.lengths)):
            spans = test.times[rows.rows_of(i)]
            out[rows.starts[i] + nearest_frames(metronome(float(spans[-1, 1]), every), spans), list(rules.events)] = 1
    return out


def _random(rules: FrameRules, n: int, shares: np.ndarray, seed: int) -> np.ndarray:
    rng = stream(seed, "frame guesses")
    out = np.zeros((n, len(shares)))
    classes = rules.classes(len(shares))
    if classes:
        by_share = np.asarray(shares[classes], dtype=np.float64)
        picked = rng.choice(classes, size=n, p=by_share / by_share.sum())
        out[np.arange(n), picked] = 1
    for event in rules.events:
        out[:, event] = rng.random(n) * (rng.random(n) < shares[event])
    return out


def guesses_beside(source: str | Path, truths: Mapping[str, Truth], protocol: Protocol) -> list[SystemScores]:
    """The guesses on the test tracks that embeddings are there of; none for tasks that are not of frames."""
    if not isinstance(truths.get("train"), Annotations):
        return []
    train, test = (
        read_split(part, source, truths[part], protocol.inputs, protocol.skip_missing, protocol.data)
        for part in ("train", "test")
    )
    return guesses(train, test, truths["train"].labels, protocol.settings.task)
