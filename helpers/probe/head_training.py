"""Training of probe heads on embeddings in memory: one head at a time per core, many side by side.

A head's whole training is a function of its data, settings and seed alone: initial weights, order of the items in every epoch, windows drawn and
units dropped come from generators made of (seed, epoch). So a head trained beside others equals the same head trained alone.

Why no batched product over all heads: on a CPU a head with its gradient and both moments of Adam fits the cache (7 MB at 768 inputs, 20 MB at
2304), sixty of them do not, and Adam over all of them reads and writes 0.7 GB a step. So each head runs its epochs by itself and the cores share the
heads out.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.errors import ConfigError
from models.heads import ProbeHead

from ..metrics.aggregation import aggregate
from ..metrics.losses import loss_of
from ..metrics.metric import Predictions
from ..metrics.tasks import LOSS_CURVE
from ..runtime.memory import keep_freed_memory
from .forecast import Forecast
from .frames import Frames
from .head_step import Draws, HeadStep, threads
from .settings import ProbeSettings

log = logging.getLogger(__name__)
_CHUNK = 4096  # items scored at once
_global_generator = threading.Lock()  # torch's, from which modules take their first weights: heads begin in several threads


def initial_head(seed: int, in_dim: int, out_dim: int, **head: Any) -> ProbeHead:
    """A freshly initialised ProbeHead that depends on its seed only; torch's global generator is left as it was."""
    with _global_generator, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ProbeHead(in_dim, out_dim, **head)


@dataclass(frozen=True)
class Examples:
    """Rows of embeddings and what they belong to.

    x: [R, D], or [R, K, D] for K layers; a memory map is read as it is needed. y: targets of the N tracks, bool or float [N, L].
    track: int [R], rising: the track of each row; None: row i is track i. repeat: passes over all of it that make an epoch.
    frames: of frame-level tasks, where y holds the targets of rows, float [R, L]: what judges them.
    """

    x: np.ndarray
    y: np.ndarray
    track: np.ndarray | None = None
    repeat: int = 1
    frames: Frames | None = None

    @property
    def lengths(self) -> np.ndarray:
        """Rows of every track, [N]."""
        return np.ones(len(self.y), dtype=np.int64) if self.track is None else np.bincount(self.track, minlength=len(self.y))


@dataclass(frozen=True)
class HeadSpec:
    """One head to train: its seed, its learning rate, and which of the sources it learns from."""

    seed: int
    rate: float
    source: int = 0


@dataclass(frozen=True)
class TrainedHead:
    """A head at the epoch that was kept, in eval mode. curves: train_loss and every validation curve, [epochs run]. kept: that epoch, from 0."""

    spec: HeadSpec
    head: ProbeHead
    curves: dict[str, np.ndarray]
    kept: int

    def value(self, curve: str) -> float:
        """A curve at the kept epoch."""
        return float(self.curves[curve][self.kept])


@dataclass
class Source:
    """What heads learn from: training and validation examples, and the standardisation of both, [D] each or None."""

    train: Examples
    validation: Examples
    shift: np.ndarray | None = None
    scale: np.ndarray | None = None
    _tensors: dict[str, tuple[Tensor, ...]] = field(default_factory=dict, repr=False)

    def tensors(self, precision: str) -> tuple[Tensor, ...]:
        """x, y, val_x as tensors; x in the training's precision. Made once for all heads."""
        if precision not in self._tensors:
            x = as_tensor(self.train.x)
            if precision == "bf16":  # standardised before it is rounded
                x = torch.cat([self.scaled(part.float()).bfloat16() for part in x.split(_CHUNK)])
            self._tensors[precision] = (x, torch.from_numpy(self.train.y.astype(np.float32)), as_tensor(self.validation.x))
        return self._tensors[precision]

    def scaled(self, x: Tensor) -> Tensor:
        """Rows as the head sees them, float32; bfloat16 rows were scaled before."""
        if self.shift is None or self.scale is None or x.dtype == torch.bfloat16:
            return x
        return (x - torch.from_numpy(self.shift)) / torch.from_numpy(self.scale)


def as_tensor(x: np.ndarray) -> Tensor:
    """The array without a copy where it is float32 already."""
    x = np.asarray(x)
    return torch.from_numpy(x if x.dtype == np.float32 and x.flags.writeable else x.astype(np.float32))


def epoch_rows(examples: Examples, how: str, order: np.random.Generator) -> np.ndarray:
    """An epoch's rows in a new order, int64: every row, or ("random_row") a random one of every track; pass after pass where it has several."""
    if how != "random_row" or examples.track is None:
        return np.concatenate([order.permutation(len(examples.x)) for _ in range(examples.repeat)])
    lengths = examples.lengths
    starts = np.cumsum(lengths) - lengths
    passes = [starts + (order.random(len(lengths)) * lengths).astype(np.int64) for _ in range(examples.repeat)]
    return np.concatenate([order.permutation(rows) for rows in passes])


