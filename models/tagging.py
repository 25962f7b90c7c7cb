"""What a network hears in recordings: probabilities of its named classes over time, for files of any length, in bounded memory.

Windows follow the rule of models/windows.py, here with a last window that ends at the last frame ("shift"), so that every second is heard. Windows of
many recordings share batches; decoding and front end run in a thread ahead of the network. Any AudioEncoder with named classes tags: what is told
apart here is only where a recording's picture comes from. Letters: W windows, L classes, F mel bands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .errors import AudioError
from .frontend import MaestMel
from .frontend.mel_settings import MAEST as MAEST_MEL
from .prefetch import ahead
from .windows import Tail, stream_windows

if TYPE_CHECKING:
    from .encoder import AudioEncoder

SEPARATOR = "---"  # between genre and style in the published labels
OVERVIEW_COLUMNS = 1000  # an overview has fewer than twice as many
Source = str | Path | np.ndarray | Tensor


@dataclass(frozen=True, repr=False)
class Tagged:
    """Classes heard in one recording.

    labels: L names, in column order. windows: [W, L] float32, probabilities. times: [W, 2] float32, start and end of each window in seconds.
    duration: s. overview: [columns, F] float32, the raw log-mel averaged to at most 2000 columns (silence is 0);
    of a network that reads samples one that is made for the picture.
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
    model: AudioEncoder,
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
    model: AudioEncoder,
    sources: Iterable[Source],
    sample_rate: int | None = None,
    hop_seconds: float | None = None,
    batch_size: int = 8,
    tail: Tail = "shift",
    on_windows: Callable[[int], None] | None = None,
) -> Iterator[Tagged | AudioError]:
    """What the network hears in each recording, in their order; the AudioError of one that cannot be used stands in its place.

    Args:
        model: any encoder with named classes: MAEST, a SampleCNN with its head.
        sources: paths, or samples [N] or [N, channels] (with `sample_rate`, Hz).
        hop_seconds: between the starts of two windows (default: their length; less: finer in time, and slower in proportion).
        batch_size: windows per pass; they may come from several recordings.
        tail: what becomes of a recording's end (models/windows.py).
        on_windows: called with the number of windows behind every pass, for progress.

    Raises ValueError for a hop below one mel frame (of a network that reads samples: one sample), a batch below one window, or a network without
    named classes.
    """
    labels, rate = model.label_names, model.units_per_second  # a network without classes is refused here
    hop = model.window_length if hop_seconds is None else round(hop_seconds * rate)
    if hop < 1:
        unit = "sample" if rate == model.sample_rate else "mel frame"
        raise ValueError(f"hop_seconds is {hop_seconds}; two windows are at least one {unit} ({1 / rate:.3g} s) apart.")
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; it must be 1 or more.")
    return _tagged(model, labels, ahead(_stream(model, sources, sample_rate, hop, tail), 2 * batch_size), batch_size, on_windows)


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
    model: AudioEncoder, sources: Iterable[Source], sample_rate: int | None, hop: int, tail: Tail
) -> Iterator[_Window | _End]:
    rate = model.units_per_second
    for source in sources:
        counter, picture = _Counter(), _picture(model)
        try:
            samples = picture.watch_samples(counter.watch(model._blocks(source, sample_rate)))
            windows = picture.watch_windows(model.window_blocks(samples))
            heard = 0
            for window, start, stop in stream_windows(windows, model.window_length, hop, tail, model.silence):
                if not (start % hop and stop - heard <= model.least_tail):  # a clip of exactly one window is one window
                    yield _Window(window.copy(), (start / rate, stop / rate))  # a view would keep the whole block alive
                heard = stop
        except AudioError as error:
            yield _End(0.0, np.zeros((0, picture.bands), np.float32), error)
            continue
        yield _End(counter.samples / model.sample_rate, picture.columns())


