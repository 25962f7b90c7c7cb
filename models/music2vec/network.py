"""music2vec (arXiv 2212.02508): 16 kHz audio -> convolutions -> transformer -> 50 vectors per second, with the parameters of data2vec's audio model.

Letters: B clips, N samples, T vectors in time, C width, L depth. Two ways to count: hidden state 0 is what the first block reads, i the output of
block i (L + 1 states, as transformers counts); as in every family here, layers are blocks from 0 on, so that layer i is hidden state i + 1.
Each clip is normalised by itself; attention looks both ways: a clip's vectors depend on all of it, and on nothing else in its batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..encoder import AudioEncoder
from ..errors import AudioError, ConfigError
from ..frontend.convolutions import n_vectors, receptive_field
from ..frontend.waves import check_audio, check_rate
from ..mean_head import MeanHead
from ..settings import check_settings
from ..states import Hidden, answer
from ..weights.strict import load_strictly
from . import blocks
from .files import read
from .pooling import time_mean
from .processor import normalized
from .settings import OWN, RATE, RULES, SHAPE, check, of_transformers

NO_PADDING = "padding belongs to a clip unless its length is given (lengths=)"
Lengths = Tensor | Sequence[int]


class Music2Vec(MeanHead, AudioEncoder):
    """The published encoder.

    Args:
        source: a registered name ("m-a-p/music2vec-v1"), a folder or file of weights in any form that this family reads, a transformers
            Data2VecAudioConfig (random weights of its shape), or None (random weights of the published shape, or of the settings').
        settings: of a network with random weights: transformers' names (settings.SHAPE), and
            max_seconds: length of the clips that it was trained on, and of the windows of longer recordings. sdpa: attention by torch's
            scaled_dot_product_attention; False: plain products and softmax. out_dim: classes of a linear head on the mean of the last layer;
            None: no head. labels: their names. exclusive: one class per recording.
            Of a network that is loaded only max_seconds and sdpa may be given; the rest is the file's.

    A loaded network is in eval mode. Raises WeightsNotFoundError, WeightsError for weights that are not there or do not fit, ConfigError for settings
    that cannot work.
    """

    family = "music2vec"
    own_lengths = True
    sample_rate = RATE
    gradient_checkpointing: bool | None = False

    def __init__(self, source: Any = "m-a-p/music2vec-v1", **settings: Any) -> None:
        super().__init__()
        state = None
        check_settings(settings, RULES, "This music2vec")  # before files are read
        if isinstance(source, (str, Path)):
            state, said, name = read(source)
            if other := set(settings) - {"max_seconds", "sdpa"}:
                raise ConfigError(f"{source} says its own {', '.join(sorted(other))}: leave it out.")
            settings = {**said, **settings}
        elif source is not None:
            if not callable(getattr(source, "to_dict", None)):
                raise ConfigError(f"A music2vec is made of a name, a path, a transformers config or None; got {source!r}.")
            said = of_transformers(source.to_dict())
            settings = {**{k: v for k, v in said.items() if k != "family"}, **settings}
        check(settings)
        s = {**SHAPE, **OWN, **settings, "source": None}
        self._settings = {k: list(v) if isinstance(v, (list, tuple)) else v for k, v in s.items()}
        model = blocks.transformers_model({name: s[name] for name in SHAPE}, bool(s["sdpa"]))
        self.feature_extractor, self.feature_projection = model.feature_extractor, model.feature_projection
        self.masked_spec_embed, self.encoder = model.masked_spec_embed, model.encoder
        self._make_head(s["hidden_size"], s["out_dim"], s["labels"], s["exclusive"])
        self.embed_dim, self.depth = int(s["hidden_size"]), int(s["num_hidden_layers"])
        self.max_seconds, self.hop = float(s["max_seconds"]), int(np.prod(s["conv_stride"]))
        self.embedding_rate, self.receptive_field = RATE / self.hop, receptive_field(s)
        if state is not None:
            load_strictly(self, state, name)
            self.eval()

    @classmethod
    def from_pretrained(cls, source: str | Path, **settings: Any) -> Music2Vec:
        """As the constructor, by the name that transformers' models have for it."""
        return cls(source, **settings)

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments that build this network again, as builtins."""
        return {**self._settings, **self.head_settings}

    @property
    def block_list(self) -> str | None:
        """See AudioEncoder."""
        return "encoder.layers"

    # ---- windows
    @property
    def window_range(self) -> tuple[int, int]:
        """What one vector sees, and the clips that it was trained on."""
        return self.receptive_field, self.window_length

    @property
    def about_extraction(self) -> dict[str, Any]:
        """See AudioEncoder."""
        return {"network": {"embed_dim": self.embed_dim, "depth": self.depth}, "embedding_rate": self.embedding_rate}

    def n_vectors(self, n_samples: Any) -> Any:
        """T of a clip of so many samples (a number or a tensor of them): 16000 -> 49, 80000 -> 249."""
        return n_vectors(self._settings, n_samples)

    def moment_times(self, n: int, length: int, layer: int) -> np.ndarray:
        """Centres of what each vector sees, seconds, float64 [n]."""
        return (np.arange(n) * self.hop + self.receptive_field / 2) / RATE

    # ---- audio to vectors
    def features(self, audio: Tensor, lengths: Lengths | None = None) -> tuple[Tensor, Tensor | None]:
        """Audio [B, N] -> (the stem's projected vectors [B, T, C], which of them are no padding [B, T] bool or None).

        lengths: samples of each clip [B], where silence stands behind the shorter ones. Raises AudioError for audio that cannot be used.
        """
        wave = check_audio(audio, RATE, self.receptive_field, NO_PADDING)
        sizes = None if lengths is None else self._checked(lengths, wave)
        x = normalized(wave, sizes).to(self.dtype)[:, None]
        for layer in self.feature_extractor.conv_layers:
            x = self._call(layer, x)
        x = self.feature_projection(x.transpose(1, 2))[0]
        if sizes is None:
            return x, None
        return x, torch.arange(x.shape[1], device=x.device) < self.n_vectors(sizes)[:, None]

    def _checked(self, lengths: Lengths, wave: Tensor) -> Tensor:
        sizes = torch.as_tensor(lengths, device=wave.device)
        if sizes.shape != wave.shape[:1] or sizes.is_floating_point():
            raise AudioError(f"lengths are whole numbers of samples, one per clip [{len(wave)}]; got {lengths!r}.")
        if int(sizes.min()) < self.receptive_field or int(sizes.max()) > wave.shape[1]:
            raise AudioError(
                f"lengths lie from {self.receptive_field} samples to the batch's {wave.shape[1]}; got {sizes.tolist()}."
            )
        return sizes

    def _call(self, function: Any, *given: Any) -> Any:
        if self.gradient_checkpointing and self.training and torch.is_grad_enabled():
            return checkpoint(function, *given, use_reentrant=False)
        return function(*given)

    def contextual(self, x: Tensor, heard: Tensor | None = None, last: int | None = None, **options: Any) -> list[Tensor]:
        """Projected vectors [B, T, C] -> hidden states 0 .. last [B, T, C]. options: of blocks.run."""
        return blocks.run(self.encoder, x, heard, last, call=self._call, **options)[0]

    def masked(self, x: Tensor, mask: Tensor) -> Tensor:
        """Projected vectors [B, T, C] with the learned vector in place of those where mask [B, T] bool is True."""
        if mask.dtype != torch.bool or mask.shape != x.shape[:2]:
            raise ConfigError(f"A mask of these clips is bool {list(x.shape[:2])}; got {mask.dtype} {list(mask.shape)}.")
        return torch.where(mask[..., None], self.masked_spec_embed.to(x.dtype), x)

    def encode(self, audio: Tensor, layers: Iterable[int] | int | None = None, lengths: Lengths | None = None) -> Tensor:
        """Audio [B, N] -> outputs of blocks (default: the last) [L, B, T, C]; differentiable, nothing behind the deepest one is computed.

        lengths: samples of each clip [B]; vectors behind a clip's end mean nothing, those before it are as if it stood alone.

        Raises ValueError for layers that are not there, AudioError for audio that cannot be used.
        """
        chosen = self.resolve_layers(layers)
        found = self.contextual(*self.features(audio, lengths), last=chosen[-1] + 1)
        return torch.stack([found[layer + 1] for layer in chosen])

    def extract_embeddings(
        self, audio: Tensor, layers: Iterable[int] | int | None = None, sample_rate: int | None = None
    ) -> Tensor:
        """Vectors [L, B, T, C] of audio [B, N] in eval mode, without gradients; layers ascending, each once.

        sample_rate: of the audio, where it shall be checked. Raises AudioError for another rate than 16 kHz, and as `encode` does.
        """
        check_rate(sample_rate, RATE)
        return super().extract_embeddings(audio, layers)  # type: ignore[arg-type]

    def hidden_states(self, wav: Tensor, lengths: Lengths | None = None) -> Tensor:
        """Audio [B, N] -> all L + 1 hidden states [L + 1, B, T, C]; state 0 is what the first block reads. lengths: as of `encode`."""
        return torch.stack(self.contextual(*self.features(wav, lengths)))

    def time_reduced(self, wav: Tensor, lengths: Lengths | None = None) -> Tensor:
        """Audio [B, N] -> the mean over time of every hidden state [L + 1, B, C]; of padded clips over their own vectors."""
        frames = None if lengths is None else self.n_vectors(torch.as_tensor(lengths))
        return time_mean(self.hidden_states(wav, lengths), frames)

    def forward(
        self,
        input_values: Tensor,
        attention_mask: Tensor | None = None,
        mask: Tensor | None = None,
        output_hidden_states: bool = False,
        return_dict: bool | None = None,
    ) -> Tensor | Hidden:
        """Audio [B, N] -> the last hidden state [B, T, C]; with output_hidden_states it and all others, with return_dict it under its name.

        Args:
            input_values: audio, normalised or not: clips are normalised here, and twice is as once.
            attention_mask: [B, N], 1 for samples and 0 for padding behind them.
            mask: [B, T] bool, vectors of the stem that are replaced by the learned one.
            output_hidden_states, return_dict: as transformers names them; without either a call gives a tensor.

        Raises as `encode` does, and ConfigError for a mask of another shape.
        """
        x, heard = self.features(input_values, None if attention_mask is None else attention_mask.sum(1).long())
        found = self.contextual(x if mask is None else self.masked(x, mask), heard)
        return answer(found, output_hidden_states, return_dict)
