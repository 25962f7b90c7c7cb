"""The simulated tracks, heads and trainings of coverage.py: what they score in truth is known, not measured.

Everything is normal and linear: a track has inputs, and a label where a latent number is above its threshold, so that the score of a trained
ridge regression on endlessly many tracks follows from its weights. Heads that are not trained have normal scores of tracks with and without a
label. In groups a share of every variance is the group's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.integrate import quad
from scipy.stats import norm

TRAININGS, TRUE_TRACKS = 300, 5_000  # of each training


@dataclass(frozen=True)
class World:
    """Numbers that a simulation hangs on: the suite's procedures must not hang on them.

    apart, spread: of the scores of tracks with a label, their mean above and their sd, of the others 0 and 1. common: the share of variance that two
    heads' mistakes have in common. right: accuracy of a head. noise: sd of a regression's errors; uneven: sd of its logarithm over tracks.
    sizes: tracks of the groups, again and again; shared: the share of variance that is a group's. inputs, chained: their number, and the
    correlation of neighbours. heard, latent: sd of what a network adds to the inputs, of what no input tells. ridge: its weight. few, pool: tracks
    of a draw, and of all it is drawn from.
    """

    rules: int
    apart: float
    spread: float
    common: float
    right: float
    noise: float
    uneven: float
    sizes: tuple[int, ...]
    shared: float
    inputs: int
    chained: float
    heard: float
    latent: float
    ridge: float
    few: int
    pool: int


WORLDS = {
    1: World(5, 1.2, 1.0, 0.3, 0.7, 0.8, 0.0, (5,), 0.5, 24, 0.0, 0.7, 0.5, 10.0, 40, 400),
    2: World(11, 2.0, 1.5, 0.6, 0.85, 0.6, 0.4, (1, 2, 3, 5, 9), 0.7, 32, 0.6, 0.7, 0.6, 20.0, 60, 300),
}


@dataclass(frozen=True)
class Cell:
    """One line of the table: kind of interval, task, tracks, prevalence of each label, labels, whether tracks are grouped."""

    kind: str
    task: str
    n: int
    prevalence: float = 0.0
    labels: int = 1
    grouped: bool = False
    world: int = 1


@lru_cache(maxsize=64)
def group_of(world: int, n: int) -> np.ndarray:
    """The number of each track's group, [n]."""
    sizes = WORLDS[world].sizes
    return np.repeat(np.arange(n), np.resize(sizes, n))[:n]


