"""What a music2vec is built with: transformers' names for the shape of a Data2VecAudioModel, and the suite's own beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError, WeightsError
from ..frontend.convolutions import check_stem, receptive_field, stem_parameters
from ..settings import FLAG, LABELS, Choice, Maybe, Number, Numbers, Rules, check_settings, check_size, shown

MODEL_TYPE = "data2vec-audio"  # of a config.json
RATE = 16000  # Hz
SHAPE: Mapping[str, Any] = {  # of m-a-p/music2vec-v1; dropouts are those of its pre-training
    "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072, "conv_dim": [512] * 7,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2], "conv_stride": [5, 2, 2, 2, 2, 2, 2], "conv_bias": False, "num_conv_pos_embeddings": 5,
    "conv_pos_kernel_size": 19, "num_conv_pos_embedding_groups": 16, "hidden_act": "gelu", "feat_extract_activation": "gelu",
    "layer_norm_eps": 1e-5, "hidden_dropout": 0.1, "attention_dropout": 0.1, "activation_dropout": 0.0, "feat_proj_dropout": 0.0,
}  # fmt: skip
OWN: Mapping[str, Any] = {"max_seconds": 5.0, "sdpa": True, "out_dim": None, "labels": None, "exclusive": False}
_SHARE = Number(0, 0.999, whole=False)
RULES: Rules = {
    "hidden_size": Number(1, 65_536), "num_hidden_layers": Number(1, 1000), "num_attention_heads": Number(1, 4096),
    "intermediate_size": Number(1, 1_000_000), "conv_dim": Numbers(Number(1, 65_536), 1, 32), "conv_kernel": Numbers(Number(1, 9999), 1, 32),
    "conv_stride": Numbers(Number(1, 9999), 1, 32), "conv_bias": FLAG, "num_conv_pos_embeddings": Number(1, 100),
    "conv_pos_kernel_size": Number(1, 9999), "num_conv_pos_embedding_groups": Number(1, 65_536), "hidden_act": Choice(("gelu", "relu", "swish")),
    "feat_extract_activation": Choice(("gelu", "relu", "swish")), "layer_norm_eps": Number(1e-12, 1, whole=False), "hidden_dropout": _SHARE,
    "attention_dropout": _SHARE, "activation_dropout": _SHARE, "feat_proj_dropout": _SHARE, "source": Choice((None,)),
    "max_seconds": Number(0.02, 100_000, whole=False), "sdpa": FLAG, "out_dim": Maybe(Number(1, 100_000)), "labels": LABELS, "exclusive": FLAG,
}  # fmt: skip


def check(settings: Mapping[str, Any], what: str = "This music2vec", error: type[ValueError] = ConfigError) -> None:
    """Raise `error` for settings, given as far as they are known, that are no Music2Vec's, or one's that is too large to be built."""
    check_settings(settings, RULES, what, error)
    s = {**SHAPE, **OWN, **settings}
    width = s["hidden_size"]
    check_stem(s, what, error)
    if s["max_seconds"] * RATE < receptive_field(s):
        raise error(f"{what}: max_seconds is {s['max_seconds']}; one vector takes {receptive_field(s) / RATE:.4f} s.")
    stem = stem_parameters(s)
    positions = s["num_conv_pos_embeddings"] * width * width // s["num_conv_pos_embedding_groups"] * s["conv_pos_kernel_size"]
    blocks = s["num_hidden_layers"] * width * (4 * width + 2 * s["intermediate_size"])
    check_size(stem + positions + blocks, what, error)


def of_transformers(config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that a Data2VecAudioConfig's values say; what only matters to its training or to speech is left out.

    Raises WeightsError for another model type, and for parts that a music2vec has not.
    """
    if (kind := config.get("model_type", MODEL_TYPE)) != MODEL_TYPE:
        raise WeightsError(f"A config of the model type {shown(kind)}; music2vec's is {MODEL_TYPE}. Others: models.load_model.")
    if config.get("add_adapter"):
        raise WeightsError("The config asks for an adapter behind the blocks (add_adapter), which music2vec has not.")
    return {"family": "music2vec", **{name: config[name] for name in SHAPE if name in config}}