def epoch_batches(examples: Examples, settings: ProbeSettings, order: np.random.Generator) -> list[np.ndarray]:
    """An epoch's steps: the rows of each, int64; `batch_size` of them, or ("track") all rows of as many tracks."""
    size = settings.batch_size
    if settings.examples != "track" or examples.track is None:
        rows = epoch_rows(examples, settings.examples, order)
        return [rows[k : k + size] for k in range(0, len(rows), size)]
    stops = np.cumsum(examples.lengths)
    of_track = [np.arange(stop - length, stop) for stop, length in zip(stops, examples.lengths)]
    tracks = np.concatenate([order.permutation(len(of_track)) for _ in range(examples.repeat)])
    return [np.concatenate([of_track[t] for t in tracks[k : k + size]]) for k in range(0, len(tracks), size)]


@torch.no_grad()
def head_logits(net: ProbeHead, x: np.ndarray | Tensor, source: Source) -> np.ndarray:
    """Logits float32 [R, L] of rows, without dropout, standardised as the source says."""
    rows = x if isinstance(x, Tensor) else as_tensor(x)
    net.eval()
    return torch.cat([net(source.scaled(part.float())) for part in rows.split(_CHUNK)]).numpy()


# ---- one head
class _Watch:
    """The best value of a curve so far, and how many epochs ago it was. sign: 1 where higher is better, else -1. threshold: a smaller relative gain
    is none (torch's plateau: 1e-4).
    """

    def __init__(self, curve: str, sign: float, threshold: float = 0.0):
        self.curve, self.threshold, self.sign = curve, threshold, sign
        self.best, self.since = -np.inf, 0

    def better(self, value: float) -> bool:
        bar = self.best + abs(self.best) * self.threshold if np.isfinite(self.best) else self.best
        if self.sign * value > bar:
            self.best, self.since = self.sign * value, 0
            return True
        self.since += 1
        return False


def _watch(settings: ProbeSettings, name: str, threshold: float = 0.0) -> _Watch:
    """Watch a curve in its own direction."""
    curve = settings.curve(name)
    return _Watch(curve, settings.spec.sign(curve), threshold)


def train_head(
    spec: HeadSpec,
    source: Source,
    settings: ProbeSettings,
    labels: Sequence[str],
    on_epoch: Callable[[], object] | None = None,
    forecast: Forecast | None = None,
) -> TrainedHead:
    """Train one head; its epoch is chosen by the validation examples. Nothing here sees test data.

    on_epoch: called after every epoch. forecast: counts the steps.
    """
    settings = replace(settings, max_lr=spec.rate, lr_grid=())
    x, y, val_x = source.tensors(settings.precision)
    track = None if source.train.track is None else torch.from_numpy(source.train.track.astype(np.int64))
    layers = x.shape[1] if x.ndim == 3 else 0
    net = initial_head(spec.seed, x.shape[-1], y.shape[1], **settings.head, mixed_layers=layers)
    low = settings.precision == "bf16"
    learn = HeadStep(net, settings.loss_name, settings.weight_decay, settings.optimizer == "adamw", low)
    per_epoch = steps_per_epoch(source, settings)
    total = settings.total_steps(per_epoch)
    rate, factor = settings.learning_rate(total), 1.0
    plateau = _watch(settings, settings.plateau_monitor, 1e-4)
    best, early = _watch(settings, "monitor"), _watch(settings, settings.early_monitor)
    curves: dict[str, list[float]] = {}
    kept, step = 0, 0
    weights: dict[str, Tensor] = {}
    for epoch in range(settings.epochs(per_epoch)):
        draws, loss_sum, seen = Draws(spec.seed, epoch), 0.0, 0
        batches = [torch.from_numpy(rows) for rows in epoch_batches(source.train, settings, draws.order)]
        with threads(1):  # `learn` takes more where they help
            for rows in batches:
                if step == total:
                    break
                batch, of = x.index_select(0, rows), rows if track is None else track[rows]
                loss = learn(source.scaled(batch), y.index_select(0, of), draws, factor * rate(epoch, step))
                loss_sum, seen, step = loss_sum + loss * len(rows), seen + len(rows), step + 1
                if forecast is not None:
                    forecast.step()
        if not np.isfinite(loss_sum) or not all(torch.isfinite(p).all() for p in net.parameters()):
            raise FloatingPointError(
                f"The probe's loss is not finite with learning rate {spec.rate:g} (seed {spec.seed}, epoch {epoch}): lower optimizer.max_lr."
            )
        found = {"train_loss": loss_sum / seen, **validate(net, val_x, source, settings, labels)}
        if not np.isfinite(found[LOSS_CURVE]):
            raise FloatingPointError(
                f"The probe's {LOSS_CURVE} is not finite with learning rate {spec.rate:g} (seed {spec.seed}, epoch {epoch}): its outputs for the "
                "validation tracks overflow. Look at their embeddings, or lower optimizer.max_lr."
            )
        for name, value in found.items():
            curves.setdefault(name, []).append(value)
        if best.better(found[settings.monitor_name]) or settings.keep == "last" or not weights:
            kept, weights = epoch, {name: tensor.clone() for name, tensor in net.state_dict().items()}
        if (
            settings.scheduler == "plateau"
            and not plateau.better(found[plateau.curve])
            and plateau.since > settings.plateau_patience
        ):
            factor, plateau.since = factor * settings.gamma, 0
        early.better(found[early.curve])
        if on_epoch is not None:
            on_epoch()
        if settings.early_stopping and early.since >= settings.early_stopping:
            break
    net.load_state_dict(weights)
    return TrainedHead(spec, net.eval(), {name: np.array(values) for name, values in curves.items()}, kept)


