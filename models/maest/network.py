"""MAEST: the spectrogram transformer (Alonso-Jimenez, Serra, Bogdanov, ISMIR 2023, arXiv 2309.16418), after PaSST (arXiv 2110.05069).

Letters: B batch, F mel bands, M mel frames, f x t patch grid, N tokens, C width, L classes, W windows. Parameter names are those of the published
checkpoints. Patches that patchout drops are never cut out of the spectrogram, let alone computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..arithmetic import recomputed
from ..errors import ConfigError
from ..frontend import MaestMel
from ..frontend.mel_settings import MAEST as FRONT_END
from ..frontend.mel_settings import NORM_MEAN, NORM_STD
from ..untrained import check_trained
from ..weights.task_head import head_of
from . import inputs, sizes
from .block import Block
from .labels import default_labels
from .patchout import PATCH, Patchout
from .stored import StoredMels


class PatchEmbed(nn.Module):
    """Linear map of 16 x 16 patches, held as the convolution of the published checkpoints but applied to the wanted patches only."""

    def __init__(self, embed_dim: int, stride: tuple[int, int]):
        super().__init__()
        self.proj = nn.Conv2d(1, embed_dim, PATCH, stride)

    def forward(self, mel: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Mel [B, F, M] and the grid positions [N], [N] of the wanted patches -> [B, N, C]."""
        stride_f, stride_t = self.proj.stride
        patches = mel.unfold(1, PATCH, stride_f).unfold(2, PATCH, stride_t)[:, rows, columns]  # [B, N, 16, 16]
        return functional.linear(patches.flatten(2), self.proj.weight.flatten(1), self.proj.bias)


