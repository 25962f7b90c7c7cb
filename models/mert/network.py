"""MERT (arXiv 2306.00107): audio -> convolutions -> transformer -> vectors, with the parameters of transformers' HubertModel.

Letters: B clips, N samples, T vectors in time, C width, L depth. Two ways to count: hidden state 0 is what the first block reads, i the output of
block i, and of the large network L is behind a last layer norm (L + 1 states, as transformers counts); as in every family here, layers are blocks
from 0 on, so that layer i is hidden state i + 1. The first convolution is normalised over a clip's time and attention looks both ways: a clip's
vectors depend on all of it, and on nothing else in its batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d

from .._torchvision import ensure_torchvision
from ..encoder import AudioEncoder
from ..errors import AudioError
from ..frontend.convolutions import n_vectors, receptive_field
from ..frontend.waves import check_audio, check_rate, standardised
from ..mean_head import MeanHead
from ..states import Hidden, answer
from .files import UNUSED
from .settings import OWN, SHAPE, check

ensure_torchvision()  # before transformers is imported anywhere, by a user too
NO_PADDING = "the first convolution is normalised over all of a clip's time, so that padding changes its vectors"


class MERT(MeanHead, AudioEncoder):
    """A published encoder's network, with random weights; `load` gives it those of a file.

    settings: transformers' names for its shape (settings.SHAPE, the default: MERT-v1-95M's), and
        sample_rate: Hz, 24000 (v1) or 16000 (v0). normalize: each clip is (x - mean) / sqrt(variance + 1e-7) first, as its processor does.
        max_seconds: length of the clips that it was trained on, and of the windows of longer recordings.
        sdpa: attention by torch's scaled_dot_product_attention; False: plain products and softmax.
        out_dim: classes of a linear head on the mean of the last layer; None: no head. labels: their names. exclusive: one class per recording.

    Raises ConfigError for settings that cannot work, ImportError without transformers.
    """

    family = "mert"
    own_lengths = True

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        check(settings)
        s = {**SHAPE, **OWN, **settings}
        self._settings = {k: list(v) if isinstance(v, (list, tuple)) else v for k, v in s.items()}
        model = _hubert({name: s[name] for name in SHAPE}, bool(s["sdpa"]))
        self.feature_extractor, self.feature_projection, self.encoder = (
            model.feature_extractor,
            model.feature_projection,
            model.encoder,
        )
        self.register_buffer(UNUSED, torch.zeros(s["hidden_size"]))  # a part of published files that no pass uses
        self._make_head(s["hidden_size"], s["out_dim"], s["labels"], s["exclusive"])
        self.embed_dim, self.depth, self.sample_rate = int(s["hidden_size"]), int(s["num_hidden_layers"]), int(s["sample_rate"])
        self.max_seconds, self.hop = float(s["max_seconds"]), int(np.prod(s["conv_stride"]))
        self.embedding_rate, self.receptive_field = self.sample_rate / self.hop, receptive_field(s)

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

    def n_vectors(self, n_samples: int) -> int:
        """T of a clip of so many samples: 24000 -> 74, 120000 -> 374."""
        return int(n_vectors(self._settings, n_samples))

    def moment_times(self, n: int, length: int, layer: int) -> np.ndarray:
        """Centres of what each vector sees, seconds, float64 [n]."""
        return (np.arange(n) * self.hop + self.receptive_field / 2) / self.sample_rate

    # ---- audio to vectors
    def hidden_states(self, audio: Tensor, last: int | None = None) -> list[Tensor]:
        """Audio [B, N] -> hidden states 0 .. last (None: L) [B, T, C], by transformers' numbers; no further block is computed.

        Raises AudioError for audio that cannot be used (frontend/waves.py).
        """
        wave = check_audio(audio, self.sample_rate, self.receptive_field, NO_PADDING)
        wave = standardised(wave) if self._settings["normalize"] else wave
        x = self.feature_projection(self.feature_extractor(wave.to(self.dtype)).transpose(1, 2))
        return self._blocks(x, self.depth if last is None else last)

    def _blocks(self, x: Tensor, last: int) -> list[Tensor]:
        encoder, stable = self.encoder, self._settings["do_stable_layer_norm"]
        x = x + encoder.pos_conv_embed(x)
        x = encoder.dropout(x if stable else encoder.layer_norm(x))
        found = [x]
        for layer in list(encoder.layers)[:last]:
            found.append(layer(found[-1]))
        if stable and last == self.depth:
            found[-1] = encoder.layer_norm(found[-1])
        return found

    def encode(self, audio: Tensor, layers: Iterable[int] | int | None = None) -> Tensor:
        """Audio [B, N] -> outputs of blocks (default: the last) [L, B, T, C]; differentiable, nothing behind the deepest one is computed.

        Raises ValueError for layers that are not there, AudioError for audio that cannot be used.
        """
        chosen = self.resolve_layers(layers)
        found = self.hidden_states(audio, chosen[-1] + 1)
        return torch.stack([found[layer + 1] for layer in chosen])

    def extract_embeddings(
        self, audio: Tensor, layers: Iterable[int] | int | None = None, sample_rate: int | None = None
    ) -> Tensor:
        """Vectors [L, B, T, C] of audio [B, N] in eval mode, without gradients; layers ascending, each once.

        sample_rate: of the audio, where it shall be checked. Raises AudioError for another rate than the network's, and as `encode` does.
        """
        check_rate(sample_rate, self.sample_rate)
        return super().extract_embeddings(audio, layers)  # type: ignore[arg-type]

    def forward(
        self,
        input_values: Tensor,
        attention_mask: Tensor | None = None,
        output_hidden_states: bool = False,
        return_dict: bool | None = None,
    ) -> Tensor | Hidden:
        """Audio [B, N] -> the last hidden state [B, T, C]; with output_hidden_states it and all others, with return_dict it under its name.

        attention_mask: [B, N], all ones: clips are not padded. Raises as `encode` does, and AudioError for padding.
        """
        if attention_mask is not None and not bool(attention_mask.all()):
            raise AudioError(f"The attention_mask marks padding: {NO_PADDING}. Give clips one by one, or use embed().")
        return answer(self.hidden_states(input_values), output_hidden_states, return_dict)


class _Positions(nn.Module):
    """HuBERT's convolution of positions [B, T, C] -> [B, T, C], with its names, but without torch's parametrisation, which cannot be pickled.

    made: transformers' module, whose numbers it takes.
    """

    def __init__(self, made: Any) -> None:
        super().__init__()
        conv: Any = nn.Module()
        conv.bias, weight = made.conv.bias, made.conv.parametrizations.weight
        conv.parametrizations = nn.Module()
        conv.parametrizations.weight = nn.Module()
        conv.parametrizations.weight.original0, conv.parametrizations.weight.original1 = weight.original0, weight.original1
        self.conv: Any = conv
        self.activation, self.groups = made.activation, int(made.conv.groups)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.conv.parametrizations.weight
        weight = torch._weight_norm(parts.original1, parts.original0, 2)
        kernel = weight.shape[-1]
        found = conv1d(x.transpose(1, 2), weight, self.conv.bias, padding=kernel // 2, groups=self.groups)
        found = self.activation(found[..., : found.shape[-1] - (kernel % 2 == 0)])
        return found.transpose(1, 2)


def _hubert(shape: Mapping[str, Any], sdpa: bool) -> Any:
    """A HubertModel of transformers with random weights: nothing is read from the network. Raises ImportError without transformers."""
    try:  # here for start-up time
        from transformers import HubertConfig, HubertModel
    except ImportError as error:
        raise ImportError(f"MERT's blocks are transformers' ({error}): pip install 'transformers>=5'.") from error
    made: Any = HubertConfig
    config = made(**shape, num_feat_extract_layers=len(shape["conv_dim"]), layerdrop=0.0)
    config._attn_implementation = "sdpa" if sdpa else "eager"
    model: Any = HubertModel(config)
    model.encoder.pos_conv_embed = _Positions(model.encoder.pos_conv_embed)
    return model
