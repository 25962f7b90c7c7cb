"""musicnn's network: musically motivated convolutions on log-mels (Pons et al., ISMIR 2018, arXiv 1711.02520; Pons, Serra, arXiv 1909.06654).

Timbral filters see many bands for a moment, temporal filters one band for long; three convolutions over time follow, and statistics over the whole
window. Every convolution has a bias and a ReLU, and the batch normalisation stands behind both.

Letters: B items, F mel bands, M frames, C channels, L classes, W windows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import AudioError, ConfigError
from ..frontend import MaestMel
from ..frontend.mel_settings import MAEST as MEL
from ..mel_encoder import MelEncoder

FRONT_END = replace(MEL, mean=0.0, std_divisor=1.0)  # the same log-mels as MAEST's, taken as they are
TIMBRAL = ((7, 38), (7, 67))  # frames x bands
TEMPORAL = (128, 64, 32)  # frames
EPS, MOMENTUM = 1e-3, 0.01  # of every batch normalisation; the published network kept 0.99 of its moving statistics
FRONT, POOLED, PENULTIMATE = 0, 4, 5  # layers; 1 to 3 are the convolutions between
LONGEST = 18750  # frames of a window, 5 minutes: what fits into memory


class Convolution(nn.Module):
    """Convolution of [B, 1, M, F], ReLU, batch normalisation, maximum over what is left of the bands: [B, C, M].

    kernel: frames and bands. before, behind: frames of silence around the window.
    """

    def __init__(self, channels: int, kernel: tuple[int, int], before: int, behind: int):
        super().__init__()
        self.conv = nn.Conv2d(1, channels, kernel)
        self.norm = nn.BatchNorm2d(channels, EPS, MOMENTUM)
        self.before, self.behind = before, behind

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(functional.relu(self.conv(functional.pad(x, (0, 0, self.before, self.behind)))))
        return h.amax(dim=-1)


class Middle(nn.Module):
    """Convolution over time [B, C, M] -> [B, C', M], ReLU, batch normalisation."""

    def __init__(self, channels_in: int, channels: int):
        super().__init__()
        self.conv = nn.Conv1d(channels_in, channels, 7, padding=3)
        self.norm = nn.BatchNorm1d(channels, EPS, MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(functional.relu(self.conv(x)))
        return out


class MusiCNN(MelEncoder):
    """Log-mels [B, 96, M] of any length -> logits [B, L].

    Layers: 0 front (timbral and temporal filters), 1 to 3 the convolutions over time, each a vector per frame; 4 the statistics over the window, 5
    the vector behind the hidden layer ("penultimate"), each a vector per window.

    Args:
        n_classes: L. labels: their names.
        input_t: frames of a window; 187 as published.
        timbral, temporal, middle, hidden: channels of each timbral and temporal filter bank, of the convolutions between, of the hidden layer.
        exclusive: the classes exclude each other.

    Raises ConfigError for sizes below 1, and labels that do not fit.
    """

    family = "musicnn"
    work = "filters"
    depth = 6
    has_classes = True
    transfer_layer = PENULTIMATE

    def __init__(
        self,
        n_classes: int = 50,
        labels: Sequence[str] | None = None,
        input_t: int = 187,
        timbral: int = 204,
        temporal: int = 51,
        middle: int = 64,
        hidden: int = 200,
        exclusive: bool = False,
    ):
        super().__init__()
        self.n_classes, self.input_t, self.exclusive = int(n_classes), int(input_t), bool(exclusive)
        self.timbral, self.temporal, self.middle, self.hidden = int(timbral), int(temporal), int(middle), int(hidden)
        self.labels = None if labels is None else list(labels)
        self._check()
        self.melspectrogram = MaestMel(settings=FRONT_END)
        self.sample_rate, self.embed_dim = FRONT_END.sample_rate, self.hidden
        self.max_seconds = self.input_t * FRONT_END.hop / self.sample_rate
        self.embedding_rate = 1 / self.max_seconds

        self.input_norm = nn.BatchNorm2d(1, EPS, MOMENTUM)
        banks = [Convolution(self.timbral, kernel, 3, 3) for kernel in TIMBRAL]
        # "same" padding of an even kernel: the odd frame stands behind
        banks += [Convolution(self.temporal, (k, 1), (k - 1) // 2, k // 2) for k in TEMPORAL]
        self.front = nn.ModuleList(banks)
        widths = self.widths
        self.cnn = nn.ModuleList([Middle(widths[FRONT], self.middle), *(Middle(self.middle, self.middle) for _ in range(2))])
        self.pooled_norm = nn.BatchNorm1d(widths[POOLED], EPS, MOMENTUM)
        self.dense = nn.Linear(widths[POOLED], self.hidden)
        self.dense_norm = nn.BatchNorm1d(self.hidden, EPS, MOMENTUM)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(self.hidden, self.n_classes)

    def _check(self) -> None:
        sizes = {name: getattr(self, name) for name in ("n_classes", "input_t", "timbral", "temporal", "middle", "hidden")}
        if wrong := [f"{name} is {size}" for name, size in sizes.items() if size < 1]:
            raise ConfigError(f"{', '.join(wrong)}: sizes are 1 or more.")
        if self.input_t > LONGEST:
            raise ConfigError(f"input_t is {self.input_t} frames; {LONGEST} (5 minutes) is the longest window.")
        if self.labels is not None and len(self.labels) != self.n_classes:
            raise ConfigError(f"{len(self.labels)} labels for n_classes={self.n_classes}: give as many names as classes.")

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments that build this network again, as builtins."""
        names = ("n_classes", "labels", "input_t", "timbral", "temporal", "middle", "hidden")
        return {**{name: getattr(self, name) for name in names}, "exclusive": self.own_exclusive}

    @property
    def widths(self) -> tuple[int, ...]:
        """C of each layer: 561, 64, 64, 64, 1506, 200 as published."""
        front = len(TIMBRAL) * self.timbral + len(TEMPORAL) * self.temporal
        return (front, *[self.middle] * 3, 2 * (front + 3 * self.middle), self.hidden)

    @property
    def label_names(self) -> list[str]:
        """Names of the classes: those given at construction, else their numbers."""
        return list(self.labels or map(str, range(self.n_classes)))

    # ---- windows
    @property
    def window_length(self) -> int:
        return self.input_t

    @property
    def window_range(self) -> tuple[int, int]:
        return 1, LONGEST

    @property
    def about_extraction(self) -> dict[str, Any]:
        sizes = ("timbral", "temporal", "middle", "hidden")
        return {"network": {name: getattr(self, name) for name in ("embed_dim", "depth", *sizes)}}

    # ---- network
    def outputs(self, mel: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Log-mels [B, F, M] -> the asked layers, ascending, [B, C, M] of 0 to 3, [B, C] of 4 and 5; stops behind the deepest."""
        last, out = layers[-1], []
        x = self.input_norm(self._mel(mel).transpose(1, 2)[:, None])
        parts = [torch.cat([bank(x) for bank in self.front], dim=1)]
        for k in range(min(last, len(self.cnn))):
            h = self.cnn[k](parts[-1])
            parts.append(h + parts[-1] if k else h)
        out = [parts[k] for k in layers if k < POOLED]
        if last >= POOLED:
            dense = torch.cat(parts, dim=1)
            pooled = torch.stack([dense.amax(dim=-1), dense.mean(dim=-1)], dim=-1).flatten(1)  # max_0, mean_0, max_1, ...
            out += [pooled] if POOLED in layers else []
        if last >= PENULTIMATE:
            out.append(self.dense_norm(functional.relu(self.dense(self.dropout(self.pooled_norm(pooled))))))
        return out

    def forward(self, mel: Tensor) -> Tensor:
        """Log-mels [B, F, M], M >= 1 -> logits [B, L]: a fine-tuned network's of what it has learned. Raises AudioError for another shape."""
        return self.window_logits(mel)

    def window_logits(self, windows: Tensor) -> Tensor:
        """Log-mel windows [W, F, M] -> logits [W, L]."""
        (vectors,) = self.outputs(windows, [PENULTIMATE])
        logits: Tensor = self.head(self.dropout(vectors))
        return logits

    def encode(self, audio: Tensor, layers: Iterable[int] | None = None) -> Tensor:
        """Audio [B, N] -> layers (default: the last) [L, B, T, C], T frames of layers 0 to 3, windows of 4 and 5. Differentiable.

        Longer audio than a window is cut into windows, the last one as short as it is. Raises ValueError for layers of unlike shape, AudioError for
        other audio.
        """
        chosen = self.resolve_layers(layers)
        if len({(self.widths[k], k < POOLED) for k in chosen}) > 1:
            listed = ", ".join(f"{k}: {self.widths[k]} per {'frame' if k < POOLED else 'window'}" for k in chosen)
            raise ValueError(f"These layers have vectors of unlike shape ({listed}): ask for one at a time.")
        mel = self.melspectrogram(audio)
        whole = max(audio.shape[-1] // FRONT_END.hop, 1)  # the frame behind is centred on the end
        found = [self.outputs(part, chosen) for part in mel[..., :whole].to(self.dtype).split(self.input_t, dim=-1)]
        per_layer = [torch.cat([x if x.ndim == 3 else x[..., None] for x in parts], dim=-1) for parts in zip(*found)]
        return torch.stack(per_layer).transpose(2, 3)

    def pooled(self, windows: Tensor, layers: Sequence[int], pool: str) -> Tensor:
        """Mean over time of each asked layer, [L, W, C], of windows [W, F, M]. Raises ValueError for layers of unlike width."""
        chosen = self.resolve_layers(layers)
        if len({self.widths[k] for k in chosen}) > 1:
            widths = ", ".join(f"{k}: {self.widths[k]}" for k in chosen)
            raise ValueError(f"These layers have unlike widths ({widths}): ask for one at a time.")
        return torch.stack(self.summaries(windows, chosen))

    def summary_shapes(self, layers: Sequence[int]) -> dict[int, tuple[int, ...]]:
        """[C] of each asked layer. Raises ValueError for layers that are not there."""
        return {layer: (self.widths[layer % self.depth],) for layer in layers if self.resolve_layers([layer])}

    def summaries(self, windows: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Of each asked layer in their order [W, C]: the mean over time of 0 to 3, the vector of 4 and 5; in one pass."""
        chosen = self.resolve_layers(layers)
        means = dict(zip(chosen, (x.mean(dim=-1) if x.ndim == 3 else x for x in self.outputs(windows, chosen))))
        return [means[layer % self.depth] for layer in layers]

    def _mel(self, mel: Tensor) -> Tensor:
        if mel.ndim != 3 or mel.shape[1] != FRONT_END.n_mels or not mel.shape[2] or not mel.is_floating_point():
            raise AudioError(
                f"Got a mel {list(mel.shape)} of {mel.dtype}; this network takes log-mels [B, {FRONT_END.n_mels}, frames] of floats, without "
                "normalisation."
            )
        return mel