def steps_per_epoch(source: Source, settings: ProbeSettings) -> int:
    """How many steps an epoch has."""
    items = source.train.repeat * (len(source.train.x) if settings.examples == "row" else len(source.train.y))
    return -(-items // settings.batch_size)


def validate(net: ProbeHead, val_x: Tensor, source: Source, settings: ProbeSettings, labels: Sequence[str]) -> dict[str, float]:
    """The next value of every validation curve: the loss (mean over rows), and the task's curves, of the tracks."""
    logits, examples = head_logits(net, val_x, source), source.validation
    if not np.isfinite(logits).all():
        raise FloatingPointError(
            "The probe's outputs for validation tracks are not finite: look at their embeddings, or lower optimizer.max_lr."
        )
    if examples.frames is not None:
        return {
            LOSS_CURVE: frame_loss(logits, examples, settings),
            **settings.spec.validate(examples.frames.predictions(logits, settings, labels)),
        }
    targets = examples.y if examples.track is None else examples.y[examples.track]
    loss = float(loss_of(settings.loss_name, torch.from_numpy(logits), torch.from_numpy(targets.astype(np.float32))))
    how = "mean_prob" if settings.aggregate == "best" else settings.aggregate
    predictions = logits  # one window each: scores are of their order, which a sigmoid leaves
    if examples.track is not None or settings.spec.probabilities:
        predictions = aggregate(logits, examples.track, len(examples.y), how, settings.loss_name, settings.spec.one_class)
    return {LOSS_CURVE: loss, **settings.spec.validate(Predictions(examples.y, predictions, labels))}


def frame_loss(logits: np.ndarray, examples: Examples, settings: ProbeSettings) -> float:
    """Mean loss over the frames that count."""
    assert examples.frames is not None
    known = examples.frames.known
    return float(loss_of(settings.loss_name, torch.from_numpy(logits[known]), torch.from_numpy(examples.y[known])))


# ---- many heads
def train_heads(
    specs: Sequence[HeadSpec],
    sources: Sequence[Source],
    settings: ProbeSettings,
    labels: Sequence[str],
    on_epoch: Callable[[], object] | None = None,
) -> list[TrainedHead]:
    """Train all heads, in the order of `specs`. Fewer heads than twice the cores run one after the other on all cores, more run a core each.

    Raises FloatingPointError, naming the learning rate, for a head whose loss is not finite; of a grid of rates such heads are left out, as long as
    one of their seed's is left.
    """
    if not specs:
        raise ConfigError("There is no head to train: give at least one seed.")

    steps = {i: settings.total_steps(steps_per_epoch(sources[i], settings)) for i in {spec.source for spec in specs}}
    forecast = Forecast(sum(steps[spec.source] for spec in specs), len(specs))

    def one(spec: HeadSpec) -> TrainedHead | FloatingPointError:
        try:
            return train_head(spec, sources[spec.source], settings, labels, on_epoch, forecast)
        except FloatingPointError as error:
            return error

    keep_freed_memory()
    for source in {spec.source for spec in specs}:
        sources[source].tensors(settings.precision)  # once, before threads ask for it
    workers = min(torch.get_num_threads(), os.cpu_count() or 1)
    if workers == 1 or len(specs) < 2 * workers:
        return _whole(specs, [one(spec) for spec in specs])
    with threads(1), ThreadPoolExecutor(workers) as pool:  # new threads begin with the number of their maker
        return _whole(specs, list(pool.map(one, specs)))


def _whole(specs: Sequence[HeadSpec], done: Sequence[TrainedHead | FloatingPointError]) -> list[TrainedHead]:
    """The heads without those that came to nothing, where another rate of their seed did not."""
    left = {(head.spec.source, head.spec.seed) for head in done if isinstance(head, TrainedHead)}
    for spec, head in zip(specs, done):
        if isinstance(head, FloatingPointError):
            if (spec.source, spec.seed) not in left:
                raise head
            log.warning("%s This rate of the grid is left out.", head)
    return [head for head in done if isinstance(head, TrainedHead)]