class MAEST(StoredMels):
    """Music Audio Efficient Spectrogram Transformer.

    Args:
        input_f, input_t: mel bands and frames that the position tables are made for (16 kHz, hop 256: 62.5 frames per second).
        n_classes: L. embed_dim: C. depth: blocks. num_heads: attention heads. mlp_ratio: width of the blocks' MLP over C.
        init_std: of the fresh weights, tokens and position tables; 0.02 suits C = 768, a narrow network learns far sooner from about 1 / sqrt(C).
        stride: of the patches, in bands and frames.
        distilled: a DIST token beside CLS. distilled_type: "mean" (one head on the mean of the two) or "separated" (a head each).
        labels: names of the classes, in column order; None: the published list where n_classes is 400 or 519.
        norm_mean, norm_std: of the training corpus's log-mels; waves become (log-mel - norm_mean) / (2 norm_std).
        patchout: fields of `Patchout`.

    Raises:
        ValueError: settings that cannot work together, named with the cure.
    """

    family = "maest"
    gradient_checkpointing: bool | None = False

    def __init__(
        self,
        input_f: int = 96,
        input_t: int = 625,
        n_classes: int = 400,
        embed_dim: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        stride: Sequence[int] = (10, 10),
        distilled: bool = True,
        distilled_type: str = "mean",
        mlp_ratio: float = 4.0,
        init_std: float = 0.02,
        in_channels: int = 1,
        labels: Sequence[str] | None = None,
        norm_mean: float = NORM_MEAN,
        norm_std: float = NORM_STD,
        **patchout: Any,
    ):
        super().__init__()
        sizes.check({name: value for name, value in {**locals(), **patchout}.items() if name in sizes.RULES})
        self.input_f, self.input_t, self.n_classes = int(input_f), int(input_t), int(n_classes)
        self.embed_dim, self.depth, self.num_heads = int(embed_dim), int(depth), int(num_heads)
        self.stride = (int(stride[0]), int(stride[1]))
        self.distilled, self.distilled_type, self.mlp_ratio = bool(distilled), distilled_type, float(mlp_ratio)
        self.init_std = float(init_std)
        if not self.init_std > 0:
            raise ConfigError(f"init_std is {init_std}; it is a standard deviation, above 0.")
        self.norm_mean, self.norm_std = float(norm_mean), float(norm_std)
        self.patchout = _patchout(patchout)
        self._check(in_channels, labels)
        self.labels = None if labels is None else list(labels)
        f, t = self.grid(self.input_t)
        self.patchout.check(f, t)

        self.melspectrogram = MaestMel(settings=replace(FRONT_END, mean=self.norm_mean, std_divisor=2 * self.norm_std))
        settings = self.melspectrogram.settings
        self.sample_rate, self.hop = settings.sample_rate, settings.hop
        self.embedding_rate = self.sample_rate / self.hop / self.stride[1]
        self.max_seconds = self.input_t * self.hop / self.sample_rate

        c, extra = self.embed_dim, 2 if self.distilled else 1
        self.cls_token = nn.Parameter(torch.zeros(1, 1, c))
        if self.distilled:
            self.dist_token = nn.Parameter(torch.zeros(1, 1, c))
        self.new_pos_embed = nn.Parameter(torch.zeros(1, extra, c))
        # the tables are F // stride and M // stride long: one column more than the grid at the published sizes, which training shifts over
        self.freq_new_pos_embed = nn.Parameter(torch.zeros(1, c, max(self.input_f // self.stride[0], f), 1))
        self.time_new_pos_embed = nn.Parameter(torch.zeros(1, c, 1, max(self.input_t // self.stride[1], t)))
        self.patch_embed = PatchEmbed(c, self.stride)
        norm: Any = partial(nn.LayerNorm, eps=1e-6)
        self.blocks = nn.ModuleList(Block(c, self.num_heads, self.mlp_ratio, norm) for _ in range(self.depth))
        self.norm = norm(c)
        self.head = nn.Sequential(nn.LayerNorm(c), nn.Linear(c, self.n_classes))
        if self.distilled:
            self.head_dist = nn.Linear(c, self.n_classes)
        self.apply(partial(_init_weights, std=self.init_std))
        for name in ("cls_token", "dist_token", "new_pos_embed", "freq_new_pos_embed", "time_new_pos_embed"):
            if hasattr(self, name):
                nn.init.trunc_normal_(getattr(self, name), std=self.init_std)

    def _check(self, in_channels: int, labels: Sequence[str] | None) -> None:
        if in_channels != 1:
            raise ConfigError(f"in_channels={in_channels}: a mel spectrogram has one channel; leave in_channels at 1.")
        if self.distilled_type not in ("mean", "separated"):
            raise ConfigError(f"distilled_type is '{self.distilled_type}'; choose 'mean' or 'separated'.")
        if self.distilled_type == "separated" and not self.distilled:
            raise ConfigError("distilled_type='separated' needs the DIST token: set distilled=True, or distilled_type='mean'.")
        if min(self.input_f, self.input_t) < PATCH:
            raise ConfigError(
                f"Input of {self.input_f} bands x {self.input_t} frames holds no {PATCH} x {PATCH} patch: both must be >= {PATCH}."
            )
        if min(self.stride) < 1 or min(self.n_classes, self.embed_dim, self.depth, self.num_heads) < 1:
            raise ConfigError("stride, n_classes, embed_dim, depth and num_heads must be 1 or more.")
        if self.embed_dim % self.num_heads:
            raise ConfigError(
                f"embed_dim={self.embed_dim} does not divide by num_heads={self.num_heads}: choose heads that divide it."
            )
        if not self.norm_std > 0:
            raise ConfigError(f"norm_std is {self.norm_std}; a standard deviation is above 0.")
        if labels is not None and len(labels) != self.n_classes:
            raise ConfigError(f"{len(labels)} labels for n_classes={self.n_classes}: give as many names as classes.")

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments that build this network again, as builtins."""
        names = "input_f input_t n_classes embed_dim depth num_heads distilled distilled_type mlp_ratio init_std labels norm_mean norm_std"
        patchout = {k: list(v) if isinstance(v, tuple) else v for k, v in vars(self.patchout).items()}
        return {**{name: getattr(self, name) for name in names.split()}, "stride": list(self.stride), **patchout}

    # ---- tokens
    def tokens(self, mel: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, int]:
        """Normalised mel [B, F, M] -> tokens [B, N, C] with positions, and the number of time columns kept.

        In training mode the time positions start at a random admissible column and the random patchouts act; `generator` (CPU) makes both repeatable.
        """
        f, t = self.grid(mel.shape[-1])
        table_t = self.time_new_pos_embed.shape[-1]
        offset = 0
        if self.training and table_t > t:
            offset = int(torch.randint(table_t - t + 1, (), generator=generator))
        rows, columns = self.patchout.keep(f, t, self.training, generator)
        n_columns = len(columns.unique())
        rows, columns = rows.to(mel.device), columns.to(mel.device)
        x = self.patch_embed(mel, rows, columns)
        x = x + self.time_new_pos_embed[0, :, 0, columns + offset].T + self.freq_new_pos_embed[0, :, rows, 0].T
        extra = torch.cat([self.cls_token, self.dist_token], dim=1) if self.distilled else self.cls_token
        return torch.cat([(extra + self.new_pos_embed).expand(len(x), -1, -1), x], dim=1), n_columns

    def _run(self, x: Tensor, layers: Sequence[int], first: int | None = None) -> list[Tensor]:
        """Outputs [B, N, C] of the asked blocks (ascending); stops after the deepest, whose output may be wanted of its first tokens only."""
        out = []
        blocks: Any = self.blocks[: layers[-1] + 1]
        for k, block in enumerate(blocks):
            run = partial(block, first=first) if k == layers[-1] else block
            x = recomputed(run, x) if self.gradient_checkpointing and torch.is_grad_enabled() else run(x)
            if k in layers:
                out.append(x)
        return out

    def _answer(self, x: Tensor, blocks: Sequence[int] = ()) -> tuple[tuple[Tensor, ...], list[Tensor]]:
        """Tokens -> logits and features (`classify`), and outputs [B, N, C] of blocks (ascending).

        CLS and DIST alone reach the heads, so that the last block computes no others unless it is asked for.
        """
        last = self.depth - 1
        found = self._run(x, sorted({*blocks, last}), None if last in blocks else self.n_extra)
        return self.classify(found[-1]), found[: len(blocks)]

    def _attention(self, x: Tensor, k: int) -> Tensor:
        """Softmaxed attention [B, heads, N, N] of block k for tokens x."""
        if k:
            x = self._run(x, [k - 1])[0]
        block: Any = self.blocks[k]
        b, n, c = x.shape
        query, key, _ = (
            block.attn.qkv(block.norm1(x)).reshape(b, n, 3, self.num_heads, c // self.num_heads).permute(2, 0, 3, 1, 4)
        )
        return (query @ key.transpose(-2, -1) * block.attn.scale).softmax(dim=-1)

    def _pool(self, x: Tensor) -> Tensor:
        """Tokens [B, N, C] -> CLS, DIST (when distilled), mean of the others: [B, 3 or 2, C]."""
        return torch.cat([x[:, : self.n_extra], x[:, self.n_extra :].mean(dim=1, keepdim=True)], dim=1)

    # ---- heads
    def classify(self, x: Tensor) -> tuple[Tensor, ...]:
        """Last block's tokens [B, N, C] -> (logits [B, L], features [B, C]); "separated": (logits of CLS, logits of DIST, features).

        Of the network's own heads, which are not those that a fine-tuned one names its classes by.
        """
        x = self.norm(x[:, : self.n_extra])
        features = x.mean(dim=1)
        if self.distilled_type == "separated":
            return self.head(x[:, 0]), self.head_dist(x[:, 1]), features
        return self.head(features), features

    # ---- the published call
    def forward(
        self,
        x: Tensor | np.ndarray,
        transformer_block: int = -1,
        return_self_attention: bool = False,
        melspectrogram_input: bool = False,
        generator: torch.Generator | None = None,
    ) -> tuple[Any, ...]:
        """Logits and features, a block's embeddings, or its attention.

        Args:
            x: wave [N] (cut into windows) or [B, N] at 16 kHz; normalised mel [F, M] with melspectrogram_input=True (cut into windows), [B, F, M]
                or [B, 1, F, M]. Float tensor or array; never changed.
            transformer_block: -1 for the logits, k >= 0 for the embeddings of block k.
            return_self_attention: the attention of that block (-1: the last).
            melspectrogram_input: a 2-D x is a mel.
            generator: CPU generator of the training-time randomness.

        Returns:
            (logits [B, L], features [B, C]); "separated", unless it was fine-tuned, (logits_cls, logits_dist, features); for a block (None, [B, 3C])
            = CLS | DIST | mean of the other tokens, without the final norm; (None, attention [B, heads, N, N]). Windowed forms return one row per
            window.

        Raises ValueError (AudioError) for empty, non-finite, integer or wrong-rank input and for batches longer than the model.
        """
        if not -1 <= transformer_block < self.depth:
            raise ConfigError(
                f"transformer_block is {transformer_block}; give 0..{self.depth - 1} for a block's embeddings, -1 for logits and features."
            )
        mel, _ = inputs.as_mel(self, x, melspectrogram_input)
        tokens, _ = self.tokens(mel, generator)
        if return_self_attention:
            return None, self._attention(tokens, transformer_block % self.depth)
        if transformer_block >= 0:
            return None, self._pool(self._run(tokens, [transformer_block])[0]).flatten(1)
        head = head_of(self)
        if head is None:
            return self._answer(tokens)[0]
        answers, (read,) = self._answer(tokens, [head.layer])
        return head(self._pool(read).flatten(1)), answers[-1]

    def predict_labels(self, x: Tensor | np.ndarray, melspectrogram_input: bool = False) -> tuple[np.ndarray, list[str]]:
        """Probabilities [L] of a recording (any input of `forward`), mean over windows weighted by their valid frames, and the L label names.

        "separated" networks: mean of both heads' probabilities. Without label names the column numbers stand in. Raises WeightsError where the
        weights' file has left a head that answers untrained.
        """
        check_trained(self, "predict labels")
        was_training = self.training
        self.eval()
        try:
            with torch.no_grad():
                mel, valid = inputs.as_mel(self, x, melspectrogram_input)
                probabilities = self.window_probabilities(mel)
        finally:
            self.train(was_training)
        weights = valid.to(probabilities) / valid.sum()
        return (weights[:, None] * probabilities).sum(dim=0).float().cpu().numpy(), self.label_names

    def probabilities(self, mel: Tensor) -> Tensor:
        """Normalised mel [B, F, M] -> class probabilities [B, L]; the mean of both heads' when they are separated."""
        (*logits, _), _ = self._answer(self.tokens(mel)[0])
        return torch.stack([head.sigmoid() for head in logits]).mean(dim=0)

    def window_probabilities(self, windows: Tensor) -> Tensor:
        return self.probabilities(windows)

    @property
    def has_classes(self) -> bool:
        """Always."""
        return True

    @property
    def label_names(self) -> list[str]:
        """Names of the classes: those given at construction, else the published list of that length, else their numbers."""
        return list(self.labels or default_labels(self.n_classes) or map(str, range(self.n_classes)))

    def embed_blocks(self, mel: Tensor, blocks: Iterable[int], generator: torch.Generator | None = None) -> Tensor:
        """CLS, DIST and mean token of several blocks in one pass: mel [B, F, M] normalised -> [len(blocks), B, 3, C] (undistilled: 2).

        Blocks as `resolve_layers` orders them: ascending, each once. Stops after the deepest.
        """
        layers = self.resolve_layers(blocks)
        return torch.stack([self._pool(y) for y in self._run(self.tokens(mel, generator)[0], layers)])

    def features_and_blocks(self, mel: Tensor, blocks: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
        """See StoredMels."""
        answers, found = self._answer(self.tokens(mel)[0], blocks)
        return answers[-1], [self._pool(y) for y in found]

    # ---- AudioEncoder
    def encode(self, audio: Tensor, layers: Iterable[int] | None = None) -> Tensor:
        """Wave [B, samples] -> [L, B, T, C]: per time column the mean over its frequency patches, 6.25 vectors/s at the default stride."""
        mel, _ = inputs.as_mel(self, audio if audio.ndim == 2 else audio[None], False)
        return self.encode_mel(mel, layers)

    def encode_mel(self, mel: Tensor, layers: Iterable[int] | None = None) -> Tensor:
        """`encode` from a normalised mel [B, F, M]. Times of the columns: `frame_times`."""
        if self.training and self.patchout.u_patchout:
            raise ConfigError(
                "u_patchout drops single patches: time columns have no fixed rows to average. Use eval mode, or u_patchout=0."
            )
        tokens, n_columns = self.tokens(mel)
        outputs = self._run(tokens, self.resolve_layers(layers))
        return torch.stack([y[:, self.n_extra :].unflatten(1, (-1, n_columns)).mean(dim=1) for y in outputs])


def _patchout(settings: dict[str, Any]) -> Patchout:
    unknown = set(settings) - set(Patchout.__dataclass_fields__)
    if unknown:
        raise TypeError(
            f"MAEST() got unexpected arguments {sorted(unknown)}; patchouts are {', '.join(Patchout.__dataclass_fields__)}."
        )
    return Patchout(**settings)


def _init_weights(module: nn.Module, std: float) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=std)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
