"""SampleCNN: raw waveform in, one vector out (Lee, Park, Kim, Nam, SMC 2017, arXiv 1703.01789), as CLMR uses it (arXiv 2103.09410).

Letters: B batch, N samples, C width, T vectors in time, L classes. Parameter names are those of the published checkpoints:
`sequential.<block>.<0 conv | 1 batch norm>.*` and `fc.*`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..encoder import AudioEncoder
from ..errors import AudioError, ConfigError
from ..settings import FLAG, LABELS, Choice, Maybe, Number, Numbers, Rules, check_settings, check_size

SAMPLE_RATE = 22050  # Hz
CHANNELS = (128, 128, 128, 256, 256, 256, 256, 256, 256, 512, 512)
STRIDES = (3,) * 9
FIRST = 3  # kernel and stride of the first convolution
HEADS = ("linear", "mlp")
RULES: Rules = {
    "channels": Numbers(Number(1, 65_536), 1, 64), "strides": Numbers(Number(1, 1000), 0, 62), "out_dim": Maybe(Number(1, 100_000)),
    "head": Choice(HEADS), "supervised": FLAG, "labels": LABELS, "sample_rate": Number(1, 1_000_000), "exclusive": FLAG,
}  # fmt: skip
MOST_SAMPLES = 1 << 31  # of a window


def check(settings: Mapping[str, Any], what: str = "This SampleCNN", error: type[ValueError] = ConfigError) -> None:
    """Raise `error` for settings, given as far as they are known, that are no SampleCNN's, or one's that is too large to be built."""
    check_settings(settings, RULES, what, error)
    channels, strides = settings.get("channels", CHANNELS), settings.get("strides", STRIDES)
    if math.prod(strides) > MOST_SAMPLES:
        raise error(
            f"{what} has windows of {FIRST} x the product of strides samples, {math.prod(strides):.3g}: at most {MOST_SAMPLES}."
        )
    kernels = (FIRST, *strides, 3)
    check_size(
        sum(a * b * k for a, b, k in zip((1, *channels), channels, kernels)) + channels[-1] * (settings.get("out_dim") or 0),
        what,
        error,
    )


class SampleCNN(AudioEncoder):
    """A 1-D convolutional network that reads samples: no spectrogram, no normalisation of the input.

    Block 0 is a convolution of kernel and stride 3; blocks 1 .. len(strides) a convolution of kernel s and a max-pooling by s each;
    the last one a convolution of kernel 3. Every convolution has a bias and is followed by batch norm and ReLU. A window of
    3 * prod(strides) samples (59 049 = 2.678 s at 22 050 Hz) becomes one vector h [channels[-1]], which is never negative.

    Layers are the blocks' outputs, 0 .. depth - 1. Only the last one is what CLMR calls the representation; earlier ones are
    narrower and finer in time, so layers of unlike shape are asked for one at a time.

    Args:
        channels: width of each block, two more than strides (the published network: 128 x 3, 256 x 6, 512 x 2).
        strides: kernel and pooling of blocks 1 .. len(strides); 3 nine times as published.
        out_dim: classes L of `fc`; None: no head, `forward` gives h. head: "linear" (`fc`), or "mlp" (`fc.0`, ReLU, `fc.2`).
        supervised: dropout of 0.5 on h in training.
        exclusive: the classes exclude each other (one per track): probabilities are softmaxes, else sigmoids.
        labels: names of the classes, in column order. sample_rate: Hz.

    Raises ConfigError for settings that cannot work together.
    """

    family = "clmr"
    work = "convolution"

    def __init__(
        self,
        channels: Sequence[int] = CHANNELS,
        strides: Sequence[int] = STRIDES,
        out_dim: int | None = 50,
        head: str = "linear",
        supervised: bool = False,
        labels: Sequence[str] | None = None,
        sample_rate: int = SAMPLE_RATE,
        exclusive: bool = False,
    ):
        super().__init__()
        check({name: value for name, value in locals().items() if name in RULES})
        self.channels, self.strides = tuple(map(int, channels)), tuple(map(int, strides))
        self.out_dim = None if out_dim is None else int(out_dim)
        self.head, self.supervised, self.sample_rate = head, bool(supervised), int(sample_rate)
        self.labels = None if labels is None else list(labels)
        self.exclusive = bool(exclusive)
        self._check()
        widths = zip((1, *self.channels), self.channels)
        kernels = (FIRST, *self.strides, 3)
        blocks = []
        for k, ((wide_in, wide_out), kernel) in enumerate(zip(widths, kernels)):
            first = k == 0
            conv = nn.Conv1d(wide_in, wide_out, kernel, stride=FIRST if first else 1, padding=0 if first else kernel // 2)
            pool = [nn.MaxPool1d(kernel)] if 0 < k <= len(self.strides) else []
            blocks.append(nn.Sequential(conv, nn.BatchNorm1d(wide_out), nn.ReLU(), *pool))
        self.sequential = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(0.5 if self.supervised else 0.0)
        self.fc = make_head(self.channels[-1], self.out_dim, head)
        self.embed_dim, self.depth = self.channels[-1], len(self.channels)
        self.embedding_rate = self.sample_rate / self.window_length
        self.max_seconds = self.window_length / self.sample_rate

    def _check(self) -> None:
        if len(self.channels) != len(self.strides) + 2:
            raise ConfigError(
                f"{len(self.channels)} channels and {len(self.strides)} strides: there are two more blocks (the first and the last) "
                "than strides."
            )
        if min((*self.channels, *self.strides)) < 1 or self.sample_rate < 1 or (self.out_dim is not None and self.out_dim < 1):
            raise ConfigError("channels, strides, out_dim and sample_rate must be 1 or more.")
        if self.head not in HEADS:
            raise ConfigError(f"head is '{self.head}'; choose {' or '.join(HEADS)}.")
        if self.labels is not None and len(self.labels) != self.out_dim:
            raise ConfigError(f"{len(self.labels)} labels for out_dim={self.out_dim}: give as many names as classes.")

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments that build this network again, as builtins."""
        names = ("out_dim", "head", "supervised", "labels", "sample_rate")
        found = {name: getattr(self, name) for name in names}
        return {"channels": list(self.channels), "strides": list(self.strides), **found, "exclusive": self.own_exclusive}

    @property
    def n_classes(self) -> int:
        """L. Raises ConfigError for a network without a head."""
        if self.out_dim is None:
            raise ConfigError(
                "This SampleCNN has no head (out_dim is none): it has no classes. Give it a trained head: load_checkpoint(ENCODER, head=FILE)."
            )
        return self.out_dim

    @property
    def has_classes(self) -> bool:
        """Whether it has a head."""
        return self.out_dim is not None

    @property
    def label_names(self) -> list[str]:
        """Names of the classes: those given at construction, else their numbers."""
        return list(self.labels or map(str, range(self.n_classes)))

    # ---- windows
    @property
    def window_length(self) -> int:
        """Samples that become one vector: 59 049 as published."""
        return FIRST * math.prod(self.strides)

    def layer_shape(self, layer: int) -> tuple[int, int]:
        """(T, C) of a layer for one window."""
        (k,) = self.resolve_layers([layer])
        length = self.window_length // FIRST
        for stride in self.strides[:k]:
            length //= stride
        return length, self.channels[k]

    # ---- network
    def features(self, audio: Tensor) -> Tensor:
        """Audio [B, N] or [B, 1, N] of at least one window -> h [B, C]; a surplus below another window is not heard.

        Raises AudioError for another shape, or fewer samples than a window.
        """
        h: Tensor = self.sequential(self._audio(audio))
        if h.shape[-1] != 1:
            raise AudioError(
                f"{audio.shape[-1]} samples are {h.shape[-1]} windows of {self.window_length}: cut them apart, or use embed() or encode()."
            )
        out: Tensor = self.dropout(h.flatten(1))
        return out

    def forward(self, audio: Tensor) -> Tensor:
        """Audio [B, 1, N] or [B, N] -> logits [B, L], a fine-tuned network's of what it has learned, or h [B, C] where there is no head.

        Raises as `features` does.
        """
        return self.window_logits(audio) if self.has_classes else self.features(audio)

    def encode(self, audio: Tensor, layers: Iterable[int] | None = None) -> Tensor:
        """Audio [B, N] -> outputs of blocks (default: the last) [L, B, T, C]; N may be several windows. Differentiable.

        Raises ValueError for layers of unlike shape, AudioError as `features` does.
        """
        chosen = self.resolve_layers(layers)
        found = [x.transpose(1, 2) for x in self._outputs(audio, chosen)]
        if len({tuple(x.shape) for x in found}) > 1:
            shapes = ", ".join(f"{k}: {list(x.shape[1:])}" for k, x in zip(chosen, found))
            raise ConfigError(f"These layers have vectors of unlike shape [T, C] ({shapes}): ask for one at a time.")
        return torch.stack(found)

    def pooled(self, windows: Tensor, layers: Sequence[int], pool: str) -> Tensor:
        """Mean over time of each asked layer, [L, W, C], of windows [W, N]. Raises ValueError for layers of unlike width."""
        chosen = self.resolve_layers(layers)
        if len({self.channels[k] for k in chosen}) > 1:
            widths = ", ".join(f"{k}: {self.channels[k]}" for k in chosen)
            raise ConfigError(f"These layers have unlike widths ({widths}): ask for one at a time.")
        return torch.stack([x.mean(dim=-1) for x in self._outputs(windows, chosen)])

    def window_logits(self, windows: Tensor) -> Tensor:
        """Windows [W, N] -> logits [W, L]. Raises ConfigError for a network without a head."""
        if self.out_dim is None:
            raise ConfigError("This SampleCNN has no head (out_dim is none): it gives vectors, no logits.")
        logits: Tensor = self.fc(self.features(windows))
        return logits

    def summary_shapes(self, layers: Sequence[int]) -> dict[int, tuple[int, ...]]:
        """[C] of each asked layer: blocks have widths of their own. Raises ValueError for layers that are not there."""
        return {layer: (self.layer_shape(layer)[1],) for layer in layers}

    def summaries(self, windows: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Mean over time of each asked layer in their order, [W, C] each with its own C, in one pass."""
        chosen = self.resolve_layers(layers)
        means = dict(zip(chosen, (x.mean(dim=-1) for x in self._outputs(windows, chosen))))
        return [means[layer % self.depth] for layer in layers]

    def moments(self, windows: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Windows [W, N] -> vectors of each asked layer in their order, [W, T, C] each with its own T and C, in one pass."""
        chosen = self.resolve_layers(layers)
        found = dict(zip(chosen, (x.transpose(1, 2) for x in self._outputs(windows, chosen))))
        return [found[layer % self.depth] for layer in layers]

    def moment_times(self, n: int, length: int, layer: int) -> np.ndarray:
        """Centres in seconds, [n]: a layer's vectors lie evenly over its window."""
        times: np.ndarray = (np.arange(n) + 0.5) * (self.window_length / self.layer_shape(layer)[0] / self.sample_rate)
        return times

    def _outputs(self, audio: Tensor, chosen: Sequence[int]) -> Iterator[Tensor]:
        """Outputs [B, C, T] of the chosen blocks, ascending; stops behind the deepest."""
        x = self._audio(audio)
        for k, block in zip(range(chosen[-1] + 1), self.sequential.children()):
            x = block(x)
            if k in chosen:
                yield x

    def _audio(self, audio: Tensor) -> Tensor:
        x = audio[:, None] if audio.ndim == 2 else audio
        if x.ndim != 3 or x.shape[1] != 1:
            raise AudioError(f"SampleCNN takes mono audio [B, samples] or [B, 1, samples]; got {list(audio.shape)}.")
        if x.shape[-1] < self.window_length:
            raise AudioError(
                f"{x.shape[-1]} samples are fewer than a window of {self.window_length} ({self.max_seconds:.3f} s at {self.sample_rate} Hz): "
                "pad them with silence, or use embed(), which does."
            )
        return x


def make_head(width: int, classes: int | None, kind: str) -> nn.Module:
    """The layers behind h [B, width]: one Linear, or with "mlp" a hidden one of the same width; no classes: the identity."""
    if classes is None:
        return nn.Identity()
    if kind == "mlp":
        return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, classes))
    return nn.Linear(width, classes)