def noise(cell: Cell, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Normal numbers [n, ...]; of groups a share of the variance is the group's."""
    own = rng.standard_normal(shape)
    if not cell.grouped:
        return own
    whose, shared = group_of(cell.world, shape[0]), WORLDS[cell.world].shared
    return math.sqrt(shared) * rng.standard_normal((whose[-1] + 1, *shape[1:]))[whose] + math.sqrt(1 - shared) * own


# ---- heads that are not trained
def labels_of_heads(cell: Cell, rng: np.random.Generator) -> np.ndarray:
    """Targets [n, L]."""
    if cell.task == "multi-label":
        return noise(cell, rng, (cell.n, cell.labels)) < norm.ppf(cell.prevalence)
    if cell.task == "single-label":
        return np.eye(cell.labels, dtype=bool)[rng.integers(cell.labels, size=cell.n)]
    return noise(cell, rng, (cell.n, cell.labels))


def heads(cell: Cell, rng: np.random.Generator, y: np.ndarray) -> list[np.ndarray]:
    """The predictions [1, n, L] of two fixed heads that are equally good and make partly the same mistakes."""
    world, (n, L) = WORLDS[cell.world], y.shape
    common, alike, own = noise(cell, rng, (n, 1)), math.sqrt(world.common), math.sqrt(1 - world.common)
    both = [alike * common + own * noise(cell, rng, (n, 1 if cell.task == "single-label" else L)) for _ in range(2)]
    if cell.task == "multi-label":
        return [1 / (1 + np.exp(-(world.apart * y + one * np.where(y, world.spread, 1.0))))[None] for one in both]
    if cell.task == "single-label":
        return [np.where(one < norm.ppf(world.right), y, np.roll(y, 1, axis=1)).astype(np.float64)[None] for one in both]
    size = np.exp(world.uneven * rng.standard_normal((n, 1)) - world.uneven**2)
    return [(y + world.noise * size * one)[None] for one in both]


@lru_cache(maxsize=64)
def true_of_heads(cell: Cell, metric: str) -> float:
    """What the heads score on endlessly many tracks."""
    world, p = WORLDS[cell.world], cell.prevalence
    if metric == "macro_roc":
        return float(norm.cdf(world.apart / math.hypot(1, world.spread)))
    if metric == "macro_ap":

        def precision(score: float) -> float:
            high = (score - world.apart) / world.spread
            with_label = p * norm.sf(high)
            return float(norm.pdf(high) / world.spread * with_label / (with_label + (1 - p) * norm.sf(score)))

        return float(quad(precision, -10, 8 + world.apart, limit=200)[0])
    return world.right if metric == "accuracy" else 1 - world.noise**2


# ---- trainings
@lru_cache(maxsize=16)
def rules(world: int, labels: int) -> tuple[np.ndarray, np.ndarray]:
    """The mixture [D, D] that makes inputs of independent numbers, and the directions [D, L] of unit variance that latents follow."""
    of = WORLDS[world]
    apart = np.abs(np.subtract.outer(np.arange(of.inputs), np.arange(of.inputs)))
    mix = np.linalg.cholesky(of.chained**apart).T
    found = np.random.default_rng(of.rules).standard_normal((of.inputs, labels))
    return mix, found / np.linalg.norm(mix @ found, axis=0)


def tracks(cell: Cell, rng: np.random.Generator, n: int) -> tuple[np.ndarray, Callable[[], np.ndarray]]:
    """Targets [n, L], and what returns the inputs [n, D] that the next of equally good networks makes of these tracks; the world never changes."""
    world, (mix, directions) = WORLDS[cell.world], rules(cell.world, cell.labels)
    heard = noise(cell, rng, (n, world.inputs)) @ mix
    latent = heard @ directions + world.latent * noise(cell, rng, (n, cell.labels))
    y = latent
    if cell.task == "multi-label":
        y = latent > norm.isf(cell.prevalence) * math.hypot(1, world.latent)
    elif cell.task == "single-label":
        y = np.eye(cell.labels, dtype=bool)[latent.argmax(axis=1)]
    return y, lambda: heard + world.heard * noise(cell, rng, heard.shape)


def fitted(cell: Cell, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights [D, L] and offset [L] of ridge regression."""
    mean, target = x.mean(axis=0), y.astype(np.float64)
    x, middle = x - mean, target.mean(axis=0)
    weights = np.linalg.solve(x.T @ x + WORLDS[cell.world].ridge * np.eye(x.shape[1]), x.T @ (target - middle))
    return weights, middle - mean @ weights


def predicted(cell: Cell, head: tuple[np.ndarray, np.ndarray], x: np.ndarray) -> np.ndarray:
    """What it says of inputs, [n, L]."""
    found = x @ head[0] + head[1]
    return found if cell.task == "regression" else 1 / (1 + np.exp(-4 * found))


@lru_cache(maxsize=16)
def true_of_training(cell: Cell, n_train: int, pool: int) -> dict[str, float]:
    """The mean score on endlessly many tracks of many trainings, each on as many tracks of a pool of its own."""
    world, (mix, directions) = WORLDS[cell.world], rules(cell.world, cell.labels)
    rng, found = np.random.default_rng(99), []
    both = mix.T @ mix  # covariance of what is heard
    of_inputs, with_latent = both + world.heard**2 * np.eye(world.inputs), both @ directions
    variance = 1 + world.latent**2
    for _ in range(TRAININGS):
        y, inputs = tracks(cell, rng, pool)
        drawn = rng.permutation(pool)[:n_train]
        weights, offset = fitted(cell, inputs()[drawn], y[drawn])
        explained = (weights * with_latent).sum(axis=0)
        spread = (weights * (of_inputs @ weights)).sum(axis=0)
        if cell.task == "multi-label":
            found.append(_ranked(cell.prevalence, explained / np.sqrt(np.maximum(spread, 1e-300) * variance)))
        elif cell.task == "regression":
            found.append({"r2": 1 - (variance + spread - 2 * explained + offset**2) / variance})
        else:
            new, inputs = tracks(replace(cell, grouped=False), rng, TRUE_TRACKS)
            found.append({"accuracy": (inputs() @ weights + offset).argmax(axis=1) == new.argmax(axis=1)})
    return {name: float(np.mean([one[name].mean() for one in found])) for name in found[0]}


def _ranked(prevalence: float, correlation: np.ndarray) -> dict[str, np.ndarray]:
    known, roc, ap = _of_correlations(prevalence)
    return {"macro_roc": np.interp(correlation, known, roc), "macro_ap": np.interp(correlation, known, ap)}


@lru_cache(maxsize=8)
def _of_correlations(prevalence: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """ROC-AUC and AP of scores by their correlation with the latent number, whose upper share has the label."""
    known, score = np.linspace(-0.995, 0.995, 400), np.linspace(8, -8, 4001)
    share = norm.cdf((known[:, None] * score - norm.isf(prevalence)) / np.sqrt(1 - known[:, None] ** 2))
    weight = norm.pdf(score) * (score[0] - score[1])
    positive, negative = share * weight, (1 - share) * weight
    true, false = (np.cumsum(one, axis=1) - one / 2 for one in (positive, negative))
    roc = 1 - (positive * false).sum(axis=1) / (positive.sum(axis=1) * negative.sum(axis=1))
    return known, roc, (positive * true / (true + false)).sum(axis=1) / positive.sum(axis=1)