class _Counter:
    def __init__(self) -> None:
        self.samples = 0

    def watch(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for block in blocks:
            self.samples += len(block)
            yield block


class _MelPicture:
    """The overview of a recording whose windows are log-mels [F, n] themselves, normalised by `mean` and `divisor`."""

    def __init__(self, bands: int, mean: float, divisor: float):
        self.bands, self._mean, self._divisor = bands, mean, divisor
        self._overview = _Overview(bands)

    def watch_samples(self, blocks: Iterable[np.ndarray]) -> Iterable[np.ndarray]:
        return blocks

    def watch_windows(self, blocks: Iterable[np.ndarray]) -> Iterable[np.ndarray]:
        return self._overview.watch(blocks)

    def columns(self) -> np.ndarray:
        """[columns, F] float32, raw log-mel."""
        raw: np.ndarray = self._overview.columns() * self._divisor + self._mean
        return raw.astype(np.float32)


class _SamplePicture(_MelPicture):
    """The overview of a recording whose windows are samples: a log-mel of its own, made of them at the network's rate."""

    def __init__(self, sample_rate: int):
        settings = replace(
            MAEST_MEL, family="overview", sample_rate=sample_rate, n_fft=1024, hop=512, f_max=min(8000.0, sample_rate / 2)
        )
        super().__init__(settings.n_mels, 0.0, 1.0)
        self._front_end, self._hop = MaestMel(normalize=False, settings=settings), settings.hop
        self._rest = np.zeros(0, np.float32)

    def watch_samples(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for block in blocks:
            joined = np.concatenate([self._rest, block])
            whole = len(joined) // self._hop * self._hop
            self._add(joined[:whole])
            self._rest = joined[whole:]
            yield block
        self._add(self._rest)

    def watch_windows(self, blocks: Iterable[np.ndarray]) -> Iterable[np.ndarray]:
        return blocks

    def _add(self, samples: np.ndarray) -> None:
        """A frame per hop. Blocks are long, so that a picture does not show that each was padded by itself."""
        if len(samples):
            frames = -(-len(samples) // self._hop)
            self._overview.add(self._front_end(torch.from_numpy(samples)[None])[0, :, :frames].numpy())


def _picture(model: AudioEncoder) -> _MelPicture:
    front_end = getattr(model, "melspectrogram", None)
    if front_end is None:
        return _SamplePicture(model.sample_rate)
    settings = front_end.settings
    return _MelPicture(settings.n_mels, settings.mean, settings.std_divisor)


class _Overview:
    """A mel of any length averaged to a bounded number of columns: whenever there are twice as many as wanted, each two become one."""

    def __init__(self, bands: int):
        self._bands, self._per_column = bands, 1
        self._done: list[np.ndarray] = []  # [F, n] pieces at the present resolution
        self._rest = np.zeros((bands, 0), np.float32)

    def watch(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for block in blocks:
            self.add(block)
            yield block

    def add(self, block: np.ndarray) -> None:
        """Frames [F, n] that follow."""
        frames = np.concatenate([self._rest, block], axis=1)
        whole = frames.shape[1] // self._per_column * self._per_column
        self._done.append(frames[:, :whole].reshape(self._bands, -1, self._per_column).mean(axis=2))
        self._rest = frames[:, whole:]
        while sum(piece.shape[1] for piece in self._done) >= 2 * OVERVIEW_COLUMNS:
            columns = np.concatenate(self._done, axis=1)
            if columns.shape[1] % 2:  # the odd one goes back among the frames that wait, as often as it stands for them
                self._rest = np.concatenate([np.repeat(columns[:, -1:], self._per_column, axis=1), self._rest], axis=1)
                columns = columns[:, :-1]
            self._done = [(columns[:, ::2] + columns[:, 1::2]) / 2]
            self._per_column *= 2

    def columns(self) -> np.ndarray:
        """[columns, F]; a last column of fewer frames is their mean."""
        rest = [self._rest.mean(axis=1, keepdims=True)] if self._rest.shape[1] else []
        return np.concatenate([*self._done, *rest], axis=1).T


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
    model: AudioEncoder,
    labels: list[str],
    events: Iterator[_Window | _End],
    batch_size: int,
    on_windows: Callable[[int], None] | None,
) -> Iterator[Tagged | AudioError]:
    recordings: list[_Open] = [_Open()]
    waiting: list[tuple[_Open, np.ndarray]] = []

    def pass_() -> None:
        _score(model, waiting)
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
def _score(model: AudioEncoder, waiting: Sequence[tuple[_Open, np.ndarray]]) -> None:
    was_training = model.training
    model.eval()
    try:
        windows = torch.from_numpy(np.stack([window for _, window in waiting])).to(model.device, model.dtype)
        scores = model.window_probabilities(windows).float().cpu().numpy()
    finally:
        model.train(was_training)
    for (recording, _), row in zip(waiting, scores):
        recording.scores.append(row)


def _result(model: AudioEncoder, labels: list[str], recording: _Open) -> Tagged | AudioError:
    end: Any = recording.end
    if end.error is not None:
        error: AudioError = end.error
        return error
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
        None if card is None else card.licence,
        model.exclusive,
    )
