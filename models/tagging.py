"""What a network hears in recordings: probabilities of its named classes over time, for files of any length, in bounded memory.

Windows follow the rule of models/windows.py, here with a last window that ends at the last frame ("shift"), so that every second is heard. Windows of
many recordings share batches; decoding and front end run in a thread ahead of the network. Any AudioEncoder with named classes tags.
Letters: W windows, L classes, F mel bands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from .card import ModelCard
from .errors import AudioError, ConfigError, WeightsError
from .frontend.mel_settings import MelSettings
from .overview import make_overview
from .prefetch import ahead
from .untrained import check_trained
from .windows import Tail, stream_windows

SEPARATOR = "---"  # between genre and style in the published labels
Source = str | Path | np.ndarray | Tensor


class TaggingNetwork(Protocol):
    """What tagging asks of a network; AudioEncoder says what each means."""

    sample_rate: int
    exclusive: bool
    card: ModelCard | None
    training: bool

    @property
    def licence(self) -> str | None: ...
    @property
    def label_names(self) -> list[str]: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def dtype(self) -> torch.dtype: ...
    @property
    def mel_settings(self) -> MelSettings | None: ...
    @property
    def units_per_second(self) -> float: ...
    @property
    def window_length(self) -> int: ...
    @property
    def silence(self) -> float: ...
    @property
    def least_tail(self) -> int: ...
    def audio_blocks(self, source: Source, sample_rate: int | None) -> Iterator[np.ndarray]: ...
    def window_blocks(self, blocks: Iterable[np.ndarray]) -> Iterable[np.ndarray]: ...
    def window_probabilities(self, windows: Tensor) -> Tensor: ...
    def train(self, mode: bool = True) -> Any: ...
    def eval(self) -> Any: ...


@dataclass(frozen=True, repr=False)
class Tagged:
    """Classes heard in one recording.

    labels: L names, in column order. windows: [W, L] float32, probabilities. times: [W, 2] float32, start and end of each window in seconds.
    duration: s. overview: [columns, F] float32, the raw log-mel averaged to at most 2000 columns (silence is 0);
    of a network that reads samples one that is made for the overview.
    model: name of the weights, None for own ones. licence: of the weights, None when not stated.
    exclusive: the classes exclude each other: probabilities add up to 1.
    """

    labels: list[str]
    windows: np.ndarray
    times: np.ndarray
    duration: float
    overview: np.ndarray
    model: str | None = None
    licence: str | None = None
    exclusive: bool = False

    def __repr__(self) -> str:
        best = ", ".join(f"{label} {p:.2f}" for label, p in self.top(3))
        return f"Tagged({self.duration:.1f} s, {len(self.windows)} windows, {len(self.labels)} labels: {best}, ...)"

    @property
    def probabilities(self) -> np.ndarray:
        """[L] float32: mean over the windows, weighted by the seconds that each hears."""
        seconds = (self.times[:, 1] - self.times[:, 0]).astype(np.float64)
        mean: np.ndarray = np.average(self.windows, axis=0, weights=seconds).astype(np.float32)
        return mean

    def top(self, n: int = 10) -> list[tuple[str, float]]:
        """The n most probable classes, [(label, probability)], best first."""
        p = self.probabilities
        return [(self.labels[i], float(p[i])) for i in np.argsort(-p, kind="stable")[:n]]

    def genres(self) -> list[tuple[str, float]]:
        """The parent genres of "Genre---Style" labels with their most probable style's probability, best first; [] for other labels.

        Styles exclude each other as little as genres do, so a sum over them would be no probability; the largest is a lower bound of the genre's.
        """
        found: dict[str, float] = {}
        for label, p in zip(self.labels, self.probabilities.tolist()):
            if SEPARATOR in label:
                genre = label.split(SEPARATOR, 1)[0]
                found[genre] = max(p, found.get(genre, 0.0))
        return sorted(found.items(), key=lambda item: -item[1])

    def bounds(self) -> np.ndarray:
        """Where one window's say ends and the next one's begins, [W + 1] seconds: overlaps are halved, all of 0..duration is covered."""
        starts, ends = self.times[1:, 0], self.times[:-1, 1]
        inner = np.where(starts < ends, (starts + ends) / 2, starts)
        return np.concatenate([[0.0], inner, [max(self.duration, float(self.times[-1, 1]))]]).astype(np.float32)


def tag(
    model: TaggingNetwork,
    source: Source,
    sample_rate: int | None = None,
    hop_seconds: float | None = None,
    batch_size: int = 8,
    tail: Tail = "shift",
) -> Tagged:
    """`tag_many` for one recording. Raises AudioError for audio that cannot be used."""
    (found,) = tag_many(model, [source], sample_rate, hop_seconds, batch_size, tail)
    if isinstance(found, AudioError):
        raise found
    return found


def tag_many(
    model: TaggingNetwork,
    sources: Iterable[Source],
    sample_rate: int | None = None,
    hop_seconds: float | None = None,
    batch_size: int = 8,
    tail: Tail = "shift",
    on_windows: Callable[[int], None] | None = None,
    begun: Begun | None = None,
) -> Iterator[Tagged | AudioError]:
    """What the network hears in each recording, in their order; the AudioError of one that cannot be used stands in its place.

    Args:
        model: any AudioEncoder with named classes.
        sources: paths, or samples [N] or [N, channels] (with `sample_rate`, Hz).
        hop_seconds: between the starts of two windows (default: their length; less: finer in time, and slower in proportion).
        batch_size: windows per pass; they may come from several recordings.
        tail: what becomes of a recording's end (models/windows.py).
        on_windows: called with the number of windows behind every pass, for progress.
        begun: what is there already; None: nothing.

    Raises ValueError for a hop below one mel frame (of a network that reads samples: one sample), a batch below one window, or a network without
    named classes, WeightsError for one whose head is untrained.
    """
    check_trained(model, "tag")
    labels, rate = model.label_names, model.units_per_second  # a network without classes is refused here
    hop = model.window_length if hop_seconds is None else round(hop_seconds * rate)
    if hop < 1:
        unit = "sample" if rate == model.sample_rate else "mel frame"
        raise ConfigError(f"hop_seconds is {hop_seconds}; two windows are at least one {unit} ({1 / rate:.3g} s) apart.")
    if batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size}; it must be 1 or more.")
    begun = begun or Begun()
    score = begun.score or model.window_probabilities
    events = ahead(_stream(model, sources, sample_rate, hop, tail, begun.blocks), 2 * batch_size)
    return _tagged(model, labels, events, batch_size, lambda waiting: _score(model, score, waiting), on_windows)


@dataclass(frozen=True)
class Begun:
    """What a caller brings to `tag_many`.

    blocks: of samples of the first recording, which is being decoded already. score: computes the probabilities of windows, in place of the network.
    """

    blocks: Iterator[np.ndarray] | None = None
    score: Callable[[Tensor], Tensor] | None = None


# ---- the producer: one event per window, one behind a recording's last
@dataclass(frozen=True)
class _Window:
    content: np.ndarray  # mel [F, M], or samples [N]
    span: tuple[float, float]


@dataclass(frozen=True)
class _End:
    duration: float
    overview: np.ndarray
    error: AudioError | None = None


def _stream(
    model: TaggingNetwork,
    sources: Iterable[Source],
    sample_rate: int | None,
    hop: int,
    tail: Tail,
    first: Iterator[np.ndarray] | None,
) -> Iterator[_Window | _End]:
    rate = model.units_per_second
    for source in sources:
        counter, overview = _Counter(), make_overview(model.mel_settings, model.sample_rate)
        try:
            blocks, first = first or model.audio_blocks(source, sample_rate), None
            samples = overview.watch_samples(counter.watch(blocks))
            windows = overview.watch_windows(model.window_blocks(samples))
            heard = 0
            for window, start, stop in stream_windows(windows, model.window_length, hop, tail, model.silence):
                if not (start % hop and stop - heard <= model.least_tail):  # a clip of exactly one window is one window
                    yield _Window(window.copy(), (start / rate, stop / rate))  # a view would keep the whole block alive
                heard = stop
        except AudioError as error:
            yield _End(0.0, np.zeros((0, overview.bands), np.float32), error)
            continue
        yield _End(counter.samples / model.sample_rate, overview.columns())


class _Counter:
    def __init__(self) -> None:
        self.samples = 0

    def watch(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for block in blocks:
            self.samples += len(block)
            yield block


# ---- the consumer
@dataclass
class _Open:
    """A recording whose windows are under way."""

    spans: list[tuple[float, float]] = field(default_factory=list)
    scores: list[np.ndarray] = field(default_factory=list)
    end: _End | None = None

    @property
    def done(self) -> bool:
        return self.end is not None and (self.end.error is not None or len(self.scores) == len(self.spans))


def _tagged(
    model: TaggingNetwork,
    labels: list[str],
    events: Iterator[_Window | _End],
    batch_size: int,
    score: Callable[[Sequence[tuple[_Open, np.ndarray]]], None],
    on_windows: Callable[[int], None] | None,
) -> Iterator[Tagged | AudioError]:
    recordings: list[_Open] = [_Open()]
    waiting: list[tuple[_Open, np.ndarray]] = []

    def pass_() -> None:
        score(waiting)
        if on_windows is not None:
            on_windows(len(waiting))
        waiting.clear()

    for event in events:
        if isinstance(event, _Window):
            recordings[-1].spans.append(event.span)
            waiting.append((recordings[-1], event.content))
        else:
            recordings[-1].end = event
            recordings.append(_Open())
        if len(waiting) == batch_size:
            pass_()
        while recordings[0].done:
            yield _result(model, labels, recordings.pop(0))
    if waiting:
        pass_()
    while recordings[0].done:
        yield _result(model, labels, recordings.pop(0))


@torch.no_grad()
def _score(model: TaggingNetwork, score: Callable[[Tensor], Tensor], waiting: Sequence[tuple[_Open, np.ndarray]]) -> None:
    was_training = model.training
    model.eval()
    try:
        windows = torch.from_numpy(np.stack([window for _, window in waiting])).to(model.device, model.dtype)
        scores = score(windows).float().cpu().numpy()
    finally:
        model.train(was_training)
    if not np.isfinite(scores).all():
        raise WeightsError(
            "The network's answers are not finite: its weights overflow. Take an earlier checkpoint, or compute in precision 32."
        )
    for (recording, _), row in zip(waiting, scores):
        recording.scores.append(row)


def _result(model: TaggingNetwork, labels: list[str], recording: _Open) -> Tagged | AudioError:
    end: Any = recording.end
    if end.error is not None:
        error: AudioError = end.error
        return error
    if not recording.scores:
        return AudioError("The recording is empty: it gives no window.")
    times = np.asarray(recording.spans, dtype=np.float32)
    times = np.minimum(times, np.float32(end.duration))  # the front end's last frame reaches behind the last sample
    card = model.card
    return Tagged(
        labels,
        np.stack(recording.scores),
        times,
        end.duration,
        end.overview,
        None if card is None else card.name,
        model.licence,
        model.exclusive,
    )
